"""Drift of a sleeve of events, of which a session has few rows: one pool, a least number of rows, and a limit not under chance."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from signals.features.panel import FeaturePanel
from signals.monitoring.drift import LEAST_ROWS, DriftState, TrailingDrift, by_chance, reference, trailing_psi

NAMES = ("kind", "size", "pole")
POOLS = 50


def events(sessions: int, share: float, seed: int, *, shift: float = 0.0) -> tuple[FeaturePanel, list[np.ndarray]]:
    """Events of 60 names, `share` of them a session, whose figures have a session's own part; and their scores, one array a session."""
    rng = np.random.default_rng(seed)
    eligible = rng.random((sessions, 60)) < share
    eligible[rng.random(sessions) < 0.2] = False
    values = rng.normal(size=(sessions, 60, 3)) + 0.2 * rng.normal(size=(sessions, 1, 1)) + shift
    values[:, :, 0] = rng.integers(1, 6, (sessions, 60)) + (shift > 0.0)
    values[:, :, 2][rng.random((sessions, 60)) < 0.8] = np.nan
    days = np.busday_offset(np.datetime64("2020-01-02"), np.arange(sessions), roll="forward")
    panel = FeaturePanel(days, tuple(f"S{i:02d}" for i in range(60)), NAMES, values.astype(np.float32), eligible)
    return panel, [values[t, eligible[t], 1] + 0.5 * rng.normal(size=eligible[t].sum()) for t in range(sessions)]


def dense(panel: FeaturePanel, scores: list[np.ndarray]) -> np.ndarray:
    found = np.full(panel.eligible.shape, np.nan)
    found[panel.eligible] = np.concatenate(scores)
    return found


HISTORY, SCORES = events(500, 0.25, 1)
REFERENCE = reference(HISTORY, dense(HISTORY, SCORES))


def pools(share: float, least: int = LEAST_ROWS, *, shift: float = 0.0) -> list[TrailingDrift]:
    return [trailing_psi(REFERENCE, *events(60, share, 100 + seed, shift=shift), least) for seed in range(POOLS)]


def exceeded(found: list[TrailingDrift]) -> int:
    """How many of the figures of all pools are beyond their limit."""
    return sum(row.is_exceeded for one in found for row in (one.score, *one.features))


def test_chance_is_chi_squared_over_the_rows() -> None:
    for bins in (2, 5, 11):
        law = np.full(bins, 1.0 / bins)
        assert by_chance(law, 400) == pytest.approx(chi2.ppf(0.999, bins - 1) / 400, rel=0.04)
    assert by_chance(np.array([1.0, 0.0]), 400) == 0.0


@pytest.mark.parametrize("share", [0.25, 0.1])
def test_pools_of_the_references_own_law_are_within_their_limits(share: float) -> None:
    """Of 200 figures; a device of fewer names than were learned from has fewer rows in its pool."""
    assert exceeded(pools(share)) <= 4


def test_limits_of_larger_pools_would_be_passed_by_chance() -> None:
    """The planted fault: pools of 300 rows held to what windows of 700 came to."""
    assert exceeded(pools(0.1, least=0)) > 40


def test_a_shift_of_half_a_deviation_in_a_figure_and_in_the_score_is_seen() -> None:
    found = pools(0.25, shift=0.5)
    for place, name in enumerate(NAMES[:2]):
        assert sum(one.features[place].is_exceeded for one in found) >= 48, name
    assert sum(one.score.is_exceeded for one in found) >= 48


def test_under_the_least_number_of_rows_nothing_is_said() -> None:
    panel, scores = events(60, 0.04, 9, shift=3.0)
    assert panel.eligible.sum() < LEAST_ROWS
    found = trailing_psi(REFERENCE, panel, scores, LEAST_ROWS)
    for one in (found.score, *found.features):
        assert one.state is DriftState.TOO_FEW_ROWS and not one.is_exceeded and "too few rows" in one.state.value
    early = trailing_psi(REFERENCE, panel, scores[1:], LEAST_ROWS)
    assert early.score.state is DriftState.TOO_LITTLE_HISTORY


def test_an_evening_without_an_event_is_no_gap() -> None:
    panel, scores = events(60, 0.25, 9)
    assert any(len(one) == 0 for one in scores)
    assert trailing_psi(REFERENCE, panel, scores, LEAST_ROWS).score.state is DriftState.MEASURED
