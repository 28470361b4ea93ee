"""Scores come from the bundle's bytes, for the eligible names of one session, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from signals.bundle import Bundle, Golden, Part, verify
from signals.bundle.calibration import AppliedCalibration, PlattMap, TemperatureMap
from signals.bundle.child_inference import infer_in_child
from signals.bundle.manifest import HeadLine, ModelForm
from signals.bundle.verification import Infer
from signals.errors import DataNotUsable, ScoresInvalid
from signals.features.panel import FeaturePanel
from signals.models.heads import ClassesHead, ScoreHead
from signals.models.inference import GraphMember, Inputs, Outputs, infer, predict
from signals.scoring.scores import z_scores
from signals.scoring.scoring import score
from signals.views import WindowsView
from tests.fakes.bundles import SPEC, Recipe, keyset, policy
from tests.fakes.onnx_models import last_of_windows, nan_model, stump_model, stump_scores

NAMES = tuple(name for name, _, _ in SPEC)
DAY = date(2024, 2, 29)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    Recipe().write(tmp_path / "b")
    return verify(tmp_path / "b", keyset(), policy(), reproduce=infer)


def panel(values: np.ndarray, eligible: np.ndarray, names: tuple[str, ...] = NAMES) -> FeaturePanel:
    days = np.array(["2024-02-28", "2024-02-29"], dtype="datetime64[D]")
    symbols = tuple(f"S{i}" for i in range(values.shape[1]))
    return FeaturePanel(days, symbols, names, values.astype(np.float32), eligible)


def two_sessions(symbols: int = 9) -> tuple[np.ndarray, np.ndarray]:
    values = np.random.default_rng(5).normal(size=(2, symbols, len(NAMES))).astype(np.float32)
    values[1, 2, 0] = np.nan
    eligible = np.ones((2, symbols), dtype=bool)
    eligible[1, [0, 4]] = False
    return values, eligible


def test_eligible_names_of_the_newest_session_are_scored_and_nobody_else(bundle: Bundle) -> None:
    values, eligible = two_sessions()
    scores = score(bundle, panel(values, eligible))
    assert (scores.asof, scores.sleeve, scores.source) == (DAY, "equities_xs", bundle.sha256)
    assert scores.symbols == ("S1", "S2", "S3", "S5", "S6", "S7", "S8")
    assert scores.values.dtype == np.float64
    assert scores.values == pytest.approx(stump_scores(values[1][eligible[1]]), abs=1e-6)


def test_permuting_the_symbols_permutes_the_scores(bundle: Bundle) -> None:
    values, _ = two_sessions()
    everyone = np.ones(values.shape[:2], dtype=bool)
    order = np.random.default_rng(6).permutation(values.shape[1])
    straight, shuffled = score(bundle, panel(values, everyone)), score(bundle, panel(values[:, order], everyone))
    assert np.array_equal(straight.values[order], shuffled.values)


def test_an_ensemble_scores_the_mean_of_its_models(tmp_path: Path) -> None:
    values, eligible = two_sessions()
    rows = values[1][eligible[1]]
    both = predict([stump_model(3, seed=1), stump_model(3, seed=2)], rows)
    assert both == pytest.approx((stump_scores(rows, seed=1) + stump_scores(rows, seed=2)) / 2, abs=1e-6)


def classes_of_windows(folder: Path) -> Bundle:
    """Three classes of the newest session of a window of four: their log odds are that session's three features."""
    model = last_of_windows(4, 3)
    inputs = np.random.default_rng(4).normal(size=(16, 4, 3)).astype(np.float32)
    line = HeadLine(
        name="score",
        head=ClassesHead(("down", "flat", "up")),
        calibration=AppliedCalibration(event="its class", map=TemperatureMap(temperature=2.0)),
    )
    recipe = Recipe(
        files={**Recipe().files, "model.onnx": (Part.MODEL, model)},
        golden=Golden({"features": inputs}, {"score": inputs[:, 3].astype(np.float64)}),
        form=ModelForm(view=WindowsView(4), heads=(line,)),
    )
    recipe.write(folder)
    return verify(folder, keyset(), policy(), reproduce=infer)


