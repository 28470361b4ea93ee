"""Bracket, oto and oco orders as alpaca-py sends them, on the hand-worked market without a spread.

AAA opens at 101 on 2021-11-22, trades from 99 to 104 and closes at 101.5; on 11-23 it is 102, 100 to 105, 102.5.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from alpaca.trading.enums import OrderClass, OrderSide, QueryOrderStatus, TimeInForce
from alpaca.trading.models import Order as AlpacaOrder
from alpaca.trading.requests import GetOrdersRequest, LimitOrderRequest, MarketOrderRequest, StopLossRequest, TakeProfitRequest

from execution.exchange.api.exchange import Exchange
from execution.exchange.core.book import AccountBook
from execution.exchange.core.state import decode, encode
from execution.exchange.orders.order import Order
from execution.exchange.protocol.message import ApiRequest
from tests.fakes.exchange import exchange, new_york, trading

HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}


def grouped(served: Exchange, kind: OrderClass, profit: float | None, loss: float | None, **given: Any) -> AlpacaOrder:
    """Send ten shares of AAA with exits."""
    asked = {"symbol": "AAA", "qty": 10, "side": OrderSide.BUY, "time_in_force": TimeInForce.GTC, "order_class": kind, **given}
    exits = {
        "take_profit": None if profit is None else TakeProfitRequest(limit_price=profit),
        "stop_loss": None if loss is None else StopLossRequest(stop_price=loss),
    }
    made = LimitOrderRequest if kind is OrderClass.OCO or "limit_price" in given else MarketOrderRequest
    sent = trading(served).submit_order(made(**asked, **exits))
    assert isinstance(sent, AlpacaOrder)
    return sent


def states(served: Exchange) -> list[str]:
    return [f"{order.type.value} {order.status.value}" for order in served.venue.book.orders.values()]


def fills(served: Exchange) -> list[tuple[str, Decimal | None]]:
    return [(str(entry.side), entry.price) for entry in served.venue.book.entries]


def at(served: Exchange, moment: str) -> None:
    served.advance(new_york(moment))


@pytest.mark.parametrize(
    ("profit", "loss", "exit_at", "ends"),
    [
        (103.0, 98.0, 103, ["market filled", "limit filled", "stop canceled"]),
        (106.0, 99.5, Decimal("99.5"), ["market filled", "limit canceled", "stop filled"]),
        (103.0, 99.5, Decimal("99.5"), ["market filled", "limit canceled", "stop filled"]),  # both in reach: the worse comes first
    ],
)
def test_legs_work_once_the_entry_is_filled_and_one_ends_the_other(profit: float, loss: float, exit_at: Any, ends: list[str]) -> None:
    served = exchange("2021-11-22 08:00", spread_bps=0)
    sent = grouped(served, OrderClass.BRACKET, profit, loss)
    assert [str(leg.status.value) for leg in sent.legs or []] == ["held", "held"]
    assert states(served) == ["market accepted", "limit held", "stop held"]
    at(served, "2021-11-22 09:30")
    assert states(served) == ["market filled", "limit new", "stop new"]
    at(served, "2021-11-22 16:00")
    assert states(served) == ends
    assert fills(served) == [("buy", 101), ("sell", exit_at)]
    assert served.venue.book.quantity("AAA") == 0


def test_legs_of_an_entry_of_the_day_do_not_meet_what_was_before_it() -> None:
    served = exchange("2021-11-22 12:00", spread_bps=0)
    grouped(served, OrderClass.BRACKET, 103.0, 99.5)
    at(served, "2021-11-22 16:00")
    assert states(served) == ["market filled", "limit new", "stop new"]
    at(served, "2021-11-23 16:00")
    assert fills(served) == [("buy", 101), ("sell", 103)]


def test_a_short_entry_is_bought_back_and_an_oto_has_one_leg() -> None:
    served = exchange("2021-11-22 08:00", spread_bps=0)
    grouped(served, OrderClass.OTO, None, 103.5, side=OrderSide.SELL)
    at(served, "2021-11-22 16:00")
    assert states(served) == ["market filled", "stop filled"]
    assert fills(served) == [("sell", 101), ("buy", Decimal("103.5"))]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_whoever_cancels_one_order_of_a_group_cancels_what_is_open_of_it(place: int) -> None:
    served = exchange("2021-11-22 08:00")
    grouped(served, OrderClass.BRACKET, 106.0, 45.0, limit_price=50.0)
    ids = list(served.venue.book.orders)
    trading(served).cancel_order_by_id(ids[place])
    assert states(served) == ["limit canceled", "limit canceled", "stop canceled"]
    assert not trading(served).get_orders()
    grouped(served, OrderClass.BRACKET, 106.0, 95.0)
    assert [int(str(row.status)) for row in trading(served).cancel_orders()] == [200, 200, 200]  # type: ignore[union-attr]


def test_held_legs_are_on_no_list_of_open_orders_and_nested_with_their_entry() -> None:
    served = exchange("2021-11-22 08:00")
    client = trading(served)
    sent = grouped(served, OrderClass.BRACKET, 106.0, 95.0)

    def listed(status: QueryOrderStatus, nested: bool) -> list[tuple[str, int]]:
        rows = client.get_orders(GetOrdersRequest(status=status, nested=nested))
        return [(str(row.type.value), len(row.legs or [])) for row in rows]  # type: ignore[union-attr]

    assert listed(QueryOrderStatus.OPEN, False) == [("market", 0)]
    assert listed(QueryOrderStatus.OPEN, True) == [("market", 2)]
    assert listed(QueryOrderStatus.ALL, False) == [("stop", 0), ("limit", 0), ("market", 0)]
    at(served, "2021-11-22 09:30")
    assert listed(QueryOrderStatus.OPEN, False) == [("stop", 0), ("limit", 0)]
    assert listed(QueryOrderStatus.OPEN, True) == [("market", 2)], "its legs are open"
    assert listed(QueryOrderStatus.CLOSED, True) == []
    found = client.get_order_by_id(sent.id)
    assert isinstance(found, AlpacaOrder) and not found.legs and found.order_class is OrderClass.BRACKET


def test_two_exits_hold_their_shares_once_and_the_stop_ends_the_limit() -> None:
    served = exchange("2021-11-22 12:00", spread_bps=0)
    client = trading(served)
    client.submit_order(MarketOrderRequest(symbol="AAA", qty=10, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
    sent = grouped(served, OrderClass.OCO, 110.0, 100.5, side=OrderSide.SELL)
    assert (str(sent.limit_price), [str(leg.stop_price) for leg in sent.legs or []]) == ("110", ["100.5"])
    (held,) = client.get_all_positions()
    assert held.qty_available == "0"  # type: ignore[union-attr]
    body = json.dumps({"symbol": "AAA", "qty": "1", "side": "sell", "type": "market", "time_in_force": "day"}).encode()
    refused = served.handle(ApiRequest("POST", "/v2/orders", {}, HEADERS, body))
    assert (refused.status, json.loads(refused.body)["held_for_orders"]) == (403, "10")
    at(served, "2021-11-23 16:00")
    assert states(served)[1:] == ["limit canceled", "stop filled"]
    assert fills(served)[-1] == ("sell", Decimal("100.5"))


def test_the_price_of_a_leg_can_be_changed_and_a_changed_entry_keeps_its_legs() -> None:
    served = exchange("2021-11-22 12:00", spread_bps=0)

    def patch(order_id: str, **body: str) -> Any:
        response = served.handle(ApiRequest("PATCH", f"/v2/orders/{order_id}", {}, HEADERS, json.dumps(body).encode()))
        assert response.status == 200, response.body
        return json.loads(response.body)

    sent = grouped(served, OrderClass.BRACKET, 110.0, 95.0, limit_price=100.0)
    entry = patch(str(sent.id), limit_price="101")
    assert [leg["status"] for leg in entry["legs"]] == ["new", "new"], "at its new limit it is filled at once"
    leg = patch(entry["legs"][0]["id"], limit_price="104.50")
    assert (leg["order_class"], leg["qty"]) == ("bracket", "10")
    at(served, "2021-11-23 16:00")
    assert fills(served) == [("buy", 101), ("sell", Decimal("104.5"))]
    assert served.venue.book.quantity("AAA") == 0 and not served.venue.book.open_orders()


def test_groups_outlive_a_restart_and_orders_of_an_earlier_release_are_read(tmp_path: Any) -> None:
    before = exchange("2021-11-22 08:00", state=tmp_path, spread_bps=0)
    grouped(before, OrderClass.BRACKET, 103.0, 95.0)
    before.close()
    served = exchange("2021-11-22 08:00", state=tmp_path, spread_bps=0)
    at(served, "2021-11-22 16:00")
    assert states(served) == ["market filled", "limit filled", "stop canceled"]
    kept: AccountBook = served.venue.book
    row = json.loads(encode(next(iter(kept.orders.values()))))
    former = {name: value for name, value in row.items() if name not in ("order_class", "parent", "works_since")}
    assert decode(json.dumps(former), Order).order_class == ""
    served.close()
