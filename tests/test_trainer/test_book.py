"""Session returns of the decile book, by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from signals.errors import TooLittleHistory
from signals.market.actions import Action, ActionKind
from signals.market.bars import EXIT_SESSIONS, Bars, Opens, opens
from tests.fakes.bars import all_filled, synthetic_bars
from trainer.labels.horizon import horizon_labels
from trainer.validation.deciles import book_returns, next_opens

SCORES = np.tile(np.arange(10.0), (4, 1))  # ten names: the last is the top decile, the first the bottom one


def test_the_book_earns_half_the_spread_of_its_ends_less_what_it_trades() -> None:
    """One cohort: +1/2 of name 9 and -1/2 of name 0. Building costs 2.5 bps of 1; standing still costs nothing."""
    following = np.zeros((4, 10))
    following[:, 9], following[:, 0] = [0.01, 0.02, 0.0, np.nan], [-0.01, 0.02, 0.02, 0.0]
    found = book_returns(SCORES, all_filled(following), 1)
    np.testing.assert_allclose(found.net, [0.01 - 0.00025, 0.0, -0.01, 0.0], atol=1e-15)
    assert found.rows.tolist() == [0, 1, 2, 3]


def test_a_reversal_trades_twice_the_book() -> None:
    scores = np.vstack([SCORES[:1], -SCORES[:1]])
    found = book_returns(scores, all_filled(np.zeros((2, 10))), 1)
    np.testing.assert_allclose(found.net, [-0.00025, -0.0005], atol=1e-15)


def test_with_k_cohorts_the_first_book_is_after_k_sessions_and_unscored_sessions_are_left_out() -> None:
    scores = np.vstack([np.full((1, 10), np.nan), SCORES])
    assert book_returns(scores, all_filled(np.zeros((5, 10))), 3).rows.tolist() == [3, 4]
    with pytest.raises(TooLittleHistory, match="no book of 5 cohorts"):
        book_returns(scores, all_filled(np.zeros((5, 10))), 5)


def test_what_follows_a_session_is_the_return_from_the_next_open_to_the_one_after() -> None:
    bars = synthetic_bars(1, sessions=20, symbols=3)
    found = next_opens(bars, ()).earned
    expected = bars.close[5, 1] / bars.open[5, 1] * (1 + bars.overnight_return[6, 1]) - 1
    assert found[4, 1] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found[-2:]).all()


def test_a_return_beyond_100_percent_counts_in_full_on_both_hosts() -> None:
    """From 0.12 to 27 USD overnight: 225 times. Held short with half of equity, it costs 112 times the equity."""
    bars = synthetic_bars(1, sessions=20, symbols=10, missing=0.0)
    overnight = np.array(bars.overnight_return)
    overnight[12, 0] = 27.0 / 0.12 - 1.0
    jumped = replace(bars, overnight_return=overnight)
    found = next_opens(jumped, ()).earned
    assert found[10, 0] == pytest.approx(bars.close[11, 0] / bars.open[11, 0] * 225.0 - 1.0)
    np.testing.assert_array_equal(found, opens(jumped).earned)
    scores = np.full((20, 10), np.nan)
    scores[9:12] = np.arange(10.0)
    net = book_returns(scores, all_filled(np.where(found > 1.0, 224.0, 0.0)), 1).net
    np.testing.assert_allclose(net, [-0.00025, -112.0, 0.0])


def test_a_name_that_left_the_universe_while_held_still_earns_and_a_delisted_one_pays_out() -> None:
    bars = synthetic_bars(1, sessions=20, symbols=3)
    out = replace(bars, eligible=np.zeros_like(bars.eligible))
    np.testing.assert_array_equal(next_opens(out, ()).earned, next_opens(bars, ()).earned)
    gone = {name: np.array(getattr(bars, name)) for name in ("open", "high", "low", "close", "volume")}
    gone |= {name: np.array(getattr(bars, name)) for name in ("total_return", "overnight_return")}
    for panel in gone.values():
        panel[10:, 1] = np.nan
    eligible = bars.eligible.copy()
    eligible[10:, 1] = False
    left = replace(bars, **gone, eligible=eligible)
    effective: date = bars.sessions[10].astype(object)
    action = Action(ActionKind.DELISTING, bars.symbols[1], effective, effective, cash=Decimal(0))
    found, unsaid = next_opens(left, (action,)), next_opens(left, ())
    assert found.earned[8, 1] == -1.0 and found.outcomes()[8, 1] == -1.0 and not found.waits[9:, 1].any()
    assert unsaid.earned[8, 1] == pytest.approx(bars.close[9, 1] / bars.open[9, 1] - 1.0)  # marked at its last price
    assert np.isnan(unsaid.outcomes()[8, 1]) and unsaid.waits[9:-1, 1].all()


def halted(first: int, count: int, sessions: int = 60) -> Bars:
    """Ten names, the last of which has no bar from `first` on for `count` sessions and comes back 59 % lower."""
    bars = synthetic_bars(1, sessions=sessions, symbols=10, missing=0.0)
    panels = {name: np.array(getattr(bars, name)) for name in ("open", "high", "low", "close", "volume")}
    panels |= {name: np.array(getattr(bars, name)) for name in ("total_return", "overnight_return")}
    gone = slice(first, first + count)
    for panel in panels.values():
        panel[gone, 9] = np.nan
    gap = np.full((2, *bars.close.shape), np.nan)
    for name in ("total_return", "overnight_return"):
        panels[name][first + count : first + count + 1, 9] = np.nan
    gap[:, first + count : first + count + 1, 9] = -0.59
    eligible = np.isfinite(panels["close"])
    return replace(bars, **panels, eligible=eligible, gap_return=gap[0], gap_overnight=gap[1])


def test_a_fall_of_59_percent_across_a_halt_is_in_the_book_the_label_and_the_outcome_alike() -> None:
    """Bought at the open of 10, no bar in 11, back at 0.41 of the last close in 12: C_10 / O_10 x 0.41 - 1."""
    bars = halted(11, 1)
    expected = bars.close[10, 9] / bars.open[10, 9] * 0.41 - 1.0
    found = next_opens(bars, ())
    assert (1.0 + found.earned[9, 9]) * (1.0 + found.earned[10, 9]) - 1.0 == pytest.approx(expected)
    assert found.earned[10, 9] == pytest.approx(-0.59)
    assert found.outcomes()[9, 9] == pytest.approx(expected)
    label = horizon_labels(bars, 1)
    assert label.values[9, 9] == pytest.approx(expected) and label.ends[9, 9] == 12
    assert not found.fills[10, 9] and np.isnan(found.outcomes()[10, 9])  # an order for the open of 11 does not fill


def test_a_halted_name_stays_in_the_decile_book_until_it_comes_back() -> None:
    """Long half of equity in name 9. Sold by the scores of 10, whose open has no bar: it is held into the fall."""
    bars, scores = halted(11, 1), np.full((60, 10), np.nan)
    scores[8:13] = np.arange(10.0)
    scores[10, 9] = -1.0  # the worst name of all: sell it and go short
    following = next_opens(bars, ())
    earned = np.where(np.arange(10) == 9, following.earned, 0.0)
    net = book_returns(scores, Opens(earned, following.fills, following.waits), 1).net
    assert net[2] == pytest.approx(0.5 * -0.59, abs=1e-3)


def test_outcomes_are_the_trainer_s_one_session_labels_with_every_gap() -> None:
    bars = synthetic_bars(4, sessions=120, symbols=20, missing=0.15)
    labels = horizon_labels(replace(bars, eligible=np.isfinite(bars.close)), 1)
    found = np.where(np.isfinite(bars.close), opens(bars).outcomes(), np.nan)  # features need a bar, too
    assert (labels.ends - np.arange(120)[:, None] > 2).sum() > 100
    np.testing.assert_allclose(found, labels.values, rtol=1e-12, atol=1e-14)


def test_an_exit_later_than_20_sessions_is_at_the_last_price() -> None:
    """Due at session 11. Back in 31, 20 sessions late: the fall is in it. Back in 32: left at the last close."""
    in_time, too_late = halted(11, EXIT_SESSIONS), halted(11, EXIT_SESSIONS + 1)
    day = in_time.close[10, 9] / in_time.open[10, 9]
    for bars, expected, end in ((in_time, day * 0.41 - 1.0, 31), (too_late, day - 1.0, 31)):
        label = horizon_labels(bars, 1)
        assert label.values[9, 9] == pytest.approx(expected) and label.ends[9, 9] == end
        assert opens(bars).outcomes()[9, 9] == pytest.approx(expected)
    assert opens(too_late).waits[29, 9] and not opens(too_late).waits[30, 9]


def test_the_past_of_a_cut_panel_is_the_same() -> None:
    bars = synthetic_bars(5, sessions=100, symbols=10, missing=0.2)
    whole, cut = opens(bars), opens(bars.rows(0, 70))
    for name in ("earned", "fills", "waits"):
        np.testing.assert_array_equal(getattr(cut, name)[:68], getattr(whole, name)[:68])
    known = np.isfinite(cut.outcomes())
    np.testing.assert_array_equal(cut.outcomes()[known], whole.outcomes()[:70][known])


def test_an_account_of_shares_and_cash_earns_what_the_table_says() -> None:
    """One dollar in each name, bought at its first open, marked at the last price: its values multiply to `earned`."""
    bars = synthetic_bars(6, sessions=80, symbols=6, missing=0.2)
    earned = opens(bars).earned
    for name in range(6):
        start = int(np.flatnonzero(np.isfinite(bars.close[:, name]))[0])
        value = 1.0
        for t in range(start - 1, 78):
            was, now = t + 1, t + 2
            mark = value
            if np.isfinite(bars.close[was, name]):
                mark = value * bars.close[was, name] / bars.open[was, name]
            if np.isfinite(bars.close[now, name]):
                both = np.isfinite(bars.close[was, name])
                mark *= 1.0 + (bars.overnight_return if both else bars.gap_overnight)[now, name]
            if t >= 0:
                assert earned[t, name] == pytest.approx(mark / value - 1.0, rel=1e-12, abs=1e-14)
            value = mark
