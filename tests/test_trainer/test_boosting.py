"""Early stopping inside the fold and monotone features, of both boosting libraries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from signals.errors import BadConfig, TooLittleHistory
from trainer.learners.base import FitDevice, Learner, Model
from trainer.learners.catb import CatBoostModel
from trainer.learners.export import export
from trainer.learners.lgbm import LightGbmModel
from trainer.learners.objectives import newest_apart
from trainer.learners.parameters import BoostedConfig, CatBoostConfig, LightGbmConfig, Objective
from trainer.learners.table import learner_named
from trainer.learners.trees import read_trees
from trainer.recipes.base import RecipeConfig

SESSIONS = np.repeat(np.arange(100), 40)
NAMES = ("a", "b")
Make = Callable[..., Learner]


@pytest.fixture(params=["lightgbm", "catboost"], ids=str)
def make(request: pytest.FixtureRequest) -> Make:
    def made(**options: object) -> Learner:
        common = {"trees": 120, "learning_rate": 0.3, **options}
        config = RecipeConfig(lightgbm=LightGbmConfig(min_data_in_leaf=20, **common), catboost=CatBoostConfig(depth=4, **common))
        return learner_named(request.param, config, 1, FitDevice.CPU)

    return made


def rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A weak signal in `a` under much noise: a fit of many fast trees memorises."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(4000, 2)).astype(np.float32)
    return features, 0.2 * features[:, 0] + rng.normal(size=4000)


def fit(learner: Learner, target: np.ndarray | None = None) -> Model:
    features, plain = rows()
    return learner.fit(features, plain if target is None else target, np.ones(4000), NAMES, SESSIONS)


def trees(model: Model) -> int:
    if isinstance(model, LightGbmModel):
        return len(read_trees(model.text))
    assert isinstance(model, CatBoostModel)
    return int(model._native.tree_count_)


@pytest.mark.parametrize("objective", list(Objective), ids=str)
def test_patience_stops_a_fit_that_memorises_and_the_export_stays_exact(make: Make, objective: Objective) -> None:
    patient, stubborn = fit(make(patience=5, objective=objective)), fit(make(objective=objective))
    assert 1 <= trees(patient) < trees(stubborn) == 120
    assert export(patient, rows(1)[0]).parity.rows == 4000
    assert patient.to_text() == fit(make(patience=5, objective=objective)).to_text()


def test_stopping_early_ranks_unseen_rows_better_than_memorising(make: Make) -> None:
    features, target = rows(7)
    skill = [np.corrcoef(model.predict(features), target)[0, 1] for model in (fit(make(patience=5)), fit(make()))]
    assert skill[0] > skill[1]


def test_all_rows_are_fitted_with_the_number_of_trees_that_was_found(make: Make) -> None:
    """The same as asking for so many trees from the start."""
    found = fit(make(patience=5))
    asked = fit(make(trees=trees(found)))
    np.testing.assert_array_equal(found.predict(rows(3)[0]), asked.predict(rows(3)[0]))


def test_a_monotone_feature_never_lowers_the_score(make: Make) -> None:
    features, _ = rows()
    target = np.sin(2.0 * features[:, 0].astype(np.float64)) + features[:, 1]
    grid = np.column_stack([np.linspace(-3, 3, 200), np.zeros(200)]).astype(np.float32)
    free, rising = fit(make(), target), fit(make(monotone={"a": 1}), target)
    assert np.diff(free.predict(grid)).min() < -0.01
    assert np.diff(rising.predict(grid)).min() >= -1e-12


def test_a_monotone_feature_that_is_not_there_is_refused(make: Make) -> None:
    with pytest.raises(BadConfig, match="monotone names nope"):
        fit(make(monotone={"nope": 1}))


def test_the_rows_to_stop_by_are_newer_than_the_gap() -> None:
    fitted, newest = newest_apart(SESSIONS, 4000, BoostedConfig(validation_share=0.2, gap_sessions=10))
    assert (SESSIONS[fitted].max(), SESSIONS[newest].min(), SESSIONS[newest].max()) == (69, 80, 99)
    with pytest.raises(TooLittleHistory, match="leave none to fit on"):
        newest_apart(SESSIONS[:400], 400, BoostedConfig(gap_sessions=10))
