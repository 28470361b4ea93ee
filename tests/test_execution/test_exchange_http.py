"""The exchange behind its socket: the same answers over real loopback HTTP, and nothing outside loopback."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
import requests
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.historical.corporate_actions import CorporateActionsClient
from alpaca.data.requests import CorporateActionsRequest, StockBarsRequest
from alpaca.data.timeframe import TimeFrame
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
)

from execution.exchange.api.exchange import Exchange
from execution.exchange.market.market import MarketData
from execution.exchange.protocol.message import ApiRequest
from signals.serving.connections import listen
from signals.serving.gate import LOOPBACK
from tests.fakes.exchange import bars, calendar, exchange, new_york, serving
from tests.fakes.steering import advance, log


@pytest.fixture
def served() -> Iterator[tuple[Exchange, str]]:
    core = exchange("2021-11-22 08:00")
    with serving(core) as url:
        yield core, url


def test_the_unmodified_clients_trade_a_day_over_http(served: tuple[Exchange, str]) -> None:
    _, url = served
    client = TradingClient("key", "secret", url_override=url)
    asked = MarketOrderRequest(symbol="AAA", qty=3, side=OrderSide.BUY, time_in_force=TimeInForce.OPG, client_order_id="one")
    order = client.submit_order(asked)
    assert order.status is OrderStatus.ACCEPTED
    assert advance(url, "2021-11-22T16:05:00-05:00")["now"] == "2021-11-22T21:05:00Z"
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
    rows = log(url)
    assert [(row["method"], row["path"], row["status"]) for row in rows] == [("GET", "/v2/account", 200), ("DELETE", "/v2/orders", 207)]
    assert all(row["at"] == "2021-11-22T13:00:00Z" and row["received_at"] for row in rows)
    client._session.close()


def test_a_request_without_credentials_is_unauthorized(served: tuple[Exchange, str]) -> None:
    refused = requests.get(f"{served[1]}/v2/account", timeout=5)
    assert refused.status_code == 401 and refused.json() == {"message": "unauthorized"}


def test_one_loopback_address_is_bound_and_no_other() -> None:
    """A socket on every address would answer on 127.0.0.2 too."""
    with listen(LOOPBACK, 0) as bound:
        assert bound.getsockname()[0] == "127.0.0.1"
        bound.listen()
        with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
            probe.settimeout(1)
            probe.connect(("127.0.0.2", bound.getsockname()[1]))


def test_every_call_of_the_clients_works_over_http(served: tuple[Exchange, str]) -> None:
    """A2: account to portfolio history, three pages of bars, one replacement; no exception anywhere."""
    _, url = served
    client, market = (TradingClient("key", "secret", url_override=url), StockHistoricalDataClient("k", "s", url_override=url))
    client.get_account(), client.get_clock(), client.get_calendar(), client.get_all_assets(), client.get_asset("AAA")
    advance(url, "2021-11-22T12:00:00-05:00")
    far = LimitOrderRequest(symbol="AAA", qty=2, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, limit_price=50)
    first = client.submit_order(far)
    second = client.replace_order_by_id(first.id, ReplaceOrderRequest(limit_price=101.5))
    assert (str(client.get_order_by_id(first.id).replaced_by), client.get_orders()) == (str(second.id), [])
    assert client.get_open_position("AAA").qty == "2"
    client.close_position("AAA", ClosePositionRequest(percentage="50"))
    advance(url, "2021-11-29T17:00:00-05:00")
    history = client.get_portfolio_history(GetPortfolioHistoryRequest(period="1M", timeframe="1D"))
    assert len(history.equity) == 5 and history.base_value == 1_000_000
    assert [response.status for response in client.close_all_positions(cancel_orders=True)] == [200]
    client.get_account_configurations(), client.cancel_orders()
    pages, token = [], None
    while token is not None or not pages:
        page = market.get(
            "/stocks/bars", {"symbols": "AAA,BBB,CCC", "timeframe": "1Day", "start": "2021-11-01", "limit": 8, "page_token": token}
        )
        pages.append(sum(len(rows) for rows in page["bars"].values()))
        token = page["next_page_token"]
    assert pages == [8, 8, 2], "three names, six closed sessions"
    corporate = CorporateActionsClient("key", "secret", url_override=url)
    assert corporate.get_corporate_actions(CorporateActionsRequest(start=date(2021, 1, 1))).data == {}
    for each in (client, market, corporate):
        each._session.close()


def test_a_wall_clock_lets_the_open_happen_though_nobody_asks() -> None:
    """A clock that runs, once the order is there, from one second before the open; only the log of fills is looked at."""

    class Running:
        began, start = math.inf, new_york("2021-11-22 09:29:59")

        def now(self) -> datetime:
            return self.start + timedelta(seconds=max(0.0, time.monotonic() - self.began))

    clock = Running()
    core = Exchange(MarketData(bars(), calendar()), clock)
    body = b'{"symbol": "AAA", "qty": 1, "side": "buy", "type": "market", "time_in_force": "day"}'
    headers = {"apca-api-key-id": "k", "apca-api-secret-key": "s"}
    assert core.handle(ApiRequest("POST", "/v2/orders", {}, headers, body)).status == 200 and not core.venue.book.entries
    clock.began = time.monotonic()
    with serving(core):
        until = time.monotonic() + 60
        while not core.venue.book.entries and time.monotonic() < until:
            time.sleep(0.02)
    assert [entry.price for entry in core.venue.book.entries] == [101]
