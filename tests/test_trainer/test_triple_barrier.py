"""Triple barrier, uniqueness and fractional differencing, by hand."""

from __future__ import annotations

import doctest
from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from signals.errors import InvariantBroken
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars
from tests.fakes.bars import synthetic_bars
from trainer.labels import fractional, weights
from trainer.labels.fractional import fractional_difference, fractional_weights
from trainer.labels.triple_barrier import BarrierLabels, Barriers, triple_barrier_labels
from trainer.labels.weights import average_uniqueness, bootstrap_probabilities, sequential_bootstrap

# Returns +1 %, -1 %, +1 %: the standard deviation (ddof 1) at session 3 is 0.02 / sqrt(3) = 0.011547.
QUIET = [100.0, 101.0, 99.99, 100.9899]
SIGMA = 0.02 / np.sqrt(3.0)
RULE = Barriers(profit=2.0, stop=1.0, max_sessions=3, window=3)
Bar = tuple[float, float, float, float]


def after_quiet(*later: Bar) -> Bars:
    """Four quiet sessions, then open, high, low, close as given; the features of session 3 enter at the first open."""
    bars = np.array([(c, c, c, c) for c in QUIET] + list(later))
    opened, high, low, close = (bars[:, i : i + 1] for i in range(4))
    before = np.vstack([[[np.nan]], close[:-1]])
    newest = np.array([close[:t, 0][np.isfinite(close[:t, 0])][-1:].tolist() or [np.nan] for t in range(len(bars))])
    gap = [np.where(np.isnan(before), price / newest - 1.0, np.nan) for price in (close, opened)]
    return Bars(
        sessions=np.busday_offset(np.datetime64("2024-01-02"), np.arange(len(bars))),
        symbols=("A",),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=np.where(np.isnan(close), np.nan, 1.0),
        total_return=close / before - 1.0,
        overnight_return=opened / before - 1.0,
        eligible=~np.isnan(close),
        gap_return=gap[0],
        gap_overnight=gap[1],
    )


def outcome(found: BarrierLabels, row: int = 3) -> tuple[float, int, int]:
    return float(found.labels.values[row, 0]), int(found.side[row, 0]), int(found.labels.ends[row, 0])


def test_the_profit_barrier_is_two_sigma_above_the_entry() -> None:
    bars = after_quiet((100.0, 100.5, 99.5, 100.0), (100.0, 103.0, 99.5, 102.0), (102.0, 102.0, 102.0, 102.0))
    assert outcome(triple_barrier_labels(bars, RULE)) == (pytest.approx(2 * SIGMA), 1, 5)


def test_the_stop_is_one_sigma_below_and_counts_from_the_entry_s_own_session() -> None:
    bars = after_quiet((100.0, 100.5, 98.0, 100.0), (100.0, 103.0, 99.5, 102.0))
    assert outcome(triple_barrier_labels(bars, RULE)) == (pytest.approx(-SIGMA), -1, 4)


def test_both_in_one_bar_is_the_stop() -> None:
    bars = after_quiet((100.0, 100.5, 99.5, 100.0), (100.0, 103.0, 98.0, 102.0))
    assert outcome(triple_barrier_labels(bars, RULE)) == (pytest.approx(-SIGMA), -1, 5)


@pytest.mark.parametrize(("bar", "value", "side"), [((95.0, 104.0, 94.0, 96.0), -0.05, -1), ((107.0, 108.0, 90.0, 106.0), 0.07, 1)])
def test_a_gap_through_a_barrier_fills_at_the_open(bar: Bar, value: float, side: int) -> None:
    bars = after_quiet((100.0, 100.5, 99.5, 100.0), bar)
    assert outcome(triple_barrier_labels(bars, RULE)) == (pytest.approx(value), side, 5)


def test_patience_ends_at_the_close_of_the_last_session() -> None:
    calm = (100.0, 100.5, 99.5, 100.2)
    bars = after_quiet(calm, calm, (100.0, 100.5, 99.5, 99.8), (100.0, 200.0, 50.0, 100.0))
    assert outcome(triple_barrier_labels(bars, RULE)) == (pytest.approx(-0.002), 0, 6)


