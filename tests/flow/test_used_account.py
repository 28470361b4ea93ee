"""A device begins at an account that holds what is not its own: asked about, adopted or kept, then traded or left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest

from appliance.system.state_folder import StateFolder
from execution.exchange.api.exchange import Exchange
from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.market.market import MarketData
from tests.fakes import exchange as small
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]
UNWANTED, WANTED, KEPT = "GCLK", "GLYI", "GSOK"  # without a score; with a high one; with a higher one, but kept
HELD = {UNWANTED: 181, WANTED: 781, KEPT: 1000}


@contextmanager
def by_hand(bench: Workbench, published: Published, clock: ExchangeVirtualClock) -> Iterator[TradingClient]:
    """The account of the device's own exchange in the hands of a person with a client of their own."""
    market = MarketData.from_dataset(published.root / "data")
    served = Exchange(market, clock, state=StateFolder(bench.state).exchange)
    try:
        yield small.trading(served)
    finally:
        served.close()


def held(client: TradingClient) -> dict[str, int]:
    return {position.symbol: int(position.qty) for position in client.get_all_positions()}


@pytest.fixture
def used(make: Make, published: Published) -> tuple[Workbench, ExchangeVirtualClock]:
    """A new device at an account that bought three names in the opening auction of the session before."""
    bench, calendar = make(published), published.manifest.calendar
    before = calendar.session(calendar.previous(published.sessions(1)[0]))
    clock = ExchangeVirtualClock(before.open - timedelta(hours=2))
    with by_hand(bench, published, clock) as client:
        for symbol, shares in HELD.items():
            client.submit_order(MarketOrderRequest(symbol=symbol, qty=shares, side=OrderSide.BUY, time_in_force=TimeInForce.OPG))
        clock.move(before.close + timedelta(minutes=1))
        assert held(client) == HELD
    return bench, clock


def test_nothing_is_armed_until_a_person_has_decided_about_every_position(
    used: tuple[Workbench, ExchangeVirtualClock], published: Published
) -> None:
    """With a session and without one; nor while an order by hand works there."""
    bench, clock = used
    day = str(published.sessions(1)[0])
    for arguments in (("arm", "--yes"), ("arm", "--session", day, "--yes")):
        refused = bench(*arguments)
        assert refused.code == 2 and "the account holds 3 positions that are not this device's" in refused.err
        assert "`appliance adopt`" in refused.err and "`appliance keep`" in refused.err
    assert bench("adopt", "--symbols", UNWANTED, "--yes").code == 0
    refused = bench("arm", "--yes")
    assert refused.code == 2 and f"2 positions that are not this device's ({WANTED} 781, {KEPT} 1000)" in refused.err
    assert bench("keep", "--yes").code == 0
    with by_hand(bench, published, clock) as client:
        order = client.submit_order(
            LimitOrderRequest(symbol=WANTED, qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=1)
        )
    refused = bench("arm", "--yes")
    assert refused.code == 2 and "orders that this device did not send work in the account" in refused.err
    with by_hand(bench, published, clock) as client:
        client.cancel_order_by_id(order.id)
    assert "HALTED" in bench("status").out
    assert bench("arm", "--yes").code == 0


