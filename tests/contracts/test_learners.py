"""The battery that every learner passes: deterministic, tolerant of NaN, exact when exported."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

pytest.importorskip("lightgbm", reason="learners are not part of a device")

from signals.bundle.graph import check_model
from signals.errors import FixInput
from trainer.learners.base import FitDevice, Learner, Model
from trainer.learners.export import TOLERANCE, export
from trainer.learners.parameters import CatBoostConfig, LightGbmConfig, MlpConfig, Objective
from trainer.learners.table import LEARNERS, LearnerKind
from trainer.recipes.base import RecipeConfig

COUNT, NAMES = 6000, ("signal", "noise", "dollars", "gaps", "constant")
SESSIONS = np.repeat(np.arange(COUNT // 50), 50)
BOOSTED = (LearnerKind.LIGHTGBM, LearnerKind.CATBOOST)
CASES = [
    *((kind, objective) for kind in BOOSTED for objective in Objective),
    *((kind, None) for kind in LearnerKind if kind not in BOOSTED),
]
DEEP = [
    pytest.mark.deep,
    # torch's own exporter uses what torch has deprecated
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
]
Make = Callable[[int], Learner]


def rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A signal of correlation 0.45, noise, raw dollar volumes, a column that is half NaN, a constant."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(COUNT, len(NAMES)))
    target = 0.5 * features[:, 0] + rng.normal(size=COUNT)
    features[:, 2] = np.exp(4.0 * features[:, 2] + 18.0)
    features[rng.random(COUNT) < 0.5, 3] = np.nan
    features[:, 4] = 1.0
    return features.astype(np.float32), target


def maker(kind: LearnerKind, objective: Objective | None) -> Make:
    chosen = {} if objective is None else {"objective": objective}
    config = RecipeConfig(
        lightgbm=LightGbmConfig(trees=30, min_data_in_leaf=50, **chosen),
        catboost=CatBoostConfig(trees=30, learning_rate=0.1, **chosen),
        mlp=MlpConfig(epochs=12, batch_rows=256),
    )
    return lambda seed: LEARNERS[kind](config, seed, FitDevice.CPU)


@pytest.fixture(
    params=[pytest.param(case, marks=DEEP if case[0] is LearnerKind.MLP else []) for case in CASES],
    ids=lambda case: "-".join(str(part) for part in case if part),
)
def case(request: pytest.FixtureRequest) -> tuple[LearnerKind, Objective | None]:
    if request.param[0] is LearnerKind.MLP:
        pytest.importorskip("torch", reason="torch is installed by `make test-deep`")
    chosen: tuple[LearnerKind, Objective | None] = request.param
    return chosen


@cache
def fitted(kind: LearnerKind, objective: Objective | None) -> Model:
    features, target = rows(0)
    return maker(kind, objective)(1).fit(features, target, np.ones(COUNT), NAMES, SESSIONS)


@pytest.fixture
def model(case: tuple[LearnerKind, Objective | None]) -> Model:
    return fitted(*case)


@pytest.fixture
def make(case: tuple[LearnerKind, Objective | None]) -> Make:
    return maker(*case)


def test_every_kind_has_a_learner() -> None:
    assert set(LEARNERS) == set(LearnerKind)


def test_it_obeys_the_protocols(make: Make, model: Model) -> None:
    assert isinstance(make(1), Learner) and isinstance(model, Model)
    assert model.names == NAMES and make(1).device is FitDevice.CPU


def test_it_finds_the_signal_on_rows_it_has_not_seen(model: Model) -> None:
    features, target = rows(99)
    assert np.corrcoef(model.predict(features), target)[0, 1] > 0.40


def test_the_same_seed_repeats_the_text_the_onnx_and_the_pickle(make: Make, model: Model) -> None:
    features, target = rows(0)
    again = make(1).fit(features, target, np.ones(COUNT), NAMES, SESSIONS)
    assert (model.to_text(), model.to_onnx()) == (again.to_text(), again.to_onnx())
    assert pickle.dumps(model) == pickle.dumps(again)


def test_its_text_reads_back_as_the_same_model(case: tuple[LearnerKind, Objective | None], model: Model) -> None:
    features, _ = rows(3)
    read = LEARNERS[case[0]].read(model.to_text(), NAMES)
    np.testing.assert_array_equal(read.predict(features), model.predict(features))
    assert read.to_text() == model.to_text()


def test_scores_are_finite_float64_even_of_rows_without_a_single_feature(model: Model) -> None:
    scores = model.predict(np.full((3, len(NAMES)), np.nan, dtype=np.float32))
    assert scores.dtype == np.float64 and scores.shape == (3,) and np.isfinite(scores).all()
    assert model.predict(np.zeros((0, len(NAMES)), dtype=np.float32)).shape == (0,)


def test_a_row_s_score_does_not_depend_on_its_neighbours(case: tuple[LearnerKind, Objective | None], model: Model) -> None:
    features, _ = rows(5)
    tolerance = 1e-6 if case[0] is LearnerKind.MLP else 0.0  # torch's matrix product sums in another order
    np.testing.assert_allclose(model.predict(features)[::7], model.predict(features[::7]), rtol=0.0, atol=tolerance)


def test_a_heavier_weight_pulls_the_score(case: tuple[LearnerKind, Objective | None], make: Make) -> None:
    """Targets -1 and +1 that the one feature cannot tell apart: the heavier half wins."""
    if case[1] is Objective.RANK:
        pytest.skip("an order within sessions has no level")
    features = np.tile(np.array([[0.0], [1.0]], dtype=np.float32), (COUNT // 2, 1))
    target, weight = np.repeat([-1.0, 1.0], COUNT // 2), np.repeat([1.0, 3.0], COUNT // 2)
    heavy_top = make(1).fit(features, target, weight, ("none",), SESSIONS).predict(features[:2])
    heavy_bottom = make(1).fit(features, target, weight[::-1].copy(), ("none",), SESSIONS).predict(features[:2])
    assert (heavy_top > 0.3).all() and (heavy_bottom < -0.3).all()


def test_the_export_is_exact_and_a_device_accepts_it(model: Model) -> None:
    features, _ = rows(7)
    exported = export(model, features)
    assert exported.parity.max_difference <= TOLERANCE and exported.parity.rows_with_nan > 1000
    check_model(exported.onnx, "model.onnx")


def test_importance_is_shares_led_by_the_signal(model: Model) -> None:
    importance = model.importance()
    assert importance.sum() == pytest.approx(1.0) and int(np.argmax(importance)) == 0
    assert importance[NAMES.index("constant")] == 0.0


def test_contributions_sum_to_the_score_and_none_comes_from_a_constant(case: tuple[LearnerKind, Objective | None], model: Model) -> None:
    features, _ = rows(11)
    if case[0] is LearnerKind.MLP:
        with pytest.raises(FixInput, match="SHAP"):
            model.contributions(features)
        return
    parts = model.contributions(features[:200])
    np.testing.assert_allclose(parts.sum(axis=1), model.predict(features[:200]), atol=1e-9)
    assert parts.shape == (200, len(NAMES) + 1) and not parts[:, NAMES.index("constant")].any()


@pytest.mark.parametrize("kind", [k for k in LearnerKind if k is not LearnerKind.MLP], ids=str)
def test_cuda_without_one_is_an_error_and_auto_says_what_it_took(kind: LearnerKind) -> None:
    if kind is LearnerKind.CATBOOST:
        from trainer.learners.catb import catboost_device

        if catboost_device(FitDevice.AUTO) is FitDevice.CUDA:
            pytest.skip("this machine has CUDA")
    with pytest.raises(FixInput, match="no CUDA device"):
        LEARNERS[kind](RecipeConfig(), 1, FitDevice.CUDA)
    assert LEARNERS[kind](RecipeConfig(), 1, FitDevice.AUTO).device is FitDevice.CPU
