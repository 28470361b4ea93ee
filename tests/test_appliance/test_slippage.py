"""Slippage against the open, worked by hand, and how long it has lasted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from appliance.controls.slippage import SLIPPAGE_SESSIONS, sessions_in_a_row, slippage
from appliance.controls.tripwires import NOT_YET
from appliance.ledger import Ledger, nav
from appliance.ledger.fills import BookedFill
from appliance.ledger.nav import NavRow
from appliance.market.store import MarketStore
from appliance.safety.tripwire_figures import account_figures
from appliance.system.clock import VirtualClock
from execution.orders import Fill, Side
from signals.errors import DataNotUsable
from tests.fakes.broker import FakeBroker, Inbox, MemoryFs, deps_of, weekdays

FIRST = date(2024, 3, 4)
DAYS = [FIRST + timedelta(days=n) for n in range(SLIPPAGE_SESSIONS)]
AT = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
ZERO = Decimal(0)


def fill(side: Side, shares: int, price: str, day: date = FIRST, symbol: str = "A") -> BookedFill:
    found = Fill(f"{day}-{symbol}-{side}", "o", symbol, side, Decimal(shares), Decimal(price), AT)
    return BookedFill(found, day, "cid")


def values(model_usd: str, sessions: int = SLIPPAGE_SESSIONS) -> list[NavRow]:
    """Twenty sessions, the first of which was charged the model's cost."""
    return [
        NavRow(day, Decimal(1000), Decimal(1000), ZERO, ZERO, ZERO, AT, impact=-Decimal(model_usd) if not n else ZERO)
        for n, day in enumerate(DAYS[:sessions])
    ]


def test_buying_above_the_open_costs_and_selling_above_it_earns() -> None:
    """100 bought 0.10 above 10.00 cost 10 USD; the model says 5 USD; 50 sold 0.04 above give 2 USD back."""
    opens = {(FIRST, "A"): 10.0}
    assert slippage([fill(Side.BUY, 100, "10.10")], opens, values("5")) == pytest.approx(2.0)
    both = [fill(Side.BUY, 100, "10.10"), fill(Side.SELL, 50, "10.04")]
    assert slippage(both, opens, values("5")) == pytest.approx(1.6)
    assert slippage([fill(Side.SELL, 100, "10.10")], opens, values("5")) == 0.0


def test_it_is_not_defined_before_twenty_sessions_nor_without_a_trade() -> None:
    opens = {(FIRST, "A"): 10.0}
    assert slippage([fill(Side.BUY, 1, "10")], opens, values("5", 19)) is NOT_YET
    assert slippage([], opens, values("5")) is NOT_YET
    assert slippage([fill(Side.BUY, 1, "10", date(2023, 1, 3))], opens, values("5")) is NOT_YET


def test_it_is_missing_when_opens_or_the_model_are() -> None:
    trades = [fill(Side.BUY, 100, "10.10")]
    assert slippage(trades, {}, values("5")) is None
    assert slippage(trades, {(FIRST, "A"): float("nan")}, values("5")) is None
    assert slippage(trades, {(FIRST, "A"): 0.0}, values("5")) is None
    assert slippage(trades, {(FIRST, "A"): 10.0}, values("0")) is None


def test_a_price_of_another_basis_is_no_slippage_and_the_rest_is_scaled_up() -> None:
    """B was split since: its 30 % of the value count with the measured rate. A alone: 10 USD over 1010 of 1442.86."""
    trades = [fill(Side.BUY, 100, "10.10"), fill(Side.BUY, 10, "43.286", symbol="B")]
    found = slippage(trades, {(FIRST, "A"): 10.0, (FIRST, "B"): 21.6}, values("5"))
    assert found == pytest.approx(10 * 1442.86 / 1010 / 5)
    mostly = [fill(Side.BUY, 1, "10.10"), fill(Side.BUY, 10, "43.286", symbol="B")]
    assert slippage(mostly, {(FIRST, "A"): 10.0, (FIRST, "B"): 21.6}, values("5")) is None


@pytest.mark.parametrize(
    ("today", "earlier", "count"), [(3.0, [True] * 9, 0.0), (3.1, [], 1.0), (3.1, [True, True, False, True], 3.0), (3.1, [True] * 5, 6.0)]
)
def test_sessions_in_a_row_end_at_the_first_quiet_one(today: float, earlier: list[bool], count: float) -> None:
    assert sessions_in_a_row(today, 3.0, earlier) == count


def test_what_cannot_be_measured_has_lasted_for_an_unknown_time() -> None:
    assert sessions_in_a_row(None, 3.0, [True]) is None
    assert sessions_in_a_row(NOT_YET, 3.0, [True]) is NOT_YET


def test_a_session_with_a_value_that_was_struck_since_is_no_session_of_its_bars(tmp_path: Path) -> None:
    """Twenty values from 4 March on; the first one's session left the calendar: the opens of nineteen sessions are asked for."""
    whole = weekdays(FIRST, 25)
    calendar = replace(whole, sessions=tuple(one for one in whole.sessions if one.day != whole.days[1]))
    asked: list[tuple[date, int]] = []

    class Market:
        def bars(self, asof: date, sessions: int) -> None:
            asked.append((asof, sessions))
            raise DataNotUsable("no bars")

    clock = VirtualClock(calendar.session(whole.days[21]).open)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        broker = FakeBroker(clock, calendar, {})
        deps = deps_of(tmp_path, broker, clock, calendar, MemoryFs(), ledger, Inbox())
        for day in whole.days[1:21]:
            nav.save(ledger, NavRow(day, Decimal(1000), Decimal(1000), ZERO, ZERO, ZERO, AT))
        figures = account_figures(replace(deps, open_market=lambda: cast(MarketStore, Market())), whole.days[21], broker.account(), ())
    assert (asked, figures.slippage) == ([(whole.days[20], 19)], NOT_YET)