@pytest.mark.parametrize("run", [infer, infer_in_child], ids=["here", "in the child"])
def test_windows_of_classes_rank_by_their_calibrated_probabilities(tmp_path: Path, run: Infer) -> None:
    """Log odds 2 ln(1, 3, 4), temperature 2: probabilities 1/8, 3/8, 4/8, so the score is 3/8; of equal ones 0."""
    values = np.zeros((2, 2, 3), dtype=np.float32)
    values[1, 0] = 2.0 * np.log([1.0, 3.0, 4.0])
    found = score(classes_of_windows(tmp_path / "b"), panel(values, np.ones((2, 2), dtype=bool)), run=run)
    assert found.values == pytest.approx([3 / 8, 0.0], abs=1e-6)
    assert found.probabilities == pytest.approx([1 / 2, 1 / 3], abs=1e-6)


def test_a_score_carries_the_probability_of_its_map_and_none_without_one(tmp_path: Path, bundle: Bundle) -> None:
    """Platt by hand: p = 1 / (1 + exp(-(1000 s + 0.5))), held a millionth away from 0 and 1; the scores stay as they are."""
    line = HeadLine(
        name="score", head=ScoreHead(), calibration=AppliedCalibration(event="it rises", map=PlattMap(slope=1000.0, intercept=0.5))
    )
    Recipe(form=ModelForm(heads=(line,))).write(tmp_path / "mapped")
    mapped = verify(tmp_path / "mapped", keyset(), policy(), reproduce=infer)
    features = panel(*two_sessions())
    plain, found = score(bundle, features), score(mapped, features)
    assert plain.probabilities is None and plain.values.tolist() == found.values.tolist()
    assert found.probabilities is not None
    said = 1.0 / (1.0 + np.exp(-np.clip(1000.0 * found.values + 0.5, -600, 600)))
    assert found.probabilities == pytest.approx(np.clip(said, 1e-6, 1.0 - 1e-6), abs=1e-12)
    assert found.probabilities.min() == 1e-6 and found.probabilities.max() == 1.0 - 1e-6


def test_an_evening_larger_than_a_block_scores_as_one(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    features = panel(*two_sessions())
    whole = score(bundle, features)
    seen: list[int] = []

    def counted(members: Sequence[GraphMember], inputs: Inputs) -> Outputs:
        seen.append(len(inputs["features"]))
        return infer(members, inputs)

    monkeypatch.setattr("signals.scoring.scoring.BLOCK_VALUES", 9)
    parts = score(bundle, features, run=counted)
    assert seen == [3, 3, 1] and parts.values.tolist() == whole.values.tolist() and parts.symbols == whole.symbols


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("mom_6", "vol_20", "rank_mom_5"), "feature 0 is 'mom_6', the bundle was trained with 'mom_5'"),
        (("mom_5", "rank_mom_5", "vol_20"), "feature 1 is 'rank_mom_5', the bundle was trained with 'vol_20'"),
        (("mom_5", "vol_20"), "feature 'rank_mom_5' of the bundle is missing"),
        (("mom_5", "vol_20", "rank_mom_5", "gap"), "feature 'gap' is unknown to the bundle"),
    ],
)
def test_another_feature_list_is_refused_by_its_first_difference(bundle: Bundle, names: tuple[str, ...], reason: str) -> None:
    features = panel(np.zeros((2, 3, len(names))), np.ones((2, 3), dtype=bool), names)
    with pytest.raises(ScoresInvalid, match=reason):
        score(bundle, features)


def test_a_session_without_eligible_names_is_not_scored(bundle: Bundle) -> None:
    with pytest.raises(DataNotUsable, match="no eligible name"):
        score(bundle, panel(np.zeros((2, 3, 3)), np.zeros((2, 3), dtype=bool)))


def test_scores_that_are_not_finite_are_refused(bundle: Bundle) -> None:
    """The files dictionary is replaced as no verified bundle's could be: the last line of defence holds only."""
    files = {**bundle.contents.files, bundle.manifest.of(Part.MODEL)[0].path: nan_model(len(SPEC))}
    broken = replace(bundle, contents=replace(bundle.contents, files=files))
    with pytest.raises(ScoresInvalid, match="9 of 9 scores are not finite"):
        score(broken, panel(two_sessions()[0], np.ones((2, 9), dtype=bool)))


def test_z_scores_are_of_each_session_s_names_that_have_a_score() -> None:
    """1 3, mean 2, deviation 1, the missing one aside; equal scores and a session without any rank nothing."""
    nan = np.nan
    panel = np.array([[1.0, nan, 3.0], [0.1, 0.1, 0.1], [nan, nan, nan]])
    np.testing.assert_array_equal(z_scores(panel), [[-1.0, nan, 1.0], [nan] * 3, [nan] * 3])
    row = np.random.default_rng(3).normal(size=50)
    np.testing.assert_array_equal(z_scores(row), (row - row.mean()) / np.std(row))
