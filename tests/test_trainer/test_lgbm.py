"""LightGBM as we use it: deterministic, and with thresholds that float32 can hold."""

from __future__ import annotations

import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals.errors import FixInput, InvariantBroken
from signals.models.inference import open_session
from trainer.learners.lgbm import LightGbm
from trainer.learners.parameters import LightGbmConfig
from trainer.learners.table import LEARNERS
from trainer.learners.trees import floor_to_float32, read_trees, with_float32_thresholds
from trainer.tasks.recipes import RECIPES

SMALL = LightGbmConfig(trees=20, min_data_in_leaf=20, num_leaves=8)
NAMES = ("quiet", "dollars", "step", "clock")


def rows(seed: int = 0, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """A quiet feature, raw dollar volumes, a stepped one and epoch seconds; NaN in 3 % of all but the last."""
    rng = np.random.default_rng(seed)
    quiet, dollars = rng.normal(size=count), np.exp(rng.normal(18.0, 3.0, count))
    step, clock = rng.integers(-3, 4, count).astype(float), 1.6e9 + 60.0 * np.arange(count)
    target = 0.3 * quiet + 0.3 * (dollars > 6.6e7) + 0.1 * step + 0.2 * (clock > clock[count // 2]) + rng.normal(size=count)
    features = np.column_stack([quiet, dollars, step, clock]).astype(np.float32)
    features[:, :3][rng.random((count, 3)) < 0.03] = np.nan
    return features, target


def fit(seed: int = 3, threads: int = 1, config: LightGbmConfig = SMALL):  # type: ignore[no-untyped-def]
    features, target = rows()
    return LightGbm(config, seed, threads).fit(features, target, np.ones(len(target)), NAMES)


def test_the_same_seed_gives_the_same_model_and_another_seed_another() -> None:
    assert fit().to_text() == fit().to_text()
    assert fit(seed=4).to_text() != fit().to_text()


def test_the_least_child_weight_is_lightgbms_own_and_its_default_changes_no_recipe() -> None:
    """Of squared error a row's second derivative is its weight, 1 here: of the 2,400 that a tree draws two leaves may weigh 1,000 each."""
    asked = SMALL.model_copy(update={"min_child_weight": 1000.0})
    assert "min_child_weight" not in SMALL.model_dump() and "min_child_weight" in asked.model_dump()
    most = [max(re.findall(r"^num_leaves=(\d+)", fit(config=one).to_text(), re.MULTILINE)) for one in (SMALL, asked)]
    assert most == ["8", "2"]
    assert RECIPES["events"].config.search.lightgbm["min_child_weight"] == (1, 100)
    assert "min_child_weight" in LEARNERS["xgboost"].space


def test_threads_leave_no_trace() -> None:
    assert fit(threads=2).to_text() == fit(threads=1).to_text()


def test_models_fitted_side_by_side_are_those_fitted_alone() -> None:
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(fit, [3, 4, 5, 6]))
    assert [model.to_text() for model in together] == [fit(seed).to_text() for seed in (3, 4, 5, 6)]


def test_flooring_changes_no_prediction_on_float32_features() -> None:
    """LightGBM itself, from its untouched text, scores every row to the same bit."""
    features, target = rows()
    model = fit()
    data = lightgbm.Dataset(
        features, target, weight=np.ones(len(target)), feature_name=list(NAMES), params=LightGbm(SMALL, 3, 1)._parameters(NAMES)
    )
    untouched = lightgbm.train(LightGbm(SMALL, 3, 1)._parameters(NAMES), data, num_boost_round=SMALL.trees)
    fresh, _ = rows(seed=9)
    np.testing.assert_array_equal(model.predict(fresh), untouched.predict(fresh, num_threads=1))


def test_every_threshold_is_a_float32() -> None:
    thresholds = np.concatenate([tree.threshold for tree in read_trees(fit().to_text())])
    assert thresholds.size > 50
    np.testing.assert_array_equal(thresholds, thresholds.astype(np.float32).astype(np.float64))


@given(st.floats(min_value=-3.0e38, max_value=3.0e38, allow_nan=False))
def test_the_floor_is_the_largest_float32_not_above(value: float) -> None:
    floored = float(floor_to_float32(np.array([value]))[0])
    assert floored <= value
    assert float(np.nextafter(np.float32(floored), np.float32(np.inf))) > value


def test_a_pickled_model_predicts_the_same_and_pickles_the_same_whether_or_not_it_has_predicted() -> None:
    model = fit()
    before = pickle.dumps(model)
    features, _ = rows(seed=9)
    expected = model.predict(features)
    assert pickle.dumps(model) == before
    np.testing.assert_array_equal(pickle.loads(before).predict(features), expected)


def test_features_that_are_not_float32_are_refused() -> None:
    with pytest.raises(InvariantBroken, match="float32"):
        fit().predict(rows()[0].astype(np.float64))
    with pytest.raises(InvariantBroken, match="float32"):
        LightGbm(SMALL, 1).fit(rows()[0], rows()[1], np.ones(4000), NAMES[:3])


@pytest.mark.parametrize("option", [{"zero_as_missing": True}, {"linear_tree": True}])
def test_shapes_that_export_silently_wrong_are_refused(option: dict[str, bool]) -> None:
    features, target = rows()
    booster = lightgbm.train(
        {"objective": "regression", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 20, **option},
        lightgbm.Dataset(np.nan_to_num(features), target),
        num_boost_round=3,
    )
    with pytest.raises(InvariantBroken, match="exact export"):
        read_trees(with_float32_thresholds(booster.model_to_string()))


def test_categorical_splits_are_refused() -> None:
    features, target = rows()
    codes = (np.nan_to_num(features[:, 2:3]) + 3).astype(np.int32)
    booster = lightgbm.train(
        {"objective": "regression", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 20},
        lightgbm.Dataset(codes, target, categorical_feature=[0]),
        num_boost_round=3,
    )
    with pytest.raises(InvariantBroken, match="exact export"):
        read_trees(booster.model_to_string())


def test_classes_are_raw_scores_whose_softmax_finds_them_and_the_graph_gives_each() -> None:
    """Three classes by the first feature: the likeliest is right, and what ranks is P(best) - P(worst)."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 3)).astype(np.float32)
    features[rng.random(3000) < 0.1, 2] = np.nan
    classes = np.digitize(features[:, 0], [-0.5, 0.5]).astype(np.float64)
    learner = LightGbm(LightGbmConfig(trees=20, num_leaves=7, min_data_in_leaf=20), seed=1, classes=3)
    model = learner.fit(features, classes, np.ones(3000), ("a", "b", "c"), np.arange(3000) // 30)
    raw = model.outputs(features)
    odds = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    assert (odds.argmax(axis=1) == classes).mean() > 0.95
    np.testing.assert_allclose(model.predict(features), odds[:, 2] - odds[:, 0])
    [given] = open_session(model.to_onnx()).run(["score"], {"features": features})
    np.testing.assert_allclose(given, raw, atol=2e-5)
    with pytest.raises(FixInput, match="no exact SHAP"):
        model.contributions(features)
