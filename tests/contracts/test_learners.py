"""The battery that every learner passes: deterministic, tolerant of NaN, exact when exported."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("lightgbm", reason="learners are not part of a device")

from signals.bundle.graph import check_model
from trainer.export import TOLERANCE, export
from trainer.models.base import Learner, Model
from trainer.models.lgbm import LightGbmConfig
from trainer.recipes.base import LEARNERS, LearnerKind, RecipeConfig

COUNT, NAMES = 6000, ("signal", "noise", "dollars", "gaps", "constant")
CONFIG = RecipeConfig(lightgbm=LightGbmConfig(trees=30, min_data_in_leaf=50))


def rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A signal of correlation 0.45, noise, raw dollar volumes, a column that is half NaN, a constant."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(COUNT, len(NAMES)))
    target = 0.5 * features[:, 0] + rng.normal(size=COUNT)
    features[:, 2] = np.exp(4.0 * features[:, 2] + 18.0)
    features[rng.random(COUNT) < 0.5, 3] = np.nan
    features[:, 4] = 1.0
    return features.astype(np.float32), target


@pytest.fixture(params=list(LearnerKind), ids=str)
def make(request: pytest.FixtureRequest) -> Callable[[int], Learner]:
    return lambda seed: LEARNERS[request.param](CONFIG, seed)


def fit(make: Callable[[int], Learner], seed: int = 1) -> Model:
    features, target = rows(0)
    return make(seed).fit(features, target, np.ones(COUNT), NAMES)


def test_every_kind_has_a_learner() -> None:
    assert set(LEARNERS) == set(LearnerKind)


def test_it_obeys_the_protocols(make: Callable[[int], Learner]) -> None:
    assert isinstance(make(1), Learner) and isinstance(fit(make), Model)
    assert fit(make).names == NAMES


def test_it_finds_the_signal_on_rows_it_has_not_seen(make: Callable[[int], Learner]) -> None:
    features, target = rows(99)
    assert np.corrcoef(fit(make).predict(features), target)[0, 1] > 0.40


def test_the_same_seed_repeats_the_text_the_onnx_and_the_pickle(make: Callable[[int], Learner]) -> None:
    one, two = fit(make), fit(make)
    assert (one.to_text(), one.to_onnx(), pickle.dumps(one)) == (two.to_text(), two.to_onnx(), pickle.dumps(two))


def test_scores_are_finite_float64_even_of_rows_without_a_single_feature(make: Callable[[int], Learner]) -> None:
    scores = fit(make).predict(np.full((3, len(NAMES)), np.nan, dtype=np.float32))
    assert scores.dtype == np.float64 and scores.shape == (3,) and np.isfinite(scores).all()


def test_a_row_s_score_does_not_depend_on_its_neighbours(make: Callable[[int], Learner]) -> None:
    model, (features, _) = fit(make), rows(5)
    np.testing.assert_array_equal(model.predict(features)[::7], model.predict(features[::7]))


def test_a_heavier_weight_pulls_the_score(make: Callable[[int], Learner]) -> None:
    """Two halves with targets -1 and +1 and no features to tell them apart: the heavier half wins."""
    features, target = np.zeros((COUNT, 1), dtype=np.float32), np.repeat([-1.0, 1.0], COUNT // 2)
    weight = np.repeat([1.0, 3.0], COUNT // 2)
    assert make(1).fit(features, target, weight, ("none",)).predict(features[:1])[0] == pytest.approx(0.5, abs=0.02)


def test_the_export_is_exact_and_a_device_accepts_it(make: Callable[[int], Learner]) -> None:
    features, _ = rows(7)
    exported = export(fit(make), features)
    assert exported.parity.max_difference <= TOLERANCE and exported.parity.rows_with_nan > 1000
    check_model(exported.onnx, "model.onnx")


def test_importance_is_shares_led_by_the_signal(make: Callable[[int], Learner]) -> None:
    importance = fit(make).importance()
    assert importance.sum() == pytest.approx(1.0) and int(np.argmax(importance)) == 0
    assert importance[NAMES.index("constant")] == 0.0