def test_what_is_adopted_is_traded_to_target_through_the_ramp_and_what_is_kept_never(
    used: tuple[Workbench, ExchangeVirtualClock], published: Published
) -> None:
    """The ramp has 5 sessions, the way to target 5: first 1/25 of the gap, then 2/25, at least the band of 0.1 %.

    The name without a score goes from 2.02 % of equity towards nothing by 0.10 % (4 % of it are less), then by 8 % of
    what is left; the one with a high score grows, by no more than these shares of what the cap leaves.
    """
    bench, clock = used
    days = [str(day) for day in published.sessions(2)]
    assert bench("adopt", "--symbols", f"{UNWANTED},{WANTED}", "--yes").code == 0
    assert bench("keep", "--symbols", KEPT, "--yes").code == 0
    assert bench("arm", "--yes").code == 0
    shares = {UNWANTED: [181], WANTED: [781]}
    for share, day in enumerate(days, start=1):
        done = bench("run-day", "--session", day)
        assert done.code == 0, done.err
        rows = bench.rows("SELECT symbol, current_weight, weight, z FROM targets WHERE session = ?", day)
        book = {symbol: (current, weight, z) for symbol, current, weight, z in rows}
        current, weight, z = book[UNWANTED]
        one_share = current / shares[UNWANTED][-1]  # the path that is followed is not in whole shares
        assert z is None and weight == pytest.approx(current - max(0.001, current * share / 25), abs=one_share)
        current, weight, z = book[WANTED]
        assert z > 1.5 and 0 < weight - current <= max(0.001, (0.045 - current) * share / 25) + 1e-9
        assert KEPT not in book
        agreed = dict(bench.rows("SELECT symbol, quantity FROM positions WHERE phase = 'close' AND session = ?", day))
        assert KEPT not in agreed
        for symbol, count in shares.items():
            count.append(int(agreed[symbol]))
    assert shares[UNWANTED][1] == 172, "181 shares at 2.02 % are 172 at 1.92 %"
    assert sorted(shares[UNWANTED], reverse=True) == shares[UNWANTED] and sorted(shares[WANTED]) == shares[WANTED]
    [(z,)] = bench.rows("SELECT max(z) FROM scores WHERE symbol = ?", KEPT)
    assert z > 1.5, "it would have been bought"
    assert bench.rows("SELECT count(*) FROM intents WHERE symbol = ?", KEPT) == [(0,)]
    with by_hand(bench, published, clock) as client:
        account = held(client)
    assert account[KEPT] == HELD[KEPT] and account[UNWANTED] == shares[UNWANTED][-1] and len(account) > 20
    assert "ARMED" in bench("status").out


def test_what_is_flattened_is_closed_by_the_first_plan_with_orders_that_only_lower_it(
    used: tuple[Workbench, ExchangeVirtualClock], published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing leaves before the device is armed; the session after it is the first that the policy plans."""
    bench, clock = used
    first, second = (str(day) for day in published.sessions(2))
    monkeypatch.setattr("sys.stdin", StringIO("flatten\n"))
    asked = bench("flatten", "--symbols", f"{UNWANTED},{WANTED}")
    assert asked.code == 2 and "FLATTEN was not typed" in asked.err
    done = bench("flatten", "--session", first, "--symbols", f"{UNWANTED},{WANTED}", "--yes")
    assert done.code == 0 and f"The orders of {first} close them" in done.out, done.err
    again = bench("flatten", "--session", first, "--symbols", KEPT, "--yes")
    assert again.code == 2 and f"the plan of {first} is frozen already" in again.err
    assert bench("keep", "--symbols", KEPT, "--yes").code == 0
    with by_hand(bench, published, clock) as client:
        assert held(client) == HELD and client.get_orders() == []
    shown = bench("arm", "--session", first, "--yes")
    assert shown.code == 0 and "2 orders" in shown.out, shown.err
    assert bench("run-day", "--session", first).code == 0
    rows = bench.rows("SELECT symbol, side, quantity, state, reduces FROM intents WHERE session = ? ORDER BY symbol", first)
    assert rows == [(UNWANTED, "sell", "181", "filled", 1), (WANTED, "sell", "781", "filled", 1)]
    assert bench.rows("SELECT DISTINCT bundle_sha256 LIKE 'flattened by %' FROM plans") == [(1,)]
    assert bench.rows("SELECT count(*) FROM positions WHERE phase = 'close'") == [(0,)]
    with by_hand(bench, published, clock) as client:
        assert held(client) == {KEPT: HELD[KEPT]}
    assert bench("run-day", "--session", second).code == 0
    [(planned,)] = bench.rows("SELECT count(*) FROM intents WHERE session = ? AND reduces = 0", second)
    assert planned > 5
    refused = bench("flatten", "--yes")
    assert refused.code == 2 and "this device's book has begun" in refused.err
    assert bench("report", "--session", first).code == 0