def test_a_panel_that_ends_first_and_an_entry_without_a_bar_leave_no_label() -> None:
    calm, gap = (100.0, 100.5, 99.5, 100.2), (np.nan,) * 4
    assert np.isnan(outcome(triple_barrier_labels(after_quiet(calm, calm), RULE))[0])
    assert np.isnan(outcome(triple_barrier_labels(after_quiet(gap, calm, calm, calm), RULE))[0])


def test_a_halt_is_waited_through_and_a_fall_across_it_stops_at_the_open() -> None:
    """Back in the third session at 41, 59 % below the entry: through the stop, so it fills there."""
    calm, gap = (100.0, 100.5, 99.5, 100.0), (np.nan,) * 4
    bars = after_quiet(calm, gap, (41.0, 42.0, 40.0, 41.5), calm)
    assert outcome(triple_barrier_labels(bars, RULE)) == (pytest.approx(-0.59), -1, 6)


def test_patience_that_ends_without_a_bar_leaves_at_the_next_open_else_after_20_sessions_at_the_last_price() -> None:
    calm, gap = (100.0, 100.5, 99.5, 100.2), (np.nan,) * 4
    back = after_quiet(calm, calm, gap, gap, (90.0, 95.0, 85.0, 94.0))
    assert outcome(triple_barrier_labels(back, RULE)) == (pytest.approx(-0.10), 0, 8)
    gone = after_quiet(calm, calm, *[gap] * 21)
    assert outcome(triple_barrier_labels(gone, RULE)) == (pytest.approx(0.002), 0, 26)
    assert np.isnan(outcome(triple_barrier_labels(gone.rows(0, 26), RULE))[0])


def test_a_delisting_ends_the_label_at_its_payout() -> None:
    bars = after_quiet((100.0, 100.5, 99.5, 100.2), (np.nan,) * 4, (np.nan,) * 4)
    day: date = bars.sessions[5].astype(object)
    gone = Action(ActionKind.DELISTING, "A", day, day, cash=Decimal("30"))
    assert outcome(triple_barrier_labels(bars, RULE, delistings=(gone,))) == (pytest.approx(-0.70), 0, 5)


def test_a_split_moves_no_barrier() -> None:
    bars = after_quiet((100.0, 100.5, 99.5, 100.0), (100.0, 103.0, 99.5, 102.0), (102.0, 102.0, 102.0, 102.0))
    half = np.where(np.arange(7) >= 5, 0.5, 1.0)[:, None]
    split = replace(bars, **{name: getattr(bars, name) * half for name in ("open", "high", "low", "close")})
    assert outcome(triple_barrier_labels(split, RULE)) == outcome(triple_barrier_labels(bars, RULE))


def test_sigma_is_known_at_the_features_session() -> None:
    """A wild session after it changes the outcome, not the barrier: the profit is still two old sigmas."""
    bars = after_quiet((100.0, 100.5, 99.5, 100.0), (100.0, 150.0, 99.5, 140.0), (140.0, 140.0, 140.0, 140.0))
    assert outcome(triple_barrier_labels(bars, RULE))[0] == pytest.approx(2 * SIGMA)


