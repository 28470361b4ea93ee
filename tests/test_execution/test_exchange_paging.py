"""1,201 orders and 1,201 fills page completely and exactly once, through the real client (A7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, QueryOrderStatus, TimeInForce
from alpaca.trading.models import Order
from alpaca.trading.requests import GetOrdersRequest, MarketOrderRequest

from tests.fakes.exchange import exchange, new_york, trading

MANY = 1201


@pytest.fixture(scope="module")
def client() -> TradingClient:
    served = exchange("2021-11-22 08:00")
    client = trading(served)
    for number in range(MANY):
        client.submit_order(
            MarketOrderRequest(
                symbol=("AAA", "BBB", "CCC")[number % 3],
                qty=1,
                side=OrderSide.BUY,
                time_in_force=TimeInForce.OPG,
                client_order_id=f"n{number}",
            )
        )
    served.advance(new_york("2021-11-22 09:30"))
    return client


def order_pages(client: TradingClient, **after: Any) -> Iterator[list[Order]]:
    """Follow submission times backwards, as `until` is exclusive."""
    until = None
    while True:
        page = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, limit=500, until=until, **after))
        if not page:
            return
        yield page
        until = page[-1].submitted_at


def test_orders_page_by_time(client: TradingClient) -> None:
    pages = list(order_pages(client))
    assert [len(page) for page in pages] == [500, 500, 201]
    assert [order.client_order_id for page in pages for order in page] == [f"n{n}" for n in reversed(range(MANY))]


def test_orders_page_by_id_in_either_direction(client: TradingClient) -> None:
    found: list[str] = []
    last: dict[str, str] = {}
    while page := client.get("/orders", {"status": "all", "limit": 500, "direction": "asc", **last}):
        found += [row["client_order_id"] for row in page]
        last = {"after_order_id": page[-1]["id"]}
    assert found == [f"n{n}" for n in range(MANY)]


def test_activities_page_by_token(client: TradingClient) -> None:
    rows: list[dict[str, Any]] = []
    token: dict[str, str] = {}
    while page := client.get("/account/activities/FILL", {"page_size": 100, **token}):
        rows += page
        token = {"page_token": page[-1]["id"]}
    assert len(rows) == MANY and len({row["id"] for row in rows}) == MANY
    assert [row["transaction_time"] for row in rows] == sorted((row["transaction_time"] for row in rows), reverse=True)
    orders = {row["order_id"] for row in rows}
    assert len(orders) == MANY


def test_the_open_list_alone_is_the_default(client: TradingClient) -> None:
    assert client.get_orders() == []
    assert len(client.get_orders(GetOrdersRequest(status=QueryOrderStatus.CLOSED))) == 50
