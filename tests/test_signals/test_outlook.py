"""An outlook says what a bundle expects of a name: probability, side and return, or null where nothing is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from signals.bundle import Bundle, verify
from signals.bundle.calibration import AppliedCalibration, PlattMap
from signals.bundle.child_inference import infer_in_child
from signals.bundle.manifest import HeadLine, InformationCoefficient, ModelForm
from signals.errors import FixInput, ScoresInvalid
from signals.models.heads import ClassesHead, Head, MeanScaleHead, QuantilesHead, ScoreHead, StudentTHead, VectorHead
from signals.models.inference import infer
from signals.serving.outlook import FeatureRows, Outlook, Predictor, document, outlooks, student_below
from tests.fakes.bundles import SPEC, Recipe, keyset, policy
from tests.fakes.minutes import invented
from tests.fakes.onnx_models import stump_scores

NAMES = tuple(name for name, _, _ in SPEC)
DAY, BEFORE = date(2024, 2, 29), date(2024, 2, 28)
MAPPED = ModelForm(
    heads=(HeadLine(name="score", head=ScoreHead(), calibration=AppliedCalibration(event="up", map=PlattMap(slope=0.8, intercept=-0.1))),)
)


def bundle(folder: Path, form: ModelForm | None = MAPPED, mean: float = 0.04) -> Bundle:
    Recipe(form=form, ic=InformationCoefficient(mean=mean, t=2.0, standard_error=0.02)).write(folder / "b")
    return verify(folder / "b", keyset(), policy(), reproduce=infer)


def rows(count: int, days: tuple[date, ...] = (DAY,)) -> FeatureRows:
    symbols, asof = [f"S{n:02}" for n in range(count)] * len(days), [day for day in days for _ in range(count)]
    values = np.random.default_rng(3).normal(size=(len(asof), len(NAMES))).astype(np.float32)
    return FeatureRows(tuple(symbols), tuple(asof), NAMES, values)


def test_probability_side_and_confidence_follow_from_the_map_by_hand(tmp_path: Path) -> None:
    """p = 1 / (1 + exp(-(0.8 s - 0.1))); its side from one half is the signal, and the larger of p and 1 - p the confidence."""
    found = Predictor(bundle(tmp_path)).predict(asked := rows(12))
    up = [1 / (1 + math.exp(-(0.8 * s - 0.1))) for s in stump_scores(asked.values)]
    assert [one.probabilities and one.probabilities[0] for one in found] == pytest.approx(up, abs=1e-6)
    assert [one.signal for one in found] == [1 if p > 0.5 else -1 for p in up] and {one.signal for one in found} == {1, -1}
    assert [one.confidence for one in found] == pytest.approx([max(p, 1 - p) for p in up], abs=1e-6)


def test_the_expected_return_is_ic_times_volatility_times_z_by_hand(tmp_path: Path) -> None:
    """Ten names, equally volatile at 0.252 a year: over 5 of 252 sessions sigma = 0.252 sqrt(5/252); shrunk IC = 0.04 x 4/5."""
    scores = np.arange(10.0)[:, None]
    found = outlooks(bundle(tmp_path), [f"S{n}" for n in range(10)], [DAY] * 10, scores, np.full(10, 0.252))
    best = 0.032 * 0.252 * math.sqrt(5 / 252) * 1.6448536  # Phi^-1(0.95)
    assert found[-1].expected_return == pytest.approx(best, rel=1e-6)
    assert found[0].expected_return == pytest.approx(-best, rel=1e-6)


@pytest.mark.parametrize(
    ("count", "volatility", "mean"),
    [(9, 0.2, 0.04), (10, math.nan, 0.04), (10, 0.2, -0.04), (10, 0.2, 0.0)],
    ids=["too few names", "no volatility", "a negative IC", "no IC"],
)
def test_what_is_not_known_is_null(tmp_path: Path, count: int, volatility: float, mean: float) -> None:
    found = outlooks(
        bundle(tmp_path, None, mean), ["A"] * count, [DAY] * count, np.arange(float(count))[:, None], np.full(count, volatility)
    )
    assert {(one.signal, one.probabilities, one.confidence, one.expected_return) for one in found} == {(None,) * 4}


def test_without_a_map_the_signal_is_the_side_of_the_expected_return(tmp_path: Path) -> None:
    found = outlooks(bundle(tmp_path, None), ["A"] * 11, [DAY] * 11, np.arange(11.0)[:, None], np.full(11, 0.2))
    assert [one.signal for one in found] == [-1] * 5 + [0] + [1] * 5


def test_the_document_has_the_keys_of_the_contract_and_no_number_that_json_lacks(tmp_path: Path) -> None:
    sound = bundle(tmp_path)
    (one,) = Predictor(sound).predict(rows(1))
    said = document(one)
    assert list(said) == ["signal", "probabilities", "confidence", "expected_return", "symbol", "asof", "bundle"]
    assert (said["symbol"], said["asof"], said["bundle"], said["expected_return"]) == ("S00", "2024-02-29", sound.sha256, None)


def test_z_is_taken_within_each_session_and_the_order_of_the_rows_is_kept(tmp_path: Path) -> None:
    sound, both = bundle(tmp_path), rows(12, (DAY, BEFORE))
    together = Predictor(sound).predict(both)
    alone = Predictor(sound).predict(FeatureRows(both.symbols[:12], both.asof[:12], NAMES, both.values[:12]))
    assert together[:12] == alone
    assert [(one.symbol, one.asof) for one in together] == list(zip(both.symbols, both.asof, strict=True))


def test_a_limited_child_says_the_same(tmp_path: Path) -> None:
    sound = bundle(tmp_path)
    assert Predictor(sound, run=infer_in_child).predict(rows(12)) == Predictor(sound).predict(rows(12))


def test_rows_that_are_none_double_infinite_or_of_other_features_are_refused(tmp_path: Path) -> None:
    day, one = (DAY,), np.zeros((1, 3), np.float32)
    with pytest.raises(FixInput, match="no row"):
        FeatureRows((), (), NAMES, np.empty((0, 3), np.float32))
    with pytest.raises(FixInput, match="comes twice"):
        FeatureRows(("A", "A"), day * 2, NAMES, np.zeros((2, 3), np.float32))
    with pytest.raises(FixInput, match="mom_5 is too large"):
        FeatureRows(("A",), day, NAMES, one + np.float32(np.inf))
    with pytest.raises(ScoresInvalid, match="feature 0 is 'vol_20'"):
        Predictor(bundle(tmp_path)).predict(FeatureRows(("A",), day, (NAMES[1], NAMES[0], NAMES[2]), one))


def test_minutes_are_no_question_to_a_bundle_of_daily_bars(tmp_path: Path) -> None:
    with pytest.raises(FixInput, match="reads no minutes"):
        Predictor(bundle(tmp_path)).predict_bars(invented(90, 14))


CLASSES = ClassesHead(("short", "neutral", "long"))
MEANS = (-1.0, 0.005, 1.0)


def of_head(folder: Path, head: Head, parameters: Mapping[str, tuple[float, ...]]) -> Bundle:
    sound = bundle(folder, None)
    manifest = sound.manifest.model_copy(update={"heads": (HeadLine(name="score", head=head),)})
    return replace(sound, manifest=manifest, parameters={name: np.array(values) for name, values in parameters.items()})


def seen(folder: Path, head: Head, raw: list[list[float]], unit: float = 0.02, **parameters: tuple[float, ...]) -> tuple[Outlook, ...]:
    count = len(raw)
    return outlooks(of_head(folder, head, parameters), ["MES"] * count, [DAY] * count, np.array(raw), np.full(count, unit))


def test_classes_give_the_likeliest_and_the_range_times_what_each_is_worth_by_hand(tmp_path: Path) -> None:
    """p = (0.2, 0.3, 0.5), ATR 2 % of the close: 0.02 (-0.2 + 0.0015 + 0.5) = 0.00603."""
    (one,) = seen(tmp_path, CLASSES, [np.log([0.2, 0.3, 0.5]).tolist()], outlook_means=MEANS)
    assert one.probabilities == pytest.approx((0.2, 0.3, 0.5)) and (one.signal, one.confidence) == (1, pytest.approx(0.5))
    assert one.expected_return == pytest.approx(0.00603)
    assert document(one)["probabilities"] == pytest.approx([0.2, 0.3, 0.5])


@pytest.mark.parametrize(
    ("odds", "limits", "signal"),
    [
        ((0.5, 0.3, 0.2), (0.0, 0.0), -1),
        ((0.2, 0.6, 0.2), (0.0, 0.0), 0),
        ((0.25, 0.375, 0.375), (0.0, 0.0), 0),
        ((0.2, 0.3, 0.5), (0.51, 0.0), 0),
        ((0.2, 0.3, 0.5), (0.49, 0.0), 1),
        ((0.2, 0.3, 0.5), (0.0, 0.0061), 0),
        ((0.2, 0.3, 0.5), (0.0, 0.0060), 1),
    ],
    ids=["short", "neutral", "a tie", "too little confidence", "enough", "too small an edge", "edge enough"],
)
def test_a_tie_little_confidence_or_a_small_edge_is_no_signal(
    tmp_path: Path, odds: tuple[float, ...], limits: tuple[float, ...], signal: int
) -> None:
    (one,) = seen(tmp_path, CLASSES, [np.log(odds).tolist()], outlook_means=MEANS, outlook_limits=limits)
    assert one.signal == signal


def test_an_edge_that_is_asked_for_and_not_known_is_no_signal(tmp_path: Path) -> None:
    raw = [np.log([0.2, 0.3, 0.5]).tolist()]
    (unknown,) = seen(tmp_path, CLASSES, raw, math.nan, outlook_means=MEANS, outlook_limits=(0.0, 0.001))
    assert (unknown.signal, unknown.expected_return) == (0, None)
    (unasked,) = seen(tmp_path, CLASSES, raw, math.nan, outlook_means=MEANS)
    assert (unasked.signal, unasked.expected_return) == (1, None)
    (meaningless,) = seen(tmp_path, CLASSES, raw)
    assert (meaningless.signal, meaningless.expected_return) == (1, None)


def test_quantiles_give_the_median_and_the_chance_to_be_above_nothing(tmp_path: Path) -> None:
    """0 is a third of the way from q10 = -0.2 to q50 = 0.4: P(y <= 0) = 0.1 + 0.4 / 3; 0.02 x 0.4 x 1 = 0.008."""
    one, surely = seen(tmp_path, QuantilesHead((0.1, 0.5, 0.9)), [[-0.2, 0.4, 1.0], [0.1, 0.2, 0.3]], outlook_means=(1.0,))
    assert one.probabilities == pytest.approx((1.0 - 0.1 - 0.4 / 3,)) and one.expected_return == pytest.approx(0.008)
    assert (one.signal, one.confidence) == (1, pytest.approx(0.9 - 0.4 / 3))
    assert surely.probabilities == pytest.approx((0.9,)), "beyond the outermost quantile nothing is known"


def test_student_s_t_gives_its_location_and_the_law_s_own_chance(tmp_path: Path) -> None:
    """P(t_3 > -1) = 0.804499 by the tables; location -0.5 of scale 0.5 is its mirror."""
    up, down = seen(tmp_path, StudentTHead(), [[0.5, 0.5, 3.0], [-0.5, 0.5, 3.0]], outlook_means=(2.0,))
    assert up.probabilities == pytest.approx((0.804499,), abs=1e-6) and up.expected_return == pytest.approx(0.02)
    assert down.probabilities == pytest.approx((1 - 0.804499,), abs=1e-6) and (down.signal, down.confidence) == (-1, up.confidence)


def test_student_s_law_is_scipy_s_to_twelve_digits() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is an oracle of the tests")
    z = np.linspace(-12.0, 12.0, 97)
    for df in (2.1, 3.0, 7.7, 40.0, 300.0):
        np.testing.assert_allclose(student_below(z, np.full(97, df)), stats.t.cdf(z, df), atol=1e-12)


def test_a_mean_and_scale_says_its_side_and_no_probability(tmp_path: Path) -> None:
    (one,) = seen(tmp_path, MeanScaleHead(), [[-0.3, 1.0]], outlook_means=(1.0,))
    assert (one.signal, one.probabilities, one.confidence, one.expected_return) == (-1, None, None, pytest.approx(-0.006))


def test_parameters_of_another_shape_and_vectors_are_refused(tmp_path: Path) -> None:
    means, limits = {"outlook_means": MEANS}, {"outlook_limits": (0.5,)}
    wrong: list[tuple[Head, Mapping[str, tuple[float, ...]]]] = [(QuantilesHead((0.5,)), means), (CLASSES, limits), (StudentTHead(), means)]
    for head, parameters in wrong:
        with pytest.raises(FixInput, match=r"not [12] numbers"):
            Predictor(of_head(tmp_path, head, parameters))
    with pytest.raises(FixInput, match="a vector has no outlook"):
        Predictor(of_head(tmp_path, VectorHead(length=4), {}))
