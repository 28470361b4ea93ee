"""The door on loopback: HTTP by Starlette and uvicorn. One event loop, one request at a time inside the core."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from execution.exchange.clock import VirtualClock
from execution.exchange.exchange import Exchange
from execution.exchange.inprocess import joined
from execution.exchange.message import Request

LOOPBACK = "127.0.0.1"
METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE"]
TICK_SECONDS = 1.0


def application(exchange: Exchange) -> Starlette:
    """Return the ASGI application of `exchange`."""

    async def serve_request(http: HttpRequest) -> HttpResponse:
        if http.client is None or http.client.host != LOOPBACK:
            return HttpResponse(status_code=403)
        served = exchange.handle(
            Request(
                http.method, http.url.path, joined(http.query_params.multi_items()), dict(http.headers),
                await http.body(), datetime.now(UTC),
            )
        )  # fmt: skip
        return HttpResponse(served.body, served.status, dict(served.headers))

    @contextlib.asynccontextmanager
    async def keep_time(app: Starlette) -> AsyncIterator[None]:
        ticking = None if isinstance(exchange.clock, VirtualClock) else asyncio.create_task(_tick(exchange))
        yield
        if ticking is not None:
            ticking.cancel()

    return Starlette(routes=[Route("/{path:path}", serve_request, methods=METHODS)], lifespan=keep_time)


async def _tick(exchange: Exchange) -> None:
    """Let a wall clock's events happen when they are due, not only when somebody asks."""
    while True:
        exchange.catch_up()
        await asyncio.sleep(TICK_SECONDS)


def listen(port: int) -> socket.socket:
    """Bind a loopback socket; port 0 takes a free one."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((LOOPBACK, port))
    return bound


def server(exchange: Exchange) -> uvicorn.Server:
    """Return the server; `server.run(sockets=[listen(port)])` serves until it is told to stop."""
    config = uvicorn.Config(
        application(exchange), log_level="warning", access_log=False, ws="websockets-sansio", lifespan="on",
        timeout_graceful_shutdown=2,
    )  # fmt: skip
    return uvicorn.Server(config)
