"""Linear learners: which features have a coefficient."""

from __future__ import annotations

import numpy as np
import pytest

from signals.errors import BadConfig, FixInput
from trainer.learners.linear import Ridge
from trainer.learners.parameters import RidgeConfig
from trainer.recipes.base import RecipeConfig
from trainer.tasks.recipes import preset_named, recipe_named, require_agreement

NAMES = ("a", "b", "c")


def test_only_the_named_features_have_a_coefficient_and_it_is_that_of_a_model_of_them_alone() -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 3)).astype(np.float32)
    features[::7, 1] = np.nan
    target, weight = features[:, 0] + 0.5 * features[:, 2], np.ones(200)
    chosen = Ridge(RidgeConfig(features=("c", "a"))).fit(features, target, weight, NAMES)
    alone = Ridge(RidgeConfig()).fit(np.ascontiguousarray(features[:, [0, 2]]), target, weight, ("a", "c"))
    assert chosen.coefficient[1] == (0.0,)
    np.testing.assert_allclose([chosen.coefficient[0], chosen.coefficient[2]], alone.coefficient, rtol=1e-6)
    np.testing.assert_allclose(chosen.predict(features), alone.predict(features[:, [0, 2]].copy()), rtol=1e-5)
    with pytest.raises(FixInput, match="no feature d"):
        Ridge(RidgeConfig(features=("a", "d"))).fit(features, target, weight, NAMES)


def test_a_recipe_that_names_no_features_keeps_the_hash_that_it_always_had() -> None:
    assert RecipeConfig(learner="ridge").fingerprint() == "fd461b921bcbe091e239ef69ad4cdadf37347c65c7e749ea7d943c3b8a5c575a"
    assert RecipeConfig(learner="ridge", ridge=RidgeConfig(features=("momentum_5",))).fingerprint()[:4] != "fd46"


def test_the_starter_is_momentum_low_volatility_and_reversal_of_features_that_its_sleeve_has() -> None:
    small = preset_named("small")
    recipe = recipe_named(small.sleeve)
    assert small.ridge.features == ("momentum_12_1", "volatility_60", "momentum_5")
    assert set(small.ridge.features) <= set(recipe.sleeve.names) and small.cpcv.holdout_sessions == 252
    require_agreement(recipe.__class__(recipe.sleeve, recipe.task, small))
    with pytest.raises((FixInput, BadConfig), match="no preset 'large'"):
        preset_named("large")
