"""Labels: what is traded is what is learned, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from signals.errors import InvariantBroken
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars, departures
from tests.fakes.bars import synthetic_bars
from trainer.labels.horizon import EntryPrice, horizon_labels, normal_ranks


def one_name(opens: list[float], closes: list[float], dividends: dict[int, float] | None = None) -> Bars:
    """A single eligible name with the given prices; a dividend goes ex at its session."""
    count = len(opens)
    o, c = np.array(opens)[:, None], np.array(closes)[:, None]
    paid = np.array([(dividends or {}).get(t, 0.0) for t in range(count)])[:, None]
    before = np.vstack([[[np.nan]], c[:-1]])
    gap = np.full((2, count, 1), np.nan)
    for t in range(count):
        earlier = np.flatnonzero(np.isfinite(c[:t, 0]))
        if np.isfinite(c[t, 0]) and earlier.size and earlier[-1] < t - 1:
            gap[:, t, 0] = np.array([c[t, 0], o[t, 0]]) / c[earlier[-1], 0] - 1.0
    return Bars(
        sessions=np.busday_offset(np.datetime64("2024-01-02"), np.arange(count)),
        symbols=("A",),
        open=o,
        high=np.maximum(o, c),
        low=np.minimum(o, c),
        close=c,
        volume=np.where(np.isnan(c), np.nan, 1000.0),
        total_return=(c + paid) / before - 1.0,
        overnight_return=(o + paid) / before - 1.0,
        eligible=~np.isnan(c),
        gap_return=gap[0],
        gap_overnight=gap[1],
    )


PANELS = ("open", "high", "low", "close", "volume", "total_return", "overnight_return", "gap_return", "gap_overnight")
OPENS = [10.0, 11.0, 12.0, 13.0, 12.5, 14.0]
CLOSES = [10.5, 11.5, 12.2, 12.8, 13.5, 14.5]


def test_the_label_runs_from_the_next_open_to_the_open_k_sessions_later() -> None:
    """k = 2: the features of session 0 buy at 11.0 (session 1) and sell at 13.0 (session 3): +2/11."""
    labels = horizon_labels(one_name(OPENS, CLOSES), 2)
    assert labels.values[:, 0] == pytest.approx([13 / 11 - 1, 12.5 / 12 - 1, 14 / 13 - 1, np.nan, np.nan, np.nan], nan_ok=True)
    assert labels.ends[:, 0].tolist() == [3, 4, 5, -1, -1, -1]


def test_one_session_runs_from_open_to_open() -> None:
    labels = horizon_labels(one_name(OPENS, CLOSES), 1)
    assert labels.values[0, 0] == pytest.approx(12.0 / 11.0 - 1)


def test_dividends_while_held_count_and_the_one_of_the_entry_session_does_not() -> None:
    """Bought at the open of session 1, ex that day: no right to it. Ex at 2 and at the exit's session 3: both are held.

    Reinvested at the ex-day's base, 1 + y = (11.5/11) * (12.2 + 0.5)/11.5 * (13 + 0.25)/12.2.
    """
    labels = horizon_labels(one_name(OPENS, CLOSES, {1: 9.0, 2: 0.5, 3: 0.25}), 2)
    assert labels.values[0, 0] == pytest.approx((12.7 / 11.0) * (13.25 / 12.2) - 1)


def test_a_split_changes_no_label() -> None:
    """From session 2 on every price is halved and returns are restated for it: the labels stay."""
    plain = one_name(OPENS, CLOSES)
    halved = np.where(np.arange(6) >= 2, 0.5, 1.0)[:, None]
    split = replace(plain, **{name: getattr(plain, name) * halved for name in ("open", "high", "low", "close")})
    np.testing.assert_allclose(horizon_labels(split, 2).values, horizon_labels(plain, 2).values, rtol=1e-12)


def test_a_missing_bar_on_the_way_changes_no_label_and_a_missing_entry_leaves_none() -> None:
    """k = 2. Features of 0 buy at 11.0 and sell at 13.0 in session 3, session 2 missing; features of 1 buy nothing."""
    gap = [10.5, 11.5, np.nan, 12.8, 13.5, 14.5]
    opens = [10.0, 11.0, np.nan, 13.0, 12.5, 14.0]
    labels = horizon_labels(one_name(opens, gap), 2)
    assert labels.values[0, 0] == pytest.approx(13 / 11 - 1) and labels.ends[0, 0] == 3
    assert np.isnan(labels.values[1, 0]) and labels.ends[1, 0] == -1


@pytest.mark.parametrize(("entry", "expected"), [("opg", 5.2 / 11), ("cls", 5.0 / 11.5), ("day", 5.1 / 11.25)])
def test_a_missing_exit_takes_the_next_price_of_its_kind(entry: str, expected: float) -> None:
    """k = 2 from 0: due in session 3, which has no bar; back in session 4 at 5.2, closing at 5.0: known at 4."""
    opens, closes = [10.0, 11.0, 12.0, np.nan, 5.2, 5.1], [10.5, 11.5, 12.2, np.nan, 5.0, 5.3]
    labels = horizon_labels(one_name(opens, closes), 2, entry=EntryPrice(entry))
    assert labels.values[0, 0] == pytest.approx(expected - 1) and labels.ends[0, 0] == 4
    assert np.isnan(labels.values[2, 0])  # no bar at its entry


@pytest.mark.parametrize(("effective", "value", "end"), [(21, 6.4 / 11 - 1, 21), (23, 6.4 / 11 - 1, 23), (24, 12.2 / 11 - 1, 23)])
def test_a_halt_that_ends_in_a_delisting_pays_out_or_after_20_sessions_leaves_at_the_last_price(
    effective: int, value: float, end: int
) -> None:
    """k = 2 from 0: due in session 3, last bar in 2 (close 12.2). 23 is 20 sessions late; later is not known then."""
    nothing = [np.nan] * 27
    bars = one_name([10.0, 11.0, 12.0, *nothing], [10.5, 11.5, 12.2, *nothing])
    gone = delisting(bars.sessions[effective].astype(object), "6.40")
    labels = horizon_labels(bars, 2, delistings=(gone,))
    assert labels.values[0, 0] == pytest.approx(value) and labels.ends[0, 0] == end


def test_an_exit_that_is_still_awaited_at_the_panel_s_end_is_no_label_yet() -> None:
    nothing = [np.nan] * 20
    bars = one_name([10.0, 11.0, 12.0, *nothing], [10.5, 11.5, 12.2, *nothing])
    assert horizon_labels(bars, 2).ends[0, 0] == -1


def test_names_that_are_not_eligible_have_no_label() -> None:
    bars = one_name(OPENS, CLOSES)
    barred = replace(bars, eligible=np.array([[True], [False], [True], [True], [True], [True]]))
    assert np.isnan(horizon_labels(barred, 2).values[1, 0])
    assert np.isfinite(horizon_labels(barred, 2).values[0, 0])


def delisting(effective: date, cash: str) -> Action:
    return Action(ActionKind.DELISTING, "A", effective, effective, cash=Decimal(cash))


def test_a_delisting_ends_the_label_at_its_payout() -> None:
    """Last bar at session 3 (close 12.8), gone at session 4 for 6.40 a share; k = 3.

    Features of 0 enter at 11.0: 1 + y = 11.5/11 * 12.2/11.5 * 12.8/12.2 * 6.4/12.8 = 6.4/11, known at session 4.
    Features of 2 enter at 13.0: 6.4/13, known at session 4 as well.
    """
    opens, closes = [*OPENS[:4], np.nan, np.nan, np.nan], [*CLOSES[:4], np.nan, np.nan, np.nan]
    bars = one_name(opens, closes)
    gone = delisting(bars.sessions[4].astype(object), "6.40")
    labels = horizon_labels(bars, 3, delistings=(gone,))
    assert labels.values[:3, 0] == pytest.approx([6.4 / 11 - 1, 6.4 / 12 - 1, 6.4 / 13 - 1])
    assert labels.ends[:4, 0].tolist() == [4, 4, 4, -1]
    assert np.isnan(horizon_labels(bars, 3).values[:3, 0]).all()


def test_a_worthless_delisting_loses_everything() -> None:
    bars = one_name([*OPENS[:3], *[np.nan] * 4], [*CLOSES[:3], *[np.nan] * 4])
    labels = horizon_labels(bars, 2, delistings=(delisting(bars.sessions[3].astype(object), "0"),))
    assert labels.values[1, 0] == -1.0


def test_a_worthless_delisting_loses_everything_whoever_bears_the_symbol_since() -> None:
    """A dies at session 3; another security is A from session 5 on and dies at session 8, for half its last close.

    With the whole history known the first one's column is `A@<its last day>`. Its label is what it was before the symbol was used again.
    """
    nothing = [np.nan] * 10
    first = one_name([*OPENS[:3], *nothing[:7]], [*CLOSES[:3], *nothing[:7]])
    second = one_name([*nothing[:5], *OPENS[:3], *nothing[:2]], [*nothing[:3], *nothing[:2], *CLOSES[:3], *nothing[:2]])
    former = f"A@{first.sessions[2]}"
    panels = {name: np.hstack([getattr(second, name), getattr(first, name)]) for name in (*PANELS, "eligible")}
    both = Bars(sessions=first.sessions, symbols=("A", former), **panels)
    gone = tuple(delisting(both.sessions[row].astype(object), cash) for row, cash in ((3, "0"), (8, "6.10")))
    assert [(one.column, one.last, one.effective, one.payout) for one in departures(both, gone)] == [(1, 2, 3, 0.0), (0, 7, 8, 0.5)]
    found, alone = horizon_labels(both, 2, delistings=gone), horizon_labels(first, 2, delistings=gone[:1])
    assert found.values[:2, 1].tolist() == alone.values[:2, 0].tolist() == [alone.values[0, 0], -1.0]
    assert found.values[6, 0] == pytest.approx(6.1 / 12 - 1)


def test_a_label_that_ends_before_the_delisting_is_an_ordinary_one() -> None:
    bars = one_name([*OPENS[:4], *[np.nan] * 3], [*CLOSES[:4], *[np.nan] * 3])
    gone = delisting(bars.sessions[4].astype(object), "6.40")
    assert horizon_labels(bars, 2, delistings=(gone,)).values[0, 0] == pytest.approx(13 / 11 - 1)


def test_a_holding_period_is_at_least_one_session() -> None:
    with pytest.raises(InvariantBroken, match="at least one session"):
        horizon_labels(one_name(OPENS, CLOSES), 0)


@pytest.mark.parametrize("missing", [0.01, 0.2])
def test_duckdb_agrees_with_every_label_of_a_market_with_gaps_and_dividends(missing: float) -> None:
    """SQL over the long table knows nothing of our recurrences: the first bar from the due one on is the exit."""
    bars, k = synthetic_bars(3, sessions=120, symbols=8, missing=missing), 5
    rows, columns = np.nonzero(np.isfinite(bars.close))
    totals, nights = (
        np.where(np.isnan(step), gap, step)[rows, columns]
        for step, gap in ((bars.total_return, bars.gap_return), (bars.overnight_return, bars.gap_overnight))
    )
    table = pa.table(
        {"t": rows, "s": columns, "day": bars.close[rows, columns] / bars.open[rows, columns], "total": totals, "night": nights}
    )
    query = f"""
        WITH entered AS (
            SELECT a.t, a.s, d.day, (SELECT min(e.t) FROM bars_long e WHERE e.s = a.s
                                     AND e.t BETWEEN a.t + 1 + {k} AND a.t + 21 + {k}) AS out
            FROM bars_long a JOIN bars_long d ON d.s = a.s AND d.t = a.t + 1),
        held AS (
            SELECT e.t, e.s, e.day, e.out, CASE WHEN b.t < e.out THEN b.total ELSE b.night END AS step
            FROM entered e JOIN bars_long b ON b.s = e.s AND b.t BETWEEN e.t + 2 AND e.out)
        SELECT t, s, out, day * exp(sum(ln(1 + step))) - 1 AS y FROM held
        GROUP BY t, s, day, out HAVING NOT bool_or(isnan(step))"""
    with duckdb.connect() as connection:
        connection.register("bars_long", table)
        found = connection.execute(query).fetchnumpy()
    expected, ends = np.full(bars.close.shape, np.nan), np.full(bars.close.shape, -1)
    expected[found["t"], found["s"]] = found["y"]
    ends[found["t"], found["s"]] = found["out"]
    expected[~bars.eligible], ends[~bars.eligible] = np.nan, -1
    labels = horizon_labels(bars, k)
    late = labels.ends - np.arange(120)[:, None] > 1 + k
    assert np.isfinite(labels.values).sum() > 350 and late.sum() > (100 if missing > 0.1 else 2)
    np.testing.assert_allclose(labels.values, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(labels.ends, ends)


def test_cutting_the_future_changes_no_label_that_had_ended() -> None:
    bars = synthetic_bars(4, sessions=100, missing=0.1)
    whole, cut = horizon_labels(bars, 5), horizon_labels(bars.rows(0, 80), 5)
    had_ended = (whole.ends[:80] >= 0) & (whole.ends[:80] < 80)
    np.testing.assert_array_equal(cut.values, np.where(had_ended, whole.values[:80], np.nan))
    np.testing.assert_array_equal(cut.ends, np.where(had_ended, whole.ends[:80], -1))


def test_ranks_are_those_of_the_inverse_normal_with_average_ties() -> None:
    """Four numbers: 5 has rank 1, the two 7s share 2.5, 9 has rank 4; (r - 1/2) / 4 = .125, .5, .5, .875."""
    ranked = normal_ranks(np.array([[7.0, np.nan, 5.0, 9.0, 7.0]]))
    assert ranked[0] == pytest.approx([0.0, np.nan, norm.ppf(0.125), norm.ppf(0.875), 0.0], abs=1e-15, nan_ok=True)


@settings(max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_ranks_keep_the_order_and_turn_with_the_sign(values: list[float]) -> None:
    row = np.array([values])
    ranked = normal_ranks(row)
    np.testing.assert_allclose(normal_ranks(-row), -ranked, atol=1e-12)
    order = np.argsort(row[0], kind="stable")
    assert np.all(np.diff(ranked[0][order]) >= -1e-12)


def test_entering_at_the_close_and_through_the_day_by_hand() -> None:
    """k = 2 from session 0: closes 12.8 / 11.5; middles (13 + 12.8) / 2 over (11 + 11.5) / 2, which is 12.9 / 11.25."""
    bars = one_name(OPENS, CLOSES)
    assert horizon_labels(bars, 2, entry=EntryPrice.CLS).values[0, 0] == pytest.approx(12.8 / 11.5 - 1)
    assert horizon_labels(bars, 2, entry=EntryPrice.DAY).values[0, 0] == pytest.approx(12.9 / 11.25 - 1)
    assert horizon_labels(bars, 2, entry=EntryPrice.CLS).ends[:, 0].tolist() == [3, 4, 5, -1, -1, -1]


def test_a_dividend_of_the_entry_session_belongs_to_no_holder_and_one_of_the_exit_session_does() -> None:
    """At the close of session 1 the stock is ex already; at the close of session 3 its dividend of 0.25 was earned."""
    bars = one_name(OPENS, CLOSES, {1: 9.0, 3: 0.25})
    expected = 12.2 / 11.5 * (12.8 + 0.25) / 12.2 - 1
    assert horizon_labels(bars, 2, entry=EntryPrice.CLS).values[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(("entry", "price"), [("opg", 12.0), ("cls", 12.2), ("day", 12.1)])
def test_a_delisting_ends_the_label_whatever_the_entry(entry: str, price: float) -> None:
    """Features of 1 enter in session 2 and are paid 6.40 a share, two sessions after it."""
    bars = one_name([*OPENS[:4], *[np.nan] * 3], [*CLOSES[:4], *[np.nan] * 3])
    gone = delisting(bars.sessions[4].astype(object), "6.40")
    found = horizon_labels(bars, 3, delistings=(gone,), entry=EntryPrice(entry))
    assert found.values[1, 0] == pytest.approx(6.4 / price - 1)
