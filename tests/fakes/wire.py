"""A real HTTP server on loopback that answers requests from a script and counts them."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Say:
    """One scripted answer; `reset` sends a TCP RST, `silent` keeps the socket open and says nothing, `cut` stops after
    so many bytes of the body; with `drip` seconds between them the bytes of the body leave one by one, with `drip_head`
    those of the head too."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    reset: bool = False
    silent: bool = False
    cut: int | None = None
    drip: float = 0.0
    drip_head: bool = False


def say(content: object, status: int = 200, **headers: str) -> Say:
    """A JSON answer."""
    return Say(status, json.dumps(content).encode(), headers)


@dataclass
class Wire:
    """The running server: its address, what it saw, and what it will say next (the last answer repeats)."""

    url: str
    answers: list[Say | Callable[[Seen], Say]]
    seen: list[Seen] = field(default_factory=list)

    def count(self, method: str) -> int:
        """Number of requests of a method that arrived."""
        return sum(request.method == method for request in self.seen)


@contextmanager
def wire(*answers: Say | Callable[[Seen], Say]) -> Iterator[Wire]:
    """Serve the scripted answers on a free loopback port for the length of the block."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            parts = urlsplit(self.path)
            seen = Seen(self.command, parts.path, dict(parse_qsl(parts.query)), self.rfile.read(length), dict(self.headers))
            served.seen.append(seen)
            answer = served.answers.pop(0) if len(served.answers) > 1 else served.answers[0]
            self.tell(answer(seen) if callable(answer) else answer)

        def tell(self, answer: Say) -> None:
            self.close_connection = True
            if answer.silent:
                released.wait(30)
                return
            if answer.reset:
                # closing with a linger of zero seconds sends RST instead of FIN
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            if answer.drip_head:
                self.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 500 + b"\r\n\r\n", answer.drip)
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Connection", "close")  # no later request may race with the end of this connection
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.drip:
                self.drip(answer.body, answer.drip)
                return
            self.wfile.write(answer.body if answer.cut is None else answer.body[: answer.cut])

        def drip(self, content: bytes, pause: float) -> None:
            with suppress(OSError):  # nobody waits for the end
                for at in range(len(content)):
                    if released.wait(pause):
                        return
                    self.wfile.write(content[at : at + 1])

        do_GET = do_POST = do_DELETE = do_PATCH = handle_any

        def log_message(self, *arguments: object) -> None:
            pass

        def finish(self) -> None:
            with suppress(OSError):  # the connection was reset on purpose
                super().finish()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Wire(f"http://127.0.0.1:{server.server_address[1]}", list(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()
