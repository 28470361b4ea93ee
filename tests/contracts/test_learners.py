"""The battery that every learner passes: deterministic, tolerant of NaN, exact when exported."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightgbm", reason="learners are not part of a device")

from distributed import LocalCluster

from signals.bundle.child_inference import infer_in_child
from signals.bundle.graph import check_model
from signals.bundle.profiles import PROFILE_OF_VIEW
from signals.errors import FixInput
from signals.market.bars import Floats
from signals.models.heads import ClassesHead, Head
from signals.models.inference import FEATURES, SCORE, GraphMember
from tests.fakes.learners import write_covariance, write_two_moments
from trainer.learners.base import FitDevice, HasHead, Learner, Matrix, Model
from trainer.learners.export import TOLERANCE, export
from trainer.learners.fanout import cluster, side_by_side
from trainer.learners.networks.rows import NETWORKS
from trainer.learners.parameters import CatBoostConfig, LightGbmConfig, Objective
from trainer.learners.row import ONE_SCORE
from trainer.learners.table import LEARNERS, learner_named
from trainer.recipes.base import RecipeConfig

COUNT, FEW, STEPS, NAMES = 6000, 1200, 8, ("signal", "noise", "dollars", "gaps", "constant")
SESSIONS = np.repeat(np.arange(COUNT // 50), 50)
BOOSTED = ("lightgbm", "catboost", "xgboost")
BUILT_IN = tuple(LEARNERS)
MIXED = ("voting", "blending", "stacking")
TABLES = ("ridge", "logistic", "random_forest", "svm", *MIXED, "covariance")  # the last one lives in a package of its own
OF_CLASSES = tuple(name for name, row in LEARNERS.items() if row.capabilities.heads == {"score", "classes"})
WITHOUT_SHAP = ("random_forest", "svm")
DEEP = (*NETWORKS, "two_moments")  # the last one lives in a package of its own
SLOWLY_EXPORTED = set(DEEP) - {"mlp", "dlinear", "cnn"}
CASES = [*((name, objective) for name in BOOSTED for objective in Objective), *((name, None) for name in (*TABLES, *DEEP))]
QUICK = {"batch_rows": 256, "learning_rate": 4e-3, "epochs": 6}
SMALL: dict[str, dict[str, object]] = {
    "mlp": {"epochs": 12},
    "lstm": {"hidden": 12},
    "gru": {"hidden": 12},
    "tcn": {"channels": 8, "blocks": 2},
    "transformer": {"size": 8, "heads": 2, "layers": 1},
    "patchtst": {"size": 8, "heads": 2, "layers": 1, "patch": 4, "stride": 2},
    "dlinear": {"average": 3, "epochs": 30},
    "nbeats": {"hidden": 32, "degree": 2, "frequencies": 2},
    "inception": {"channels": 4, "kernels": (3, 5), "modules": 2},
    "itransformer": {"size": 8, "heads": 2, "layers": 1, "epochs": 12},
    "tft": {"size": 8, "heads": 2},
    "resnet": {"channels": 8, "kernels": (3, 3), "blocks": 1},
    "nhits": {"hidden": 32, "rates": (4, 1)},
    "deepar": {"hidden": 12},
    "quantile_rnn": {"hidden": 12},
    "mamba": {"size": 6, "state": 4},
    "conv_attention": {"size": 8, "heads": 2, "layers": 1},
    "cnn": {"channels": (4, 8)},
    "bar_cnn": {"channels": (4, 8), "embedding": 8, "mixing": 0.0, "jitter": 0, "epochs": 20},
}
PARITY, BOOSTED_PARITY = 1e-6, 5e-6
CLASSES = ClassesHead(("down", "flat", "up"))
FOUNDATION = {"chronos_bolt", "timesfm"}  # learn nothing and have no graph: tests/test_trainer/test_foundation.py
# By `make families`: a minute of CPU.
LATER = ("itransformer", "tft", "resnet", "nhits", "deepar", "quantile_rnn", "mamba", "bar_cnn", "conv_attention")
MARKS = [pytest.mark.deep, pytest.mark.skipif(find_spec("torch") is None, reason="torch is installed by `make test-deep`")]
Case = tuple[str, Objective | None]


def marks_of(name: str, *more: pytest.MarkDecorator) -> list[pytest.MarkDecorator]:
    return [*(MARKS if name in DEEP else []), *([pytest.mark.slow] if name in LATER else []), *more]


def one_of_the_loop(name: str) -> list[pytest.MarkDecorator]:
    """Networks share one loop of training: of what is the loop's, one is asked before each change, and all by `make families`."""
    return [pytest.mark.slow] if name in DEEP and name != "mlp" else []


