"""Scores come from the bundle's bytes, for the eligible names of one session, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from signals.bundle import Bundle, Part, verify
from signals.errors import DataNotUsable, ScoresInvalid
from signals.features.panel import FeaturePanel
from signals.inference import predict
from signals.scoring.scores import z_scores
from signals.scoring.scoring import score
from tests.fakes.bundles import SPEC, Recipe, keyset, policy
from tests.fakes.onnx_models import nan_model, stump_model, stump_scores

NAMES = tuple(name for name, _, _ in SPEC)
DAY = date(2024, 2, 29)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    Recipe().write(tmp_path / "b")
    return verify(tmp_path / "b", keyset(), policy(), reproduce=predict)


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
