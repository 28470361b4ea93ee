"""Importance finds what the skill rests on, alone and in clusters, out of fold."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fakes.labelled import market, with_features
from trainer.learners.base import FitDevice
from trainer.learners.lgbm import LightGbm
from trainer.learners.linear import Ridge
from trainer.learners.parameters import LightGbmConfig, RidgeConfig
from trainer.learners.table import learner_named
from trainer.recipes.base import RecipeConfig
from trainer.reports import plots
from trainer.validation.importance import Importance, feature_clusters, importance, permutation_within

LEARNER = LightGbm(LightGbmConfig(trees=20, num_leaves=4, min_data_in_leaf=100, max_bin=31), seed=1)


def no_step(_: str) -> None:
    """Nobody watches."""


def explained(rows, learner=LEARNER) -> Importance:  # type: ignore[no-untyped-def]
    return importance(rows, learner, groups=4, embargo=5, k=5, seed=1, step=no_step)


def test_the_feature_with_the_skill_loses_it_and_noise_loses_nothing() -> None:
    rows, _ = market(1, strength=0.3)
    found = explained(rows)
    losses = {loss.features[0]: loss.loss for loss in found.by_feature}
    assert losses["a"].mean > 0.8 * found.ic.mean > 0.1 and losses["a"].t > 5
    assert abs(losses["b"].mean) < 0.02 and abs(losses["c"].mean) < 0.02
    assert found.shap is not None and int(np.argmax(found.shap)) == 0


def test_twins_hide_each_other_and_their_cluster_does_not() -> None:
    """With two copies of the feature, permuting one loses a fraction; permuting both loses it all."""
    rows, _ = market(1, strength=0.3)
    twin = rows.features[:, :1] + np.float32(0.05) * np.random.default_rng(0).normal(size=(len(rows), 1))
    doubled = with_features(rows, np.hstack([rows.features, twin.astype(np.float32)]), (*rows.names, "twin"))
    found = explained(doubled)
    single = {loss.features[0]: loss.loss.mean for loss in found.by_feature}
    joined = {loss.features: loss.loss.mean for loss in found.by_cluster}
    assert set(joined) == {("a", "twin"), ("b",), ("c",)}
    assert max(single["a"], single["twin"]) < 0.8 * joined["a", "twin"]


def test_it_repeats_itself_and_learners_without_shap_say_so() -> None:
    rows, _ = market(2, strength=0.2, sessions=200)
    one, two = explained(rows, Ridge(RidgeConfig())), explained(rows, Ridge(RidgeConfig()))
    assert one.by_feature == two.by_feature and one.by_cluster == two.by_cluster
    np.testing.assert_array_equal(one.shap, two.shap)


def test_a_permutation_stays_within_its_session() -> None:
    sessions = np.repeat(np.arange(50), 20)
    order = permutation_within(sessions, np.random.default_rng(1))
    assert sorted(order.tolist()) == list(range(1000)) and (sessions[order] == sessions).all()
    assert (order != np.arange(1000)).mean() > 0.8


def test_clusters_are_of_rank_correlation_of_either_sign_and_flat_features_stand_alone() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5000))
    columns = np.column_stack([a, b, -np.exp(3 * a), np.ones(5000), b + 0.3 * rng.normal(size=5000)])
    columns[rng.random(5000) < 0.1, 1] = np.nan
    assert feature_clusters(columns.astype(np.float32)) == [(0, 2), (1, 4), (3,)]
    assert feature_clusters(np.ones((10, 1), dtype=np.float32)) == [(0,)]


@pytest.mark.parametrize("kind", ["lightgbm", "catboost"], ids=str)
def test_contributions_are_tree_shap_values(kind: str) -> None:
    """Against the brute-force Shapley values of a two-feature tree model, by the path-dependent expectation."""
    rng = np.random.default_rng(0)
    features = rng.integers(0, 2, size=(4000, 2)).astype(np.float32)
    target = features[:, 0] + 0.5 * features[:, 1]
    learner = learner_named(kind, RecipeConfig(), 1, FitDevice.CPU)
    model = learner.fit(features, target, np.ones(4000), ("a", "b"))
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    score = model.predict(corners)
    share = features.mean(axis=0)
    p, q = share[0], share[1]
    known_a = [(1 - q) * score[0] + q * score[1], (1 - q) * score[2] + q * score[3]]
    known_b = [(1 - p) * score[0] + p * score[2], (1 - p) * score[1] + p * score[3]]
    nothing = (1 - p) * known_a[0] + p * known_a[1]
    expected_a = 0.5 * ((known_a[1] - nothing) + (score[3] - known_b[1]))
    assert model.contributions(corners)[3, 0] == pytest.approx(expected_a, abs=0.01)


def test_what_features_and_their_clusters_are_worth_is_drawn() -> None:
    for picture in (plots.losses(("a", "b"), np.array([0.1, 0.2])), plots.shap(("a", "b"), np.array([0.1, 0.2]))):
        assert picture.startswith(b"\x89PNG") and len(picture) > 1000
