"""Drift is measured against the training history's own windows."""

from __future__ import annotations

import json

import duckdb
import numpy as np
import pytest

from signals.errors import BundleRefused, InvariantBroken, TooLittleHistory
from signals.features.panel import FeaturePanel
from signals.monitoring.drift import DriftState, psi, read_reference, reference, trailing_psi, watched
from signals.text.documents import to_json

NAMES = ("dow_sin", "calm", "holes", "rank_calm")


def panel(sessions: int = 300, symbols: int = 20, seed: int = 4) -> tuple[FeaturePanel, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(sessions, symbols, 4)).astype(np.float32)
    values[:, :, 0] = np.sin(np.arange(sessions))[:, None]
    values[:, :, 2][rng.random((sessions, symbols)) < 0.1] = np.nan
    eligible = rng.random((sessions, symbols)) < 0.9
    days = np.busday_offset(np.datetime64("2020-01-02"), np.arange(sessions), roll="forward")
    features = FeaturePanel(days, tuple(f"S{i:02d}" for i in range(symbols)), NAMES, values, eligible)
    return features, np.where(eligible, rng.normal(size=eligible.shape), np.nan)


def rows(features: FeaturePanel, first: int, last: int, *, shift: float = 0.0) -> FeaturePanel:
    return FeaturePanel(
        features.sessions[first:last],
        features.symbols,
        features.names,
        features.values[first:last] + np.float32(shift),
        features.eligible[first:last],
    )


def by_session(scores: np.ndarray) -> list[np.ndarray]:
    return [row[np.isfinite(row)] for row in scores]


def test_psi_of_the_published_case() -> None:
    """Ten bins of 0.1 against (.05, .05, .1 x 6, .15, .15): 2(-.05 ln .5) + 2(.05 ln 1.5) = .1098612."""
    actual = np.array([0.05, 0.05, *[0.1] * 6, 0.15, 0.15])
    assert float(psi(np.full(10, 0.1), actual)) == pytest.approx(0.1098612, abs=1e-7)
    assert psi(np.full(10, 0.1), np.stack([actual, np.full(10, 0.1)])).shape == (2,)


def test_psi_is_symmetric_never_negative_and_finite_with_empty_bins() -> None:
    empty, full = np.array([0.0, 1.0]), np.array([0.5, 0.5])
    assert float(psi(empty, full)) == float(psi(full, empty)) > 0
    assert np.isfinite(psi(empty, np.array([1.0, 0.0])))


def test_calendar_features_and_ranks_are_not_watched() -> None:
    features, _ = panel()
    assert watched(features) == ("calm", "holes")


def test_the_limit_is_the_999th_thousandth_of_the_same_statistic_over_every_window() -> None:
    """An independent, naive oracle: SQL counts of each window, deciles by sorting."""
    features, scores = panel(sessions=90, symbols=8)
    made = reference(features, scores).features["holes"]
    cells = [(t, None if np.isnan(x) else float(x)) for t in range(90) for x in features.values[t, features.eligible[t], 2]]
    known = sorted(x for _, x in cells if x is not None)
    assert made.edges == pytest.approx([np.percentile(known, p) for p in range(10, 100, 10)], rel=1e-6)
    database = duckdb.connect()
    database.execute("create table cells (t int, x double)")
    database.executemany("insert into cells values (?, ?)", cells)
    bins = " + ".join(f"(x > {edge!r})::int" for edge in made.edges)

    def shares(first: int, last: int) -> np.ndarray:
        found = database.execute(
            f"select coalesce({bins}, 10) b, count(*) from cells where t between {first} and {last} group by b"
        ).fetchall()
        counts = np.zeros(11)
        for which, count in found:
            counts[which] = count
        return counts / counts.sum()

    pooled = shares(0, 89)
    assert made.shares == pytest.approx(pooled.tolist())
    windows = []
    for first in range(31):
        e, a = np.maximum(pooled, 1e-4), np.maximum(shares(first, first + 59), 1e-4)
        windows.append(float(((a - e) * np.log(a / e)).sum()))
    assert made.limit == pytest.approx(np.percentile(windows, 99.9), rel=1e-9)


