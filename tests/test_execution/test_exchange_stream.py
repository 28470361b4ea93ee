"""The update stream through the unmodified TradingStream: binary frames, every event, scripted drops and repeats."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.models import TradeUpdate
from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest
from alpaca.trading.stream import TradingStream
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from execution.exchange.protocol.faults import Fault, FaultKind
from tests.fakes import steering
from tests.fakes.exchange import exchange, serving, trading_at


class Seen(list[TradeUpdate]):
    """What was heard, and how often the server has said that it is listened to."""

    subscriptions = 0


@contextmanager
def listening(url: str) -> Iterator[Seen]:
    """Listen with the real client in a thread of its own."""
    seen = Seen()

    class Listener(TradingStream):
        async def _dispatch(self, message: dict[str, Any]) -> None:
            seen.subscriptions += message.get("stream") == "listening"
            await super()._dispatch(message)

    async def keep(update: TradeUpdate) -> None:
        seen.append(update)

    stream = Listener("key", "secret", url_override=url.replace("http", "ws") + "/stream")
    stream._reconnect_min_backoff = 0.01
    stream.subscribe_trade_updates(keep)
    thread = threading.Thread(target=stream.run)
    thread.start()
    wait_for(lambda: seen.subscriptions == 1)
    try:
        yield seen
    finally:
        stream._loop.call_soon_threadsafe(stream._loop.create_task, stream.stop_ws())
        stream._loop.call_soon_threadsafe(stream._loop.create_task, stream.close())
        thread.join()


def wait_for(true: object, seconds: float = 120.0) -> None:
    """Wait until `true()` holds."""
    assert callable(true)
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


def advance(client: object, to: str) -> None:
    steering.advance(client._base_url, to)  # type: ignore[attr-defined]


def test_a_scripted_day_arrives_event_by_event() -> None:
    with serving(exchange("2021-11-22 08:00", spread_bps=0)) as url, listening(url) as seen:
        client = trading_at(url)
        order = MarketOrderRequest(symbol="AAA", qty=5, side=OrderSide.BUY, time_in_force=TimeInForce.OPG)
        client.submit_order(order)
        far = LimitOrderRequest(symbol="BBB", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, limit_price=1)
        client.cancel_order_by_id(client.submit_order(far).id)
        client.submit_order(far)
        advance(client, "2021-11-22T16:00:00-05:00")
        wait_for(lambda: len(seen) >= 8)
        client._session.close()
    told = [(getattr(update.event, "value", update.event), update.order.symbol) for update in seen]
    assert told == [
        ("accepted", "AAA"),
        ("accepted", "BBB"),
        ("canceled", "BBB"),
        ("accepted", "BBB"),
        ("new", "AAA"),
        ("fill", "AAA"),
        ("new", "BBB"),
        ("expired", "BBB"),
    ]
    fill = seen[5]
    assert (fill.price, fill.qty, fill.position_qty, fill.order.filled_avg_price) == (101.0, 5.0, 5.0, "101")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(FaultKind.STREAM_TWICE, ["1", "1", "2", "3"]), (FaultKind.STREAM_SWAP, ["2", "1", "3"]), (FaultKind.STREAM_DROP, ["2", "3"])],
)
def test_the_stream_may_repeat_swap_and_drop_while_rest_stays_true(kind: FaultKind, expected: list[str]) -> None:
    core = exchange("2021-11-22 08:00")
    with serving(core) as url, listening(url) as seen:
        client = trading_at(url)
        core.faults.arm([Fault(kind=kind, path="accepted")])
        for number in ("1", "2", "3"):
            client.submit_order(
                MarketOrderRequest(symbol="AAA", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.OPG, client_order_id=number)
            )
            if kind is FaultKind.STREAM_DROP and number == "1":
                wait_for(lambda: seen.subscriptions == 2)  # the client has come back
        wait_for(lambda: len(seen) >= len(expected))
        assert len(client.get_orders()) == 3
        client._session.close()
    assert [update.order.client_order_id for update in seen] == expected
    assert [strike.kind for strike in core.faults.strikes] == [kind]


def test_a_stream_without_credentials_is_not_authorized() -> None:
    import json

    from websockets.sync.client import connect

    with serving(exchange()) as url, connect(url.replace("http", "ws") + "/stream") as socket:
        socket.send(json.dumps({"action": "authenticate", "data": {}}))
        told = socket.recv()
        assert isinstance(told, bytes), "frames are binary, as on Alpaca's paper host"
        assert json.loads(told)["data"]["status"] == "unauthorized"


@pytest.mark.parametrize("spoken", ["{", '"\\ud800"', "1E+99999999999999999999", '{"data": 1E+99999999999999999999}'])
def test_a_message_that_cannot_be_read_closes_its_own_connection_alone(spoken: str) -> None:
    with serving(exchange()) as url:
        address = url.replace("http", "ws") + "/stream"
        with connect(address) as socket, pytest.raises(ConnectionClosedError) as closed:
            socket.send(spoken)
            socket.recv(timeout=60)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1007
        with connect(address) as socket:
            socket.send('{"action": "authenticate", "data": {"key_id": "key", "secret_key": "secret"}}')
            assert b"authorized" in socket.recv(timeout=60)
            socket.send('{"action": "listen", "data": {"streams": [1.5, "trade_updates"]}}')
            assert b'["trade_updates"]' in socket.recv(timeout=60)
