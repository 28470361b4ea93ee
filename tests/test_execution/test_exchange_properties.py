"""Invariants of the exchange under random operations, held against an accounting of its own (A6)."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.exchange.api.exchange import Exchange
from execution.exchange.orders.order import LEGAL, Order
from execution.exchange.protocol.message import ApiRequest, ApiResponse
from execution.orders import OrderStatus, OrderType, Side, TimeInForce
from signals.errors import InvariantBroken
from tests.fakes.exchange import bars, exchange

HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}
STATUSES = [status for status in OrderStatus if status is not OrderStatus.UNKNOWN]
NOW = datetime(2021, 11, 22, 15, tzinfo=UTC)
OPERATIONS, SEQUENCES = 170, 60  # 10,200 operations in all
CASH = Decimal(200_000)


def an_order(status: OrderStatus) -> Order:
    return Order(
        id="o",
        seq=0,
        client_order_id="c",
        asset_id="a",
        symbol="AAA",
        side=Side.BUY,
        type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        quantity=Decimal(10),
        notional=None,
        status=status,
        session=date(2021, 11, 22),
        created_at=NOW,
        updated_at=NOW,
        submitted_at=NOW,
        position_intent="buy_to_open",
        hold_price=Decimal(1),
    )


@pytest.mark.parametrize(("before", "after"), product(STATUSES, STATUSES))
def test_a_status_changes_only_along_a_legal_transition(before: OrderStatus, after: OrderStatus) -> None:
    if after in LEGAL[before]:
        assert an_order(before).to(after, NOW).status is after
    else:
        with pytest.raises(InvariantBroken, match="cannot go from"):
            an_order(before).to(after, NOW)


def test_the_seventeen_statuses_are_covered_and_the_five_ends_lead_nowhere() -> None:
    assert set(LEGAL) == set(STATUSES) and len(STATUSES) == 17
    assert {status for status in STATUSES if not LEGAL[status]} == {status for status in STATUSES if status.is_terminal}


@pytest.mark.parametrize("quantity", ["0", "-1", "10.5"])
def test_a_fill_is_positive_and_never_beyond_the_quantity(quantity: str) -> None:
    with pytest.raises(InvariantBroken):
        an_order(OrderStatus.NEW).filled(Decimal(quantity), Decimal(100), NOW)


class Driver:
    """Sends seeded random requests, good and bad, and moves the clock by seconds to days."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        silent = [("BBB", date(2021, 11, 23)), ("CCC", date(2021, 11, 26))]
        self.served: Exchange = exchange(
            "2021-11-19 18:00", panel=bars(silent=silent), seed=seed, cash=str(CASH), partial_fill_probability=0.4
        )

    def step(self) -> ApiResponse:
        operation = self.rng.choices(
            [self.submit, self.cancel, self.replace, self.advance, self.close, self.halt, self.cancel_all, self.strike],
            weights=[50, 10, 13, 15, 5, 8, 2, 0.15],
        )[0]
        return operation()

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> ApiResponse:
        return self.served.handle(ApiRequest(method, path, query, HEADERS, json.dumps(body or {}).encode()))

    def submit(self) -> ApiResponse:
        draw = self.rng
        body: dict[str, Any] = {
            "symbol": draw.choice(["AAA", "BBB", "CCC"]),
            "side": draw.choice(["buy", "sell"]),
            "type": draw.choice(["market"] * 4 + ["limit", "limit", "stop", "stop_limit", "trailing_stop"]),
            "time_in_force": draw.choice(["day", "day", "day", "gtc", "opg", "cls", "ioc", "fok"]),
        }
        size = {"notional": draw.randint(1, 5000)} if draw.random() < 0.1 else {"qty": draw.choice([1, 7, 40, 300, 0.25, 2.5])}
        base = {"AAA": 103, "BBB": 53, "CCC": 23}[body["symbol"]]
        near = {name: round(base * draw.uniform(0.95, 1.05), 2) for name in ("limit_price", "stop_price")}
        wanted = {"limit": ["limit_price"], "stop": ["stop_price"], "stop_limit": ["limit_price", "stop_price"]}
        body |= size | {name: near[name] for name in wanted.get(body["type"], [])}
        if body["type"] == "trailing_stop":
            body |= {"trail_price": 2} if draw.random() < 0.5 else {"trail_percent": 3}
        if draw.random() < 0.2:
            name, up = draw.choice(["bracket", "bracket", "oto", "oco"]), 1 if body["side"] == "buy" else -1
            up = -up if name == "oco" else up
            exits = {"take_profit": {"limit_price": round(base * (1 + 0.015 * up), 2)}} if name != "oto" else {}
            exits |= {"stop_loss": {"stop_price": round(base * (1 - 0.03 * up), 2)}}
            kind = "limit" if name == "oco" else "market"
            body = {"symbol": body["symbol"], "side": body["side"], "type": kind, "order_class": name, "qty": draw.choice([1, 40]), **exits}
            body["time_in_force"] = draw.choice(["day", "gtc"])
        return self.ask("POST", "/v2/orders", body)

    def any_order(self) -> str:
        book = self.served.venue.book
        working = [order.id for order in book.open_orders()] if self.rng.random() < 0.8 else []
        return self.rng.choice(working or list(book.orders) or ["none"])

    def cancel(self) -> ApiResponse:
        return self.ask("DELETE", f"/v2/orders/{self.any_order()}")

    def cancel_all(self) -> ApiResponse:
        return self.ask("DELETE", "/v2/orders")

    def replace(self) -> ApiResponse:
        change = self.rng.choice([{"qty": self.rng.randint(1, 300)}, {"limit_price": 20}, {"time_in_force": "gtc"}])
        return self.ask("PATCH", f"/v2/orders/{self.any_order()}", change)

    def close(self) -> ApiResponse:
        return self.ask("DELETE", f"/v2/positions/{self.rng.choice(['AAA', 'BBB', 'CCC'])}", percentage="50")

    def halt(self) -> ApiResponse:
        return self.ask("POST", "/_sim/halt", {"symbol": "AAA", "halted": self.rng.random() < 0.4})

    def strike(self) -> ApiResponse:
        """The next session does not take place."""
        day = self.served.venue.market.next_session(self.served.now).day
        return self.ask("POST", "/_sim/closure", {"session": day.isoformat()})

    def advance(self) -> ApiResponse:
        ahead = timedelta(seconds=self.rng.choice([1, 600, 3600, 4 * 3600, 12 * 3600, 30 * 3600]))
        return self.ask("POST", "/_sim/advance", {"to": (self.served.now + ahead).isoformat()})