Make = Callable[[int], Learner]


def rows(seed: int, count: int = COUNT) -> tuple[np.ndarray, np.ndarray]:
    """A signal of correlation 0.45, noise, raw dollar volumes, a column that is half NaN, a constant."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, len(NAMES)))
    target = 0.5 * features[:, 0] + rng.normal(size=count)
    features[:, 2] = np.exp(4.0 * features[:, 2] + 18.0)
    features[rng.random(count) < 0.5, 3] = np.nan
    features[:, 4] = 1.0
    return features.astype(np.float32), target


def seen(name: str, features: Matrix) -> Matrix:
    """Rows in a learner's own view: windows or pictures whose last session they are, other rows' values before it."""
    views = LEARNERS[name].capabilities.views
    if "table" in views:
        return features
    windows = np.stack([np.roll(features, ago, axis=0) for ago in range(STEPS - 1, -1, -1)], axis=1)
    return np.ascontiguousarray(windows.swapaxes(1, 2)[:, None]) if "image" in views else windows


def maker(name: str, objective: Objective | None, head: Head = ONE_SCORE) -> Make:
    chosen = {} if objective is None else {"objective": objective}
    small = {name: {**QUICK, **SMALL.get(name, {})}} if name in DEEP else {}
    config = RecipeConfig(
        lightgbm=LightGbmConfig(trees=30, min_data_in_leaf=50, **chosen),
        catboost=CatBoostConfig(trees=30, learning_rate=0.1, **chosen),
        xgboost={"trees": 30, "learning_rate": 0.1, "min_child_weight": 8.0, **chosen},  # type: ignore[call-arg]
        random_forest={"trees": 15, "feature_share": 0.6, "max_depth": 5},  # type: ignore[call-arg]
        svm={"max_rows": 900, "inverse_penalty": 0.1, "width": 8.0},  # type: ignore[call-arg]
        **{one: {"members": ("lightgbm", "xgboost"), **({} if one == "voting" else {"gap_sessions": 3})} for one in MIXED},  # type: ignore[arg-type]
        **small,  # type: ignore[arg-type]
    )
    return lambda seed: learner_named(name, config, seed, FitDevice.CPU, head=head)


@pytest.fixture(scope="module", autouse=True)
def packages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folders: list[Path] = [write_covariance(tmp_path_factory.mktemp("covariance"))]
    if find_spec("torch"):
        folders.append(write_two_moments(tmp_path_factory.mktemp("two_moments")))
    with pytest.MonkeyPatch.context() as patch:
        for folder in folders:
            patch.syspath_prepend(folder)
        yield


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1") as local:
        yield local.scheduler_address


def named(case: Case) -> str:
    return "-".join(str(part) for part in case if part)


@pytest.fixture(params=[pytest.param(case, marks=marks_of(case[0])) for case in CASES], ids=named)
def case(request: pytest.FixtureRequest) -> Case:
    chosen: Case = request.param
    return chosen


@cache
def fitted(name: str, objective: Objective | None) -> Model:
    features, target = rows(0)
    return maker(name, objective)(1).fit(seen(name, features), target, np.ones(COUNT), NAMES, SESSIONS)


@pytest.fixture
def model(case: Case) -> Model:
    return fitted(*case)


@pytest.fixture
def make(case: Case) -> Make:
    return maker(*case)


def test_every_learner_of_the_table_is_in_this_battery() -> None:
    tested = {name for name, _ in CASES}
    assert {*LEARNERS, *DEEP} - FOUNDATION == tested == {*BUILT_IN, "covariance", "two_moments"} - FOUNDATION


def test_it_obeys_the_protocols(make: Make, model: Model) -> None:
    assert isinstance(make(1), Learner) and isinstance(model, Model)
    assert model.names == NAMES and make(1).device is FitDevice.CPU


def test_it_finds_the_signal_on_rows_it_has_not_seen(case: Case, model: Model) -> None:
    features, target = rows(99)
    assert np.corrcoef(model.predict(seen(case[0], features)), target)[0, 1] > 0.40


def test_the_same_seed_repeats_the_text_the_onnx_and_the_pickle(case: Case, make: Make, model: Model) -> None:
    features, target = rows(0)
    again = make(1).fit(seen(case[0], features), target, np.ones(COUNT), NAMES, SESSIONS)
    assert (model.to_text(), pickle.dumps(model)) == (again.to_text(), pickle.dumps(again))
    if case[0] not in SLOWLY_EXPORTED:
        assert model.to_onnx() == again.to_onnx()


def scores(inputs: tuple[Matrix, Floats], learner: Learner) -> bytes:
    """Bytes of the scores, on rows it has not seen, of a learner fitted on the rest."""
    features, target = inputs
    fit = learner.fit(features[:FEW], target[:FEW], np.ones(FEW), NAMES, SESSIONS[:FEW])
    return fit.predict(features[FEW:]).tobytes()


def alone(case: Case, make: Make) -> tuple[tuple[Matrix, Floats], list[tuple[Learner]], list[bytes]]:
    """Rows, four fits of three seeds, and what they score one by one."""
    features, target = rows(4, 2 * FEW)
    inputs, jobs = (seen(case[0], features), target), [(make(seed),) for seed in (1, 2, 3, 1)]
    return inputs, jobs, list(side_by_side(scores, inputs, jobs, workers=1))


def test_scores_are_the_same_bytes_again_and_side_by_side(case: Case, make: Make) -> None:
    inputs, jobs, known = alone(case, make)
    assert known[0] == known[3] and (known[0] != known[1] or not LEARNERS[case[0]].by_chance)
    assert list(side_by_side(scores, inputs, jobs, workers=2)) == known


@pytest.mark.deep  # the workers of a cluster take long to start; `make test` has one in test_cluster.py
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=marks_of(name, *one_of_the_loop(name))) for name in BUILT_IN if name not in FOUNDATION]
)
def test_a_cluster_gives_the_same_bytes(name: str, address: str) -> None:
    case = (name, Objective.REGRESSION if name in BOOSTED else None)
    inputs, jobs, known = alone(case, maker(*case))
    with cluster(address):
        assert list(side_by_side(scores, inputs, jobs, workers=1)) == known


def test_its_text_reads_back_as_the_same_model(case: Case, model: Model) -> None:
    features = seen(case[0], rows(3)[0])
    read = LEARNERS[case[0]].read(model.to_text(), NAMES)
    np.testing.assert_array_equal(read.predict(features), model.predict(features))
    assert read.to_text() == model.to_text()


def test_scores_are_finite_float64_even_of_rows_without_a_single_feature(case: Case, model: Model) -> None:
    empty = seen(case[0], np.full((3, len(NAMES)), np.nan, dtype=np.float32))
    scores = model.predict(empty)
    assert scores.dtype == np.float64 and scores.shape == (3,) and np.isfinite(scores).all()
    assert model.predict(empty[:0]).shape == (0,)


def test_a_row_s_score_does_not_depend_on_its_neighbours(case: Case, model: Model) -> None:
    features = seen(case[0], rows(5)[0])
    tolerance = 1e-6 if case[0] in DEEP else 0.0  # torch's matrix product sums in another order
    np.testing.assert_allclose(model.predict(features)[::7], model.predict(features[::7]), rtol=0.0, atol=tolerance)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=marks_of(case[0], *one_of_the_loop(case[0]))) for case in CASES], indirect=True, ids=named
)
def test_a_heavier_weight_pulls_the_score(case: Case, make: Make) -> None:
    """Targets -1 and +1 that the one feature cannot tell apart: the heavier half wins."""
    if case[1] is Objective.RANK:
        pytest.skip("an order within sessions has no level")
    features = seen(case[0], np.repeat([[0.0], [1.0]], COUNT // 2, axis=0).astype(np.float32))
    target, weight = np.tile([-1.0, 1.0], COUNT // 2), np.tile([1.0, 3.0], COUNT // 2)
    asked = features[[100, -1]]
    heavy_top = make(1).fit(features, target, weight, ("none",), SESSIONS).predict(asked)
    heavy_bottom = make(1).fit(features, target, weight[::-1].copy(), ("none",), SESSIONS).predict(asked)
    assert (heavy_top > 0.3).all() and (heavy_bottom < -0.3).all()


def test_the_export_is_exact_and_a_device_accepts_it(case: Case, model: Model) -> None:
    features = seen(case[0], rows(7)[0])
    exported = export(model, features)
    most = PARITY if case[0] in DEEP else BOOSTED_PARITY if case[0] in (*BOOSTED, *MIXED) else TOLERANCE
    assert exported.parity.max_difference <= most and exported.parity.rows_with_nan > 1000
    views = LEARNERS[case[0]].capabilities.views
    (profile,) = {PROFILE_OF_VIEW[view] for view in (["table"] if "table" in views else views)}
    check_model(exported.onnx, "model.onnx", profile)
    if case[0] in DEEP:
        there = infer_in_child([GraphMember(exported.onnx, profile=profile)], {FEATURES: features[:300]})[SCORE]
        np.testing.assert_allclose(there[:, 0], model.predict(features[:300]), rtol=0.0, atol=PARITY)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_classes_are_learned_ranked_and_exported_with_a_raw_score_each(name: str) -> None:
    """Thirds of the target, worst to best: probabilities have their shares, and the expected class ranks."""
    features, target = rows(0)
    edges = np.quantile(target, (1 / 3, 2 / 3))
    model = maker(name, None, CLASSES)(1).fit(features, np.digitize(target, edges).astype(np.float64), np.ones(COUNT), NAMES, SESSIONS)
    unseen, known = rows(99)
    assert isinstance(model, HasHead) and model.head.width == 3
    assert np.corrcoef(model.predict(unseen), known)[0, 1] > 0.35
    odds = CLASSES.probabilities(model.outputs(unseen))
    assert odds.mean(axis=0) == pytest.approx([(np.digitize(known, edges) == one).mean() for one in range(3)], abs=0.04)
    exported = export(model, rows(7)[0])
    assert exported.parity.max_difference <= BOOSTED_PARITY
    check_model(exported.onnx, "model.onnx")
    read = LEARNERS[name].read(model.to_text(), NAMES)
    np.testing.assert_array_equal(read.predict(unseen), model.predict(unseen))
    assert model.importance().sum() == pytest.approx(1.0) and int(np.argmax(model.importance())) == 0


def test_importance_is_shares_led_by_the_signal(model: Model) -> None:
    importance = model.importance()
    assert importance.sum() == pytest.approx(1.0) and int(np.argmax(importance)) == 0
    assert importance[NAMES.index("constant")] == 0.0


def test_contributions_sum_to_the_score_and_none_comes_from_a_constant(case: Case, model: Model) -> None:
    features, _ = rows(11)
    if case[0] in (*DEEP, *WITHOUT_SHAP):
        with pytest.raises(FixInput, match="SHAP"):
            model.contributions(features)
        return
    parts = model.contributions(features[:200])
    exact = 1e-5 if case[0] in ("xgboost", *MIXED) else 1e-9  # XGBoost sums in float32
    np.testing.assert_allclose(parts.sum(axis=1), model.predict(features[:200]), atol=exact)
    assert parts.shape == (200, len(NAMES) + 1) and not parts[:, NAMES.index("constant")].any()


@pytest.mark.parametrize("name", [pytest.param(name, marks=MARKS if name in DEEP else []) for name in (*BOOSTED, *TABLES, "mlp")])
def test_cuda_without_one_is_an_error_and_auto_says_what_it_took(name: str) -> None:
    if learner_named(name, RecipeConfig(), 1).device is FitDevice.CUDA:
        pytest.skip("this machine has CUDA")
    with pytest.raises(FixInput, match="no CUDA device"):
        learner_named(name, RecipeConfig(), 1, FitDevice.CUDA)
    assert learner_named(name, RecipeConfig(), 1, FitDevice.AUTO).device is FitDevice.CPU
