"""Several seeds make one model: its graph gives their mean, it repeats itself, and chance has a smaller part in it."""

import json
from itertools import pairwise

import numpy as np
import pytest

from signals.bundle.graph import check_model
from signals.errors import InvariantBroken
from signals.features.panel import FeaturePanel
from signals.models.inference import predict
from signals.scoring.scores import rank_ic
from tests.fakes.onnx_models import stump_model
from trainer.learners.averaged import AveragedModel, seeds_of
from trainer.learners.base import FitDevice, Learner, Model
from trainer.learners.export import export
from trainer.learners.joined_graphs import mean_graph
from trainer.learners.parameters import CatBoostConfig, LightGbmConfig
from trainer.recipes.base import RecipeConfig, learner_of
from trainer.validation.likeness import importances, kept_importance, likeness, seed_null

NAMES = ("a", "b", "c")
CONFIG = RecipeConfig(
    seeds=3, lightgbm=LightGbmConfig(trees=8, num_leaves=7, min_data_in_leaf=30), catboost=CatBoostConfig(trees=8, learning_rate=0.2)
)


def rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(900, 3)).astype(np.float32)
    target = 0.1 * features[:, 0] + rng.normal(size=900)
    features[rng.random(900) < 0.1, 2] = np.nan
    return features, target


def fitted(config: RecipeConfig = CONFIG, seed: int = 1) -> Model:
    features, target = rows(0)
    return learner_of(config, seed, FitDevice.CPU).fit(features, target, np.ones(900), NAMES)


@pytest.mark.parametrize("kind", ["lightgbm", "catboost"])
def test_the_graph_gives_the_mean_of_its_members_and_a_device_accepts_it(kind: str) -> None:
    """The mean of three models fitted one by one, each with its own seed, to the float."""
    config = CONFIG.model_copy(update={"learner": kind})
    model, (features, _) = fitted(config), rows(5)
    alone = [fitted(config.model_copy(update={"seeds": 1}), seed) for seed in seeds_of(1, 3)]
    np.testing.assert_array_equal(model.predict(features), np.mean([one.predict(features) for one in alone], axis=0))
    assert len({one.to_text() for one in alone}) == 3
    exported = export(model, features)
    check_model(exported.onnx, "model.onnx")
    mean = np.mean([predict([one.to_onnx()], features) for one in alone], axis=0)
    np.testing.assert_allclose(predict([exported.onnx], features), mean, atol=1e-6)


def test_it_obeys_the_protocols_and_repeats_itself() -> None:
    model, again = fitted(), fitted()
    assert isinstance(learner_of(CONFIG, 1, FitDevice.CPU), Learner) and isinstance(model, Model)
    assert (model.to_text(), model.to_onnx()) == (again.to_text(), again.to_onnx())
    assert len(json.loads(model.to_text())) == 3 and model.names == NAMES
    assert model.importance().sum() == pytest.approx(1.0)
    features, _ = rows(5)
    parts = model.contributions(features[:50])
    np.testing.assert_allclose(parts.sum(axis=1), model.predict(features[:50]), atol=1e-9)


def test_neighbouring_seeds_share_no_member() -> None:
    chosen = [set(seeds_of(seed, 50)) for seed in range(1, 60)]
    assert all(not one & other for one, other in pairwise(chosen)) and seeds_of(7, 1) == (7,)


def test_a_learner_without_chance_is_fitted_once() -> None:
    assert not isinstance(fitted(CONFIG.model_copy(update={"learner": "ridge"})), AveragedModel)


def test_graphs_of_other_inputs_have_no_mean() -> None:
    with pytest.raises(InvariantBroken, match="no mean"):
        mean_graph([stump_model(3), stump_model(4)])


def test_the_null_is_that_of_models_and_of_averages_that_differ_by_chance_alone() -> None:
    """Scores of signal and noise of equal variance: singles correlate 1/2, averages of four 4/5 (Spearman, Brown)."""
    rng = np.random.default_rng(3)
    signal = rng.normal(size=(252, 400))
    members = signal + rng.normal(size=(4, 252, 400))
    found = seed_null(members)
    assert found is not None and (found.seeds, found.figures) == (4, 6 * 12)
    assert found.single.mean == pytest.approx(0.48, abs=0.01)  # of ranks: (6 / pi) asin(1 / 4)
    other = np.mean(signal + rng.normal(size=(4, 252, 400)), axis=0)
    measured = np.nanmean(rank_ic(members.mean(axis=0), other))
    assert found.averaged.mean == pytest.approx(measured, abs=0.02)
    assert found.single.low < found.single.mean < found.averaged.low < found.averaged.mean


def test_one_model_has_no_null() -> None:
    assert seed_null(np.zeros((1, 30, 40))) is None
    assert seed_null(np.full((2, 30, 40), np.nan)) is None


def test_likeness_tells_the_share_of_a_book_that_new_scores_replace() -> None:
    """Forty names in order: the deciles hold four; two of the top four change places with two of the middle."""
    old = np.tile(np.arange(40.0), (3, 1))
    new = old.copy()
    new[:, [38, 39, 20, 21]] = old[:, [20, 21, 38, 39]]
    found = likeness(new, old)
    assert found.turnover == pytest.approx(0.25) and found.sessions == 3  # half of one side of two
    assert 0.7 < found.rank_correlation < 1.0
    assert vars(likeness(old, old)) == {"rank_correlation": pytest.approx(1.0), "sessions": 3, "turnover": 0.0, "importance_kept": None}
    assert likeness(np.full((3, 40), np.nan), old).rank_correlation is None


def test_importance_is_where_a_model_looks_and_what_is_kept_of_it_is_what_both_share() -> None:
    """One that reads the first feature alone gives it everything; of two equal ones each has half."""
    rng = np.random.default_rng(8)
    days, names = 21, 60
    values = rng.normal(size=(days, names, 3)).astype(np.float32)
    axis = np.arange(days).astype("datetime64[D]")
    panel = FeaturePanel(axis, tuple(f"N{n}" for n in range(names)), ("a", "b", "c"), values, np.ones((days, names), dtype=bool))
    first = importances(lambda rows: rows[:, 0].astype(np.float64), panel)
    both = importances(lambda rows: (rows[:, 0] + rows[:, 1]).astype(np.float64), panel)
    assert first.tolist() == [1.0, 0.0, 0.0]
    assert both == pytest.approx([0.5, 0.5, 0.0], abs=0.03)
    assert kept_importance(first, first) == 1.0 and kept_importance(first, both) == pytest.approx(0.5, abs=0.03)
    assert kept_importance(first, np.array([0.0, 0.0, 1.0])) == 0.0 and kept_importance(first, np.zeros(3)) is None
