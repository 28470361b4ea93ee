"""Trees and vectors of other libraries go into graphs of our own: thresholds to the last float, caps said aloud."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from signals.errors import LearnerFailed
from signals.models.inference import predict
from trainer.learners.base import FitDevice, Matrix
from trainer.learners.linear import read_linear
from trainer.learners.parameters import Objective, RandomForestConfig, SvmConfig, XgBoostConfig
from trainer.learners.table import LEARNERS, learner_named
from trainer.learners.tabular.random_forest import RandomForest
from trainer.learners.tabular.svm import Svm, SvmModel
from trainer.learners.tabular.xgb import XgBoost, XgBoostModel
from trainer.recipes.base import RecipeConfig, scores_log_odds

NAMES = ("a", "b", "c")
COUNT = 3000


def rows(seed: int = 0, count: int = COUNT) -> tuple[Matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 3)).astype(np.float32)
    target = 0.6 * features[:, 0] + 0.3 * np.abs(features[:, 1]) + rng.normal(size=count)
    features[rng.random(count) < 0.2, 2] = np.nan
    return features, target


@pytest.mark.parametrize("objective", [Objective.REGRESSION, Objective.EXTREMES])
def test_xgboost_rows_on_a_threshold_and_one_float_beside_it_go_the_same_way_in_the_graph(objective: Objective) -> None:
    """x < c sends c itself to the right; a graph that compared x <= c would send it to the left, and is off by a leaf."""
    features, target = rows()
    model = XgBoost(XgBoostConfig(trees=20, min_child_weight=5.0, objective=objective), 1).fit(features, target, np.ones(COUNT), NAMES)
    edges = np.array(
        [c for tree in trees_of(model) for c, left in zip(tree["split_conditions"], tree["left_children"], strict=True) if left >= 0]
    )
    close = edges.astype(np.float32)[:, None].repeat(3, axis=1)
    on = np.concatenate([close, np.nextafter(close, np.float32(np.inf)), np.nextafter(close, np.float32(-np.inf))])
    assert np.abs(predict([model.to_onnx()], on) - model.predict(on)).max() <= 5e-6
    off = json.loads(model.text)
    for tree in off["learner"]["gradient_booster"]["model"]["trees"]:
        inner = np.array(tree["left_children"]) >= 0
        values = np.array(tree["split_conditions"], dtype=np.float32)
        tree["split_conditions"] = np.where(inner, np.nextafter(values, np.float32(np.inf)), values).tolist()
    wrong = XgBoostModel(json.dumps(off), NAMES)
    assert np.abs(predict([wrong.to_onnx()], on) - model.predict(on)).max() > 1e-3, "the rows must be able to show it"


def trees_of(model: XgBoostModel) -> list[dict[str, list[float]]]:
    trees: list[dict[str, list[float]]] = json.loads(model.text)["learner"]["gradient_booster"]["model"]["trees"]
    return trees


def test_xgboost_begins_with_the_mean_of_the_targets_and_stops_where_the_newest_sessions_get_no_better() -> None:
    features, target = rows()
    sessions = np.repeat(np.arange(COUNT // 20), 20)
    far = XgBoost(XgBoostConfig(trees=1), 1).fit(features, target + 50.0, np.ones(COUNT), NAMES)
    assert predict([far.to_onnx()], features).mean() == pytest.approx(50.0 + target.mean(), abs=0.1)
    noise = np.random.default_rng(3).normal(size=COUNT)
    stopped = XgBoost(XgBoostConfig(trees=200, patience=5, min_child_weight=2.0), 1).fit(features, noise, np.ones(COUNT), NAMES, sessions)
    assert len(trees_of(stopped)) < 60


def test_a_forest_is_scikit_learn_s_own_to_the_last_bits() -> None:
    features, target = rows()
    config = RandomForestConfig(trees=10, min_leaf=20, row_share=1.0, feature_share=1.0)
    model = RandomForest(config, 7).fit(features, target, np.ones(COUNT), NAMES)
    filled = np.where(np.isnan(features), np.nanmean(features.astype(np.float64), axis=0).astype(np.float32), features)
    native = RandomForestRegressor(10, max_depth=8, min_samples_leaf=20, random_state=7).fit(filled, target, sample_weight=np.ones(COUNT))
    np.testing.assert_allclose(model.predict(features), native.predict(filled), atol=1e-12)


def test_a_support_vector_machine_learns_from_evenly_spaced_rows_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    features, target = rows()
    with caplog.at_level(logging.WARNING):
        model = Svm(SvmConfig(max_rows=400, share=0.5)).fit(features, target, np.ones(COUNT), NAMES)
    assert isinstance(model, SvmModel) and len(model.vectors) <= 400
    assert "every 8th of 3000 rows" in caplog.text


@pytest.mark.parametrize("name", ["random_forest", "svm", "logistic"])
def test_a_class_that_never_occurs_is_refused(name: str) -> None:
    from signals.models.heads import ClassesHead

    features, target = rows(count=600)
    learner = learner_named(name, RecipeConfig(), 1, FitDevice.CPU, head=ClassesHead(("down", "flat", "up")))
    with pytest.raises(LearnerFailed, match="no row has the class 1 of 3"):
        learner.fit(features, np.where(target > 0, 2.0, 0.0), np.ones(600), NAMES)


def test_a_linear_model_of_one_output_is_read_from_the_text_that_earlier_programs_wrote() -> None:
    text = '{"coefficient": [0.5, -0.25, 0.0], "intercept": 1.5, "mean": [0, 0, 0], "names": ["a", "b", "c"], "scale": [1, 1, 1]}'
    model = read_linear(text)
    assert model.predict(np.array([[1.0, 2.0, 3.0]], dtype=np.float32)).tolist() == [1.5]
    assert json.loads(model.to_text())["coefficient"] == [0.5, -0.25, 0.0]


def test_which_learners_score_log_odds() -> None:
    found = {name: scores_log_odds(RecipeConfig(learner=name)) for name in ("lightgbm", "logistic", "svm", "random_forest", "ridge")}
    assert found == {"lightgbm": False, "logistic": True, "svm": True, "random_forest": False, "ridge": False}
    assert scores_log_odds(RecipeConfig.model_validate({"learner": "xgboost", "xgboost": {"objective": "extremes"}}))


@pytest.mark.parametrize("name", ["ridge", "logistic", "svm"])
def test_scaling_by_quartiles_is_the_graph_s_first_layer_and_a_few_wild_rows_do_not_move_it(name: str) -> None:
    features, target = rows(count=600)
    wild = features.copy()
    wild[:3] = 1e6
    known = np.where(np.isfinite(wild), wild, np.nan).astype(np.float64)
    config = RecipeConfig.model_validate({name: {"scaling": "quartiles"}})
    model = learner_named(name, config, 1, FitDevice.CPU).fit(wild, target, np.ones(600), NAMES)
    low, middle, high = np.nanpercentile(known, (25.0, 50.0, 75.0), axis=0)
    np.testing.assert_allclose(model.mean, middle, rtol=1e-6)
    np.testing.assert_allclose(model.scale, high - low, rtol=1e-6)
    np.testing.assert_allclose(predict([model.to_onnx()], wild), model.predict(wild), atol=1e-5)
    assert RecipeConfig().of(name).model_dump() == {key: value for key, value in config.of(name).model_dump().items() if key != "scaling"}


@pytest.mark.parametrize("name", [name for name, row in LEARNERS.items() if row.space])
def test_every_value_that_a_search_tries_is_one_that_the_learner_takes(name: str) -> None:
    row = LEARNERS[name]
    for parameter, values in row.space.items():
        for value in values:
            assert getattr(row.config.model_validate({parameter: value}), parameter) == value


def test_a_search_tries_leaves_of_few_and_of_many_rows() -> None:
    """How much a leaf must hold is what keeps trees on noisy targets from learning rows by heart."""
    least = {"lightgbm": "min_data_in_leaf", "xgboost": "min_child_weight", "random_forest": "min_leaf"}
    assert {name: RecipeConfig().search.of(name)[parameter] for name, parameter in least.items()} == dict.fromkeys(least, (50, 200))
