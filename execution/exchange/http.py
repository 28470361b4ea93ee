"""The door on loopback: HTTP and the update stream by Starlette and uvicorn.

One event loop, one request at a time inside the core. The door also spoils answers on the wire as the fault script
asks: late, cut, dropped, reset or sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol

from execution.exchange.clock import VirtualClock, WallClock
from execution.exchange.exchange import Exchange
from execution.exchange.inprocess import joined
from execution.exchange.message import Request, Response
from execution.exchange.stream import Bell, serve_stream

LOOPBACK = "127.0.0.1"
ARRIVALS = WallClock()  # requests are paced in real time, whatever time the market keeps
DUPLICATE_AFTER_SECONDS = 0.01  # apart, so that the client does not swallow both in one read
TICK_SECONDS = 1.0
LINGER_NONE = struct.pack("ii", 1, 0)  # closing sends RST
Peer = tuple[str, int]


class Wires:
    """The transports of open connections by peer, so that a fault can reach below HTTP."""

    def __init__(self) -> None:
        self.open: dict[Peer, asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """Return uvicorn's protocol, keeping this table."""
        table = self.open

        class Wired(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                table[transport.get_extra_info("peername")] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                table.pop(self.transport.get_extra_info("peername"), None)
                super().connection_lost(exc)

        return Wired


def application(exchange: Exchange, wires: Wires) -> ASGIApp:
    """Return the ASGI application of `exchange`."""
    bell = Bell()

    async def stream(websocket: WebSocket) -> None:
        await serve_stream(websocket, exchange, bell)

    @contextlib.asynccontextmanager
    async def keep_time(app: Starlette) -> AsyncIterator[None]:
        ticking = None if isinstance(exchange.clock, VirtualClock) else asyncio.create_task(_tick(exchange, bell))
        yield
        if ticking is not None:
            ticking.cancel()

    others = Starlette(routes=[WebSocketRoute("/stream", stream)], lifespan=keep_time)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await others(scope, receive, send)
            return
        await _serve_http(exchange, wires, HttpRequest(scope, receive), receive, send)
        bell.ring()

    return serve


async def _serve_http(exchange: Exchange, wires: Wires, http: HttpRequest, receive: Receive, send: Send) -> None:
    if http.client is None or http.client.host != LOOPBACK:
        await HttpResponse(status_code=403)(http.scope, receive, send)
        return
    query, body = joined(http.query_params.multi_items()), await http.body()
    asked = Request(http.method, http.url.path, query, dict(http.headers), body, ARRIVALS.now())
    served = exchange.handle(asked)
    if served.delay_seconds:
        await asyncio.sleep(served.delay_seconds)
    wire = wires.open.get((http.client.host, http.client.port))
    if served.breakage and wire is not None:
        await _spoil(served, wire)
        return
    await HttpResponse(served.body, served.status, dict(served.headers))(http.scope, receive, send)


async def _spoil(served: Response, wire: asyncio.Transport) -> None:
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


def listen(port: int) -> socket.socket:
    """Bind a loopback socket; port 0 takes a free one."""
    # asyncio switches Nagle's delay off only where the protocol is named: without it every answer waits 40 ms
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, port))
    bound.listen()  # whoever is told the address may connect at once
    return bound


def server(exchange: Exchange) -> uvicorn.Server:
    """Return the server; `server.run(sockets=[listen(port)])` serves until it is told to stop."""
    wires = Wires()
    config = uvicorn.Config(
        application(exchange, wires), http=wires.protocol(), log_level="warning", access_log=False,
        ws="websockets-sansio", lifespan="on", timeout_graceful_shutdown=2,
    )  # fmt: skip
    return uvicorn.Server(config)
