"""Session returns of the decile book, by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from execution.yardstick import following_opens
from signals.actions import Action, ActionKind
from signals.errors import TooLittleHistory
from tests.fakes.bars import synthetic_bars
from trainer.validation.book import book_returns, next_opens

SCORES = np.tile(np.arange(10.0), (4, 1))  # ten names: the last is the top decile, the first the bottom one


def test_the_book_earns_half_the_spread_of_its_ends_less_what_it_trades() -> None:
    """One cohort: +1/2 of name 9 and -1/2 of name 0. Building costs 2.5 bps of 1; standing still costs nothing."""
    following = np.zeros((4, 10))
    following[:, 9], following[:, 0] = [0.01, 0.02, 0.0, np.nan], [-0.01, 0.02, 0.02, 0.0]
    found = book_returns(SCORES, following, 1)
    np.testing.assert_allclose(found.net, [0.01 - 0.00025, 0.0, -0.01, 0.0], atol=1e-15)
    assert found.rows.tolist() == [0, 1, 2, 3]


def test_a_reversal_trades_twice_the_book() -> None:
    scores = np.vstack([SCORES[:1], -SCORES[:1]])
    found = book_returns(scores, np.zeros((2, 10)), 1)
    np.testing.assert_allclose(found.net, [-0.00025, -0.0005], atol=1e-15)


def test_with_k_cohorts_the_first_book_is_after_k_sessions_and_unscored_sessions_are_left_out() -> None:
    scores = np.vstack([np.full((1, 10), np.nan), SCORES])
    assert book_returns(scores, np.zeros((5, 10)), 3).rows.tolist() == [3, 4]
    with pytest.raises(TooLittleHistory, match="no book of 5 cohorts"):
        book_returns(scores, np.zeros((5, 10)), 5)


def test_what_follows_a_session_is_the_return_from_the_next_open_to_the_one_after() -> None:
    bars = synthetic_bars(1, sessions=20, symbols=3)
    found = next_opens(bars, ())
    expected = bars.close[5, 1] / bars.open[5, 1] * (1 + bars.overnight_return[6, 1]) - 1
    assert found[4, 1] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(found[-2:]).all()


def test_a_return_beyond_100_percent_counts_in_full_on_both_hosts() -> None:
    """From 0.12 to 27 USD overnight: 225 times. Held short with half of equity, it costs 112 times the equity."""
    bars = synthetic_bars(1, sessions=20, symbols=10, missing=0.0)
    overnight = np.array(bars.overnight_return)
    overnight[12, 0] = 27.0 / 0.12 - 1.0
    jumped = replace(bars, overnight_return=overnight)
    found = next_opens(jumped, ())
    assert found[10, 0] == pytest.approx(bars.close[11, 0] / bars.open[11, 0] * 225.0 - 1.0)
    np.testing.assert_array_equal(found, following_opens(jumped))
    scores = np.full((20, 10), np.nan)
    scores[9:12] = np.arange(10.0)
    net = book_returns(scores, np.where(found > 1.0, 224.0, 0.0), 1).net
    np.testing.assert_allclose(net, [-0.00025, -112.0, 0.0])


def test_a_name_that_left_the_universe_while_held_still_earns_and_a_delisted_one_pays_out() -> None:
    bars = synthetic_bars(1, sessions=20, symbols=3)
    out = replace(bars, eligible=np.zeros_like(bars.eligible))
    np.testing.assert_array_equal(next_opens(out, ()), next_opens(bars, ()))
    gone = {name: np.array(getattr(bars, name)) for name in ("open", "high", "low", "close", "volume")}
    gone |= {name: np.array(getattr(bars, name)) for name in ("total_return", "overnight_return")}
    for panel in gone.values():
        panel[10:, 1] = np.nan
    eligible = bars.eligible.copy()
    eligible[10:, 1] = False
    left = replace(bars, **gone, eligible=eligible)
    effective: date = bars.sessions[10].astype(object)
    action = Action(ActionKind.DELISTING, bars.symbols[1], effective, effective, cash=Decimal(0))
    found = next_opens(left, (action,))
    assert found[8, 1] == -1.0 and np.isnan(next_opens(left, ())[8, 1])
