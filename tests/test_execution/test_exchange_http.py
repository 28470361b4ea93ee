"""The exchange behind its socket: the same answers over real loopback HTTP, and nothing outside loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime

import pytest
import requests
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, TimeInForce
from alpaca.trading.requests import MarketOrderRequest

from execution.exchange import http
from execution.exchange.exchange import Exchange
from tests.fakes.exchange import exchange, serving


@pytest.fixture
def served() -> Iterator[tuple[Exchange, str]]:
    core = exchange("2021-11-22 08:00")
    with serving(core) as url:
        yield core, url


def test_the_unmodified_clients_trade_a_day_over_http(served: tuple[Exchange, str]) -> None:
    _, url = served
    client = TradingClient("key", "secret", url_override=url)
    asked = MarketOrderRequest(
        symbol="AAA", qty=3, side=OrderSide.BUY, time_in_force=TimeInForce.OPG, client_order_id="one"
    )
    order = client.submit_order(asked)
    assert order.status is OrderStatus.ACCEPTED
    moved = requests.post(f"{url}/_sim/advance", json={"to": "2021-11-22T16:05:00-05:00"}, timeout=5)
    assert moved.status_code == 200 and moved.json()["now"] == "2021-11-22T21:05:00Z"
    assert client.get_order_by_client_id("one").filled_avg_price == "101"
    assert [held.symbol for held in client.get_all_positions()] == ["AAA"]
    assert client.get("/account/activities")[0]["order_id"] == str(order.id)
    bars = StockHistoricalDataClient("key", "secret", url_override=url).get_stock_bars(
        StockBarsRequest(symbol_or_symbols="AAA", timeframe=TimeFrame.Day, start=datetime(2021, 11, 19))
    )
    assert [bar.close for bar in bars.data["AAA"]] == [100.5, 101.5]
    client._session.close()


def test_the_log_tells_what_arrived_and_when(served: tuple[Exchange, str]) -> None:
    _, url = served
    client = TradingClient("key", "secret", url_override=url)
    client.get_account()
    client.cancel_orders()
    rows = requests.get(f"{url}/_sim/log", timeout=5).json()
    assert [(row["method"], row["path"], row["status"]) for row in rows] == [
        ("GET", "/v2/account", 200), ("DELETE", "/v2/orders", 207)
    ]  # fmt: skip
    assert all(row["at"] == "2021-11-22T13:00:00Z" and row["received_at"] for row in rows)
    client._session.close()


def test_a_request_without_credentials_is_unauthorized(served: tuple[Exchange, str]) -> None:
    refused = requests.get(f"{served[1]}/v2/account", timeout=5)
    assert refused.status_code == 401 and refused.json() == {"message": "unauthorized"}


def test_only_loopback_is_bound() -> None:
    with http.listen(0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
        bound.listen()
        others = {row[4][0] for row in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
        for address in others:
            if address.startswith("127."):
                continue
            with socket.socket() as probe, pytest.raises(OSError):
                probe.settimeout(1)
                probe.connect((address, bound.getsockname()[1]))
