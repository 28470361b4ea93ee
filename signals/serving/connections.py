"""Connections of a server: limits on their number and duration, and the listening socket."""

import asyncio
import ipaddress
import socket

import h11
from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE_SECONDS = 10.0  # for a request's head, and again for its body
CONNECTIONS_MAX = 256
Peer = tuple[str, int]


class BodyTooLarge(Exception):
    """A request's body is larger than the server reads; an answer, never an error of this program."""


class Wires:
    """The open connections by peer, oldest first, so that a fault can reach below HTTP and none stays for nothing."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.open: dict[Peer, H11Protocol] = {}

    def protocol(self) -> type[H11Protocol]:
        """Return uvicorn's protocol, keeping this table."""
        table, patience = self.open, self.patience

        class Wired(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if len(table) >= CONNECTIONS_MAX:
                    _oldest_idle(table).transport.abort()
                self.peer: Peer = transport.get_extra_info("peername")
                table[self.peer] = self
                self.loop.call_later(patience, self.look, None)

            def connection_lost(self, exc: Exception | None) -> None:
                self.leave()
                super().connection_lost(exc)

            def handle_websocket_upgrade(self, event: h11.Request) -> None:
                self.leave()
                super().handle_websocket_upgrade(event)

            def leave(self) -> None:
                if table.get(self.peer) is self:
                    del table[self.peer]

            def look(self, before: object) -> None:
                """End a connection on which no request became whole between two looks and none is answered."""
                if table.get(self.peer) is not self:
                    return
                if self.conn.their_state is h11.IDLE and self.cycle is before:
                    self.transport.abort()
                else:
                    self.loop.call_later(patience, self.look, self.cycle)

        return Wired


def _oldest_idle(table: dict[Peer, H11Protocol]) -> H11Protocol:
    return next((each for each in table.values() if each.conn.their_state is h11.IDLE), next(iter(table.values())))


async def read_body(http: Request, most: int) -> bytes:
    """Return a request's body; raise `BodyTooLarge` as soon as it is larger than `most` bytes."""
    body = b""
    async for piece in http.stream():
        body += piece
        if len(body) > most:
            raise BodyTooLarge
    return body


def listen(address: str, port: int) -> socket.socket:
    """Bind a socket on an IP address; port 0 takes a free one."""
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    # asyncio switches Nagle's delay off only where the protocol is named: without it every answer waits 40 ms
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((address, port))
    bound.listen()  # a client with the address may connect at once
    return bound
