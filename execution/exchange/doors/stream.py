"""The `trade_updates` stream: Alpaca's websocket protocol with binary frames.

The client authenticates, then listens; from then on every update of the account reaches it. Like Alpaca's, the stream
is a convenience: it may drop, repeat or swap events when the fault script says so, and REST stays the truth.
"""

import asyncio
import json

from starlette.websockets import WebSocket, WebSocketDisconnect

from execution.exchange.api.exchange import Exchange
from execution.exchange.core.venue import Update
from execution.exchange.core.wire import instant, order_row, plain
from execution.exchange.protocol.faults import Fault, FaultKind
from signals.text import strict_json
from signals.text.strict_json import JsonObject

GOING_AWAY = 1001
UNREADABLE = 1007
STREAMS_MAX = 64
UPDATES = "trade_updates"


class Bell(set[asyncio.Event]):
    """Wakes every open stream, each by its event, when something may have happened."""

    def ring(self) -> None:
        """Wake them."""
        for event in self:
            event.set()


async def serve_stream(socket: WebSocket, exchange: Exchange, bell: Bell, patience: float) -> None:
    """Serve one client until it or a scripted fault closes the connection; wait `patience` seconds for its keys."""
    if len(bell) >= STREAMS_MAX:
        await socket.close()
        return
    await socket.accept()
    woken = asyncio.Event()
    sender: asyncio.Task[None] | None = None
    try:
        bell.add(woken)
        if not await asyncio.wait_for(_authorized(socket, exchange), patience):
            return
        while True:
            asked = await _receive(socket)
            wanted = _object(asked.get("data")).get("streams")
            streams = [name for name in wanted if isinstance(name, str)] if isinstance(wanted, list) else []
            woken.clear()
            sent = exchange.venue.updates.count  # what happens once the client has been answered is sent
            await _send(socket, {"stream": "listening", "data": {"streams": streams}})
            if UPDATES in streams and sender is None:
                sender = asyncio.create_task(_send_updates(socket, exchange, woken, sent))
    except TimeoutError:
        await socket.close()
    except (WebSocketDisconnect, RuntimeError):
        return  # the client has gone, or the fault script closed the connection
    finally:
        bell.discard(woken)
        if sender is not None:
            sender.cancel()


async def _authorized(socket: WebSocket, exchange: Exchange) -> bool:
    asked = await _receive(socket)
    given, wanted = _object(asked.get("data")) or asked, exchange.venue.config
    keys = given.get("key_id") or given.get("key"), given.get("secret_key") or given.get("secret")
    good = all(keys) and (not wanted.key_id or keys == (wanted.key_id, wanted.secret_key))
    status = "authorized" if good else "unauthorized"
    await _send(socket, {"stream": "authorization", "data": {"status": status, "action": "authenticate"}})
    if not good:
        await socket.close()
    return good


async def _send_updates(socket: WebSocket, exchange: Exchange, woken: asyncio.Event, sent: int) -> None:
    kept = None
    while True:
        await woken.wait()
        woken.clear()
        for update in exchange.venue.updates.since(sent):
            fault = exchange.faults.pick("STREAM", update.event, stream=True)
            if fault is not None and fault.kind is FaultKind.STREAM_DROP:
                await socket.close(GOING_AWAY)
                return
            if fault is not None and fault.kind is FaultKind.STREAM_SWAP:
                kept = update
                continue
            for message in _messages(update, fault, kept):
                await _send(socket, message)
            kept = None
        sent = exchange.venue.updates.count


def _messages(update: Update, fault: Fault | None, kept: Update | None) -> list[JsonObject]:
    rows = [update, update] if fault is not None and fault.kind is FaultKind.STREAM_TWICE else [update]
    return [{"stream": UPDATES, "data": update_row(row)} for row in (*rows, *([kept] if kept else []))]


def update_row(update: Update) -> JsonObject:
    """Return one event as Alpaca writes it."""
    row: JsonObject = {"event": update.event, "timestamp": instant(update.at), "order": order_row(update.order)}
    entry = update.entry
    if entry is not None and entry.price is not None and entry.quantity is not None:
        row |= {
            "price": plain(entry.price),
            "qty": plain(entry.quantity),
            "execution_id": entry.id.split("::")[1],
            "position_qty": plain(update.position_quantity),
        }
    return row


async def _receive(socket: WebSocket) -> JsonObject:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", GOING_AWAY))
    try:
        return _object(strict_json.loads(message.get("text") or message.get("bytes") or b"{}"))
    except strict_json.BadJson:
        await socket.close(UNREADABLE)
        raise WebSocketDisconnect(UNREADABLE) from None


def _object(content: object) -> JsonObject:
    return content if isinstance(content, dict) else {}


async def _send(socket: WebSocket, content: JsonObject) -> None:
    await socket.send_bytes(json.dumps(content).encode())