def test_on_the_training_history_under_one_session_in_a_hundred_is_beyond_its_limit() -> None:
    features, scores = panel(sessions=400)
    made, sessions = reference(features, scores), by_session(scores)
    found = [trailing_psi(made, rows(features, t - 60, t), sessions[t - 60 : t]) for t in range(60, 401)]
    assert sum(one.score.is_exceeded for one in found) / len(found) < 0.01
    for column in range(2):
        assert sum(one.features[column].is_exceeded for one in found) / len(found) < 0.01


def test_a_shift_of_half_a_deviation_is_beyond_the_limit() -> None:
    features, scores = panel()
    made = reference(features, scores)
    shifted = trailing_psi(made, rows(features, 240, 300, shift=0.5), by_session(scores[240:] + 0.5))
    assert all(one.is_exceeded and one.ratio > 1 for one in (*shifted.features, shifted.score))


def test_a_feature_that_goes_missing_is_beyond_the_limit() -> None:
    features, scores = panel()
    made = reference(features, scores)
    values = features.values.copy()
    values[240:, :, 1] = np.nan
    gone = FeaturePanel(features.sessions, features.symbols, features.names, values, features.eligible)
    calm = next(one for one in trailing_psi(made, gone, by_session(scores)).features if one.name == "calm")
    assert calm.is_exceeded


def test_too_little_history_is_a_state_of_its_own_and_not_a_trip() -> None:
    features, scores = panel()
    made = reference(features, scores)
    early = trailing_psi(made, rows(features, 0, 60), by_session(scores[:59]))
    assert early.score.state is DriftState.TOO_LITTLE_HISTORY and not early.score.is_exceeded
    assert all(one.state is DriftState.MEASURED for one in early.features)
    assert trailing_psi(made, rows(features, 0, 59), by_session(scores[:60])).score.state is DriftState.MEASURED


def test_a_full_window_without_a_single_value_trips() -> None:
    """Missing input fails closed: sixty sessions are there and hold nothing."""
    features, scores = panel()
    nothing = trailing_psi(reference(features, scores), rows(features, 0, 60), [np.empty(0)] * 60)
    assert np.isnan(nothing.score.value) and nothing.score.is_exceeded


def test_a_constant_feature_has_limit_zero_and_any_change_is_beyond_it() -> None:
    features, scores = panel()
    values = features.values.copy()
    values[:, :, 1] = np.where(np.arange(20) % 2 == 0, 1.0, 2.0)  # two values, one per symbol, every session
    everyone = np.ones_like(features.eligible)
    steady = FeaturePanel(features.sessions, features.symbols, features.names, values, everyone)
    made = reference(steady, scores)
    assert made.features["calm"].limit == pytest.approx(0.0, abs=1e-15)
    moved = values.copy()
    moved[240:, :, 1] = 2.0
    later = FeaturePanel(features.sessions, features.symbols, features.names, moved, everyone)
    assert trailing_psi(made, later, by_session(scores)).features[0].is_exceeded


def test_the_reference_survives_json() -> None:
    features, scores = panel()
    made = reference(features, scores)
    again = read_reference(json.loads(json.dumps(to_json(made), allow_nan=False)))
    here, there = (trailing_psi(r, rows(features, 200, 260), by_session(scores[200:260])) for r in (made, again))
    assert here == there and again == made


def test_faults_are_told_apart() -> None:
    features, scores = panel()
    with pytest.raises(TooLittleHistory, match="60 sessions"):
        reference(rows(features, 0, 59), scores[:59])
    with pytest.raises(TooLittleHistory, match="no training session has a score"):
        reference(features, np.full_like(scores, np.nan))
    with pytest.raises(InvariantBroken):
        reference(features, scores[:, :3])
    made = to_json(reference(features, scores))
    for broken in ({}, {**made, "format": "x"}, {**made, "features": {"gone": made["score"]}}, {**made, "score": {}}):
        with pytest.raises(BundleRefused):
            trailing_psi(read_reference(broken), features, by_session(scores))