def check_books(served: Exchange, filled_before: dict[str, Decimal]) -> None:
    """Recompute cash and positions from the fills only, and compare."""
    book = served.venue.book
    cash, shares = CASH, defaultdict[str, Decimal](Decimal)
    by_order = defaultdict[str, Decimal](Decimal)
    for entry in book.entries:
        assert entry.side is not None and entry.quantity is not None and entry.price is not None
        signed = entry.quantity if entry.side is Side.BUY else -entry.quantity
        cash -= (signed * entry.price).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
        shares[entry.symbol] += signed
        by_order[entry.order_id] += entry.quantity
    assert book.cash == cash, "cash is conserved to the cent"
    assert {s: h.quantity for s, h in book.holdings.items()} == {s: q for s, q in shares.items() if q}
    reserved = Decimal(0)
    for order in book.orders.values():
        assert by_order[order.id] == order.filled_quantity >= filled_before.get(order.id, Decimal(0))
        assert order.quantity is None or order.filled_quantity <= order.quantity
        assert (order.status is OrderStatus.FILLED) == (order.filled_quantity > 0 and order.remaining == 0 and not order.is_open)
        filled_before[order.id] = order.filled_quantity
        reserved += order.reserved
        if order.order_class and order.parent is None and order.order_class != "oco":
            exits = [one for one in book.group(order) if one.parent]
            assert sum(one.filled_quantity for one in exits) <= order.filled_quantity, "exits sell no more than was bought"
            assert not (order.is_open and any(one.is_open and one.status is not OrderStatus.HELD for one in exits))
    assert book.reserved == reserved
    assert {order.id for order in book.open_orders()} == {o.id for o in book.orders.values() if o.is_open}


def test_whatever_is_asked_no_transition_is_illegal_and_nothing_is_lost() -> None:
    """And the walk reached every way an order may end: without that the properties would hold of nothing."""
    reached: Counter[str] = Counter()

    @settings(max_examples=SEQUENCES)
    @given(st.integers(min_value=0, max_value=2**32))
    def walk(seed: int) -> None:
        driver, filled = Driver(seed), dict[str, Decimal]()
        for number in range(OPERATIONS):
            reached[f"{driver.step().status // 100}xx"] += 1
            if number % 10 == 9:
                check_books(driver.served, filled)
        check_books(driver.served, filled)
        reached.update("exits" for order in driver.served.venue.book.orders.values() if order.parent and order.filled_quantity)
        reached.update(order.status.value for order in driver.served.venue.book.orders.values())
        reached["closures"] += len(driver.served.venue.book.closures)

    walk()
    ends = {"filled", "canceled", "expired", "replaced"}
    assert all(reached[name] >= 20 for name in ends | {"exits", "2xx", "4xx"}), reached
    assert reached["closures"] >= 5
