"""The HTTP transport of broker requests: permitted hosts only, time-outs, pacing, exact JSON numbers.

Invariants
----------
1. No request reaches a host outside `ALLOWED_HOSTS`; the live trading host is not one of them.
2. Every request carries a connect and a read time-out, and head and whole body of its answer arrive before one
   deadline and within `MAX_BODY_BYTES`: an answer that drips is no answer.
3. One call of `send` is at most one request on the wire: nothing here repeats anything.
4. A number in a JSON answer becomes the Decimal that its digits say, never a float; one that is too large to compute
   with, or a text that cannot be stored, makes the whole answer unreadable.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from execution.brokers.rate_limit import TokenBucket
from signals.errors import BadConfig, InvariantBroken
from signals.text import strict_json

CONNECT_TIMEOUT_SECONDS = 3.05  # just above a multiple of 3, the TCP retransmission window
READ_TIMEOUT_SECONDS = 10.0
REQUEST_SECONDS = 20.0  # for a request and its whole answer; the list of all assets takes two on a slow line
CHUNK_BYTES = 1 << 16
MAX_BODY_BYTES = 64 << 20  # ten times the list of all assets
PAPER_HOSTS = frozenset({"paper-api.alpaca.markets", "data.alpaca.markets"})
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
ALLOWED_HOSTS = PAPER_HOSTS | LOOPBACK_HOSTS


def is_permitted(url: str) -> bool:
    """Whether a request may go to `url`: Alpaca's paper and data hosts over TLS, or this machine."""
    parts = urlsplit(url)
    if parts.hostname in LOOPBACK_HOSTS:
        return parts.scheme in ("http", "https")
    return parts.scheme == "https" and parts.hostname in PAPER_HOSTS


def require_permitted(url: str) -> None:
    """Raise `BadConfig` for an address to which orders must never go."""
    if not is_permitted(url):
        raise BadConfig(
            "orders go to the paper account or to this machine, nowhere else",
            where=url,
            fix="Use https://paper-api.alpaca.markets or the embedded exchange",
        )


class ExactResponse(requests.Response):
    """A response whose JSON numbers are Decimals, and for which only 2xx is a success: a redirect is an error."""

    @classmethod
    def of(cls, response: requests.Response) -> ExactResponse:
        """Wrap a response that a transport made."""
        exact = cls()
        vars(exact).update(vars(response))
        exact.encoding = "utf-8"  # JSON is nothing else, and guessing at a long body takes minutes
        return exact

    def raise_for_status(self) -> None:
        """Raise `HTTPError` for anything but 2xx."""
        super().raise_for_status()
        if not 200 <= self.status_code < 300:
            raise requests.HTTPError(f"{self.status_code} is no answer to this request", response=self)

    def json(self, **_: Any) -> Any:
        """Return the body parsed exactly; raise `BadJson`, a ValueError, when it is not JSON that we can work with."""
        return strict_json.loads(self.content)


class Deadline(threading.local):
    """The instant by which the answer to this thread's request must have arrived."""

    until = math.inf

    def start(self) -> None:
        """Give the next request all of its time."""
        self.until = time.monotonic() + REQUEST_SECONDS

    def left(self) -> float:
        """Return seconds; raise `TimeoutError` when there are none."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError(f"the answer was not whole after {REQUEST_SECONDS:g} s")
        return seconds


class _TimedReader(io.RawIOBase):
    """A socket's bytes, each read allowed what is left of the request's time."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(min(READ_TIMEOUT_SECONDS, self._deadline.left()))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _TimedAdapter(HTTPAdapter):
    """A plain adapter without retries whose answers are read before a deadline."""

    def __init__(self, deadline: Deadline) -> None:
        class Answer(http.client.HTTPResponse):
            def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
                super().__init__(sock, *arguments, **options)
                self.fp.close()
                self.fp = io.BufferedReader(_TimedReader(sock, deadline))

        class Plain(HTTPConnectionPool):
            class ConnectionCls(HTTPConnection):
                response_class = Answer

        class Encrypted(HTTPSConnectionPool):
            class ConnectionCls(HTTPSConnection):
                response_class = Answer

        self._pools = {"http": Plain, "https": Encrypted}
        super().__init__(max_retries=0)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools


class GuardedTransport(BaseAdapter):
    """The one adapter that our client's session mounts.

    Parameters
    ----------
    inner : BaseAdapter or None
        What really sends; an in-process exchange in simulations, else a plain `HTTPAdapter` without retries.
    """

    def __init__(self, bucket: TokenBucket, inner: BaseAdapter | None = None) -> None:
        super().__init__()
        self._bucket = bucket
        self._deadline = Deadline()
        self._inner = inner if inner is not None else _TimedAdapter(self._deadline)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request, once, when the bucket lets it."""
        if not is_permitted(request.url or ""):
            raise InvariantBroken("a request was about to leave for a host that is not allowed", where=str(request.url))
        self._bucket.take()
        limits = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        self._deadline.start()
        response = self._inner.send(request, stream=True, timeout=limits, verify=verify, cert=cert, proxies=proxies)
        return ExactResponse.of(_whole(response))

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()


def _whole(response: requests.Response) -> requests.Response:
    """Read the body now, while the deadline runs, and no more of it than any honest answer has."""
    if isinstance(response._content, bytes):  # an exchange within this process answered, whole
        return response
    body = bytearray()
    for chunk in response.iter_content(CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            response.close()
            raise requests.ConnectionError(f"the answer has more than {MAX_BODY_BYTES} bytes", response=response)
    response._content = bytes(body)
    return response
