"""The HTTP server of the exchange: Starlette and uvicorn on loopback, with the update stream.

One event loop, one request at a time inside the core. The door also spoils answers on the wire as the fault script
asks: late, cut, dropped, reset or sent twice.

Invariants
----------
1. Nothing reaches the core, or the stream, that the gate has not let pass.
2. A client that is slow, silent or many-handed costs one connection of a bounded number, for a bounded time.
3. A request that meets a fault of the exchange is answered by 500 and has changed nothing.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

import apsw
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from execution.exchange.api.exchange import Exchange
from execution.exchange.api.routes import SIM_PREFIX
from execution.exchange.core.clock import ExchangeVirtualClock, ExchangeWallClock
from execution.exchange.doors.inprocess import joined
from execution.exchange.doors.stream import Bell, serve_stream
from execution.exchange.protocol import refusals
from execution.exchange.protocol.message import ApiRequest, ApiResponse, answer
from execution.exchange.protocol.refusals import FOREIGN_HOST, FOREIGN_ORIGIN, SIM_TOKEN_WANTED, RefusedByVenue
from signals.errors import TrademlError
from signals.serving.connections import PATIENCE_SECONDS, BodyTooLarge, Wires, read_body
from signals.serving.gate import LOOPBACK, OWN_HOSTS, Foreign, RawHeaders, foreign, is_token, values_of
from signals.text.wording import reason_of

FREE = ("GET", f"{SIM_PREFIX}clock")  # daemon and jobs read the time
TOKEN_FILE, TOKEN_HEADER = "sim-token", "x-sim-token"


@dataclass(frozen=True)
class Gate:
    """What a door asks of every connection.

    Attributes
    ----------
    token : str
        Of what steers the simulation.
    hosts : collection of str
        Names under which the exchange may be asked for; the port is of no concern.
    """

    token: str
    hosts: Collection[str] = OWN_HOSTS

    def check(self, method: str, path: str, headers: RawHeaders) -> None:
        """Raise `RefusedByVenue` unless a request with these raw headers may pass."""
        if (why := foreign(headers, self.hosts)) is not None:
            raise RefusedByVenue(FOREIGN_HOST if why is Foreign.HOST else FOREIGN_ORIGIN)
        steers = path.startswith(SIM_PREFIX) and (method, path) != FREE
        if steers and not is_token(values_of(headers, TOKEN_HEADER), self.token):
            raise RefusedByVenue(SIM_TOKEN_WANTED)


ARRIVALS = ExchangeWallClock()  # requests are paced in real time, whatever time the market keeps
DUPLICATE_AFTER_SECONDS = 0.01  # apart, so that the client does not swallow both in one read
TICK_SECONDS = 1.0
LINGER_NONE = struct.pack("ii", 1, 0)  # closing sends RST
BODY_MAX_BYTES = 2**16  # the largest order with four legs has not a tenth of it
FAILED = "the request met a fault of the exchange and changed nothing"
CLOSE = {"connection": "close"}
LOG = logging.getLogger("uvicorn.error")


def application(exchange: Exchange, gate: Gate, wires: Wires) -> ASGIApp:
    """Return the ASGI application of `exchange` behind `gate`."""
    bell = Bell()

    async def stream(websocket: WebSocket) -> None:
        await serve_stream(websocket, exchange, bell, wires.patience)

    @contextlib.asynccontextmanager
    async def keep_time(app: Starlette) -> AsyncIterator[None]:
        ticking = None if isinstance(exchange.clock, ExchangeVirtualClock) else asyncio.create_task(_tick(exchange, bell))
        yield
        if ticking is not None:
            ticking.cancel()

    others = Starlette(routes=[WebSocketRoute("/stream", stream)], lifespan=keep_time)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await others(scope, receive, send)
            return
        try:
            if scope["client"] is None or scope["client"][0] != LOOPBACK:
                raise RefusedByVenue(refusals.FOREIGN_HOST)
            gate.check(scope.get("method", "GET"), scope["path"], scope["headers"])
        except RefusedByVenue as refused:
            await _refuse(refused, scope, receive, send)
            return
        if scope["type"] == "websocket":
            await others(scope, receive, send)
            return
        await _serve_http(exchange, wires, HttpRequest(scope, receive), receive, send)
        bell.ring()

    return serve


async def _refuse(refused: RefusedByVenue, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what does not reach the core, and end the connection: its body is not read."""
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).close()  # before it was accepted: a 403
        return
    response = answer(refused.content, refused.refusal.status, CLOSE)
    await HttpResponse(response.body, response.status, dict(response.headers))(scope, receive, send)


async def _serve_http(exchange: Exchange, wires: Wires, http: HttpRequest, receive: Receive, send: Send) -> None:
    scope = http.scope
    try:
        body = await asyncio.wait_for(read_body(http, BODY_MAX_BYTES), wires.patience)
    except TimeoutError:
        await _refuse(RefusedByVenue(refusals.BODY_TOO_SLOW, _seconds=f"{wires.patience:g}"), scope, receive, send)
        return
    except BodyTooLarge:
        await _refuse(RefusedByVenue(refusals.BODY_TOO_LARGE, _most=str(BODY_MAX_BYTES)), scope, receive, send)
        return
    query = joined(http.query_params.multi_items())
    asked = ApiRequest(http.method, scope["path"], query, dict(http.headers), body, ARRIVALS.now())
    try:
        served = exchange.handle(asked)
    except (TrademlError, apsw.Error) as error:
        LOG.error("%s %s: %s", asked.method, asked.path, reason_of(error))
        served = answer({"code": 50010000, "message": FAILED}, 500)
    if served.delay_seconds:
        await asyncio.sleep(served.delay_seconds)
    wire = wires.open.get(tuple(scope["client"]))
    if served.breakage and wire is not None:
        await _spoil(served, wire.transport)
        return
    await HttpResponse(served.body, served.status, dict(served.headers))(scope, receive, send)


async def _spoil(served: ApiResponse, wire: asyncio.Transport) -> None:
    """Put a broken answer on the wire and end the connection."""
    head = f"HTTP/1.1 {served.status} OK\r\ncontent-length: {len(served.body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in served.headers.items()) + "\r\n"
    whole = head.encode() + served.body
    if served.breakage == "cut_body":
        wire.write(whole[: len(whole) - len(served.body) // 2 - 1])
    if served.breakage == "duplicate":
        wire.write(whole)
        await asyncio.sleep(DUPLICATE_AFTER_SECONDS)
        wire.write(whole)
    if served.breakage == "reset":
        wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        wire.abort()
    wire.close()
    while not wire.is_closing():
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)  # uvicorn must see the loss before it would complain of a missing answer


async def _tick(exchange: Exchange, bell: Bell) -> None:
    """Let a wall clock's events happen when they are due, not only when somebody asks."""
    while True:
        exchange.catch_up()
        bell.ring()
        await asyncio.sleep(TICK_SECONDS)


def server(exchange: Exchange, gate: Gate, *, patience: float = PATIENCE_SECONDS) -> uvicorn.Server:
    """Return the server; `server.run(sockets=[listen(port)])` serves until it is asked to stop.

    Parameters
    ----------
    patience : float
        Seconds for a request's head and again for its body.
    """
    wires = Wires(patience)
    config = uvicorn.Config(
        application(exchange, gate, wires),
        http=wires.protocol(),
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_max_size=BODY_MAX_BYTES,
        lifespan="on",
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)