def slowly(bars: Bars, rule: Barriers, t: int, n: int) -> tuple[float, int]:
    """One cell, bar by bar, in the entry session's price level."""
    returns = bars.total_return[t - rule.window + 1 : t + 1, n]
    entry, sigma, scale = bars.open[t + 1, n], returns.std(ddof=1), 1.0
    if not np.isfinite(entry * sigma) or not bars.eligible[t, n]:
        return np.nan, -1
    upper, lower = entry * (1 + rule.profit * sigma), entry * (1 - rule.stop * sigma)
    last = t + 1
    for h in range(1, rule.max_sessions + 21):
        if t + h >= len(bars.sessions):
            return np.nan, -1
        if np.isnan(bars.close[t + h, n]):
            continue
        if h > 1:  # one plus the total return carries the level over dividends
            total = (bars.total_return if last == t + h - 1 else bars.gap_return)[t + h, n]
            scale *= (1 + total) * bars.close[last, n] / bars.close[t + h, n]
        last = t + h
        o, hi, lo, c = (scale * getattr(bars, f)[t + h, n] for f in ("open", "high", "low", "close"))
        if h > rule.max_sessions or (h > 1 and (o <= lower or o >= upper)):
            return o / entry - 1, t + h
        if lo <= lower:
            return lower / entry - 1, t + h
        if hi >= upper:
            return upper / entry - 1, t + h
        if h == rule.max_sessions:
            return c / entry - 1, t + h
    return scale * bars.close[last, n] / entry - 1, t + rule.max_sessions + 20


def test_every_cell_is_what_a_bar_by_bar_walk_finds() -> None:
    bars, rule = synthetic_bars(6, sessions=90, symbols=5, missing=0.06), Barriers(window=10, max_sessions=6)
    found = triple_barrier_labels(bars, rule)
    walked = np.array([[slowly(bars, rule, t, n) for n in range(5)] for t in range(9, 89)])
    np.testing.assert_allclose(found.labels.values[9:89], walked[..., 0], rtol=1e-9)
    np.testing.assert_array_equal(found.labels.ends[9:89], walked[..., 1])
    assert {-1, 0, 1} == set(np.unique(found.side))


def test_the_books_three_labels_are_this_unique() -> None:
    indicator = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]])
    lives = [np.flatnonzero(row) for row in indicator]
    first, last = np.array([life[0] for life in lives]), np.array([life[-1] for life in lives])
    assert average_uniqueness(first, last) == pytest.approx([5 / 6, 0.75, 1.0])


def test_uniqueness_is_that_of_the_indicator_matrix() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 50, 200)
    last = first + rng.integers(0, 9, 200)
    matrix = (np.arange(60) >= first[:, None]) & (np.arange(60) <= last[:, None])
    alive = matrix.sum(axis=0)
    expected = [np.mean(1.0 / alive[row]) for row in matrix]
    np.testing.assert_allclose(average_uniqueness(first, last), expected)


def test_the_examples_are_true() -> None:
    for module in (weights, fractional):
        result = doctest.testmod(module)
        assert result.attempted > 0 and result.failed == 0


def test_the_sequential_bootstrap_overlaps_less_than_a_plain_one() -> None:
    rng = np.random.default_rng(1)
    first = np.sort(rng.integers(0, 100, 60))
    last = first + 8
    drawn = [sequential_bootstrap(first, last, 60, np.random.default_rng(seed)) for seed in range(5)]
    plain = [np.random.default_rng(seed).choice(60, 60) for seed in range(5)]
    ours, theirs = (np.mean([average_uniqueness(first[d], last[d]).mean() for d in sets]) for sets in (drawn, plain))
    assert ours > theirs
    assert bootstrap_probabilities(first, last, np.zeros(0, dtype=np.int64)) == pytest.approx(np.full(60, 1 / 60))


def test_fractional_weights_and_their_difference() -> None:
    assert fractional_weights(0.4, 6) == pytest.approx([1, -0.4, -0.12, -0.064, -0.0416, -0.029952])
    assert fractional_weights(1.0, 3).tolist() == pytest.approx([1.0, -1.0, 0.0])
    values = np.array([1.0, 4.0, 9.0, np.nan, 25.0, 36.0])
    assert fractional_difference(values, 1.0, window=2) == pytest.approx([np.nan, 3, 5, np.nan, np.nan, 11], nan_ok=True)
    assert np.isnan(fractional_difference(values, 0.4, window=9)).all()


def test_impossible_lives_and_barriers_are_refused() -> None:
    with pytest.raises(InvariantBroken):
        average_uniqueness(np.array([3]), np.array([2]))
    with pytest.raises(InvariantBroken):
        Barriers(stop=0.0)
    with pytest.raises(InvariantBroken):
        fractional_weights(0.4, 0)
