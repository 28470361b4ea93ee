"""A `requests` transport adapter that passes requests to an exchange in this process.

client = TradingClient("key", "secret", url_override="http://127.0.0.1")
client._session.mount("http://127.0.0.1", InProcessAdapter(exchange))
"""

import io
from collections.abc import Callable, Mapping
from http.client import RemoteDisconnected
from http.client import responses as reasons
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse
from urllib3.exceptions import ProtocolError

from execution.exchange.api.exchange import Exchange
from execution.exchange.protocol.message import ApiRequest, ApiResponse

FAILURES: dict[str, Callable[[requests.PreparedRequest], Exception]] = {
    "drop": lambda request: requests.ConnectionError(
        ProtocolError("Connection aborted.", RemoteDisconnected("no answer")), request=request
    ),
    "reset": lambda request: requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError(104)), request=request),
    "cut_body": lambda request: requests.exceptions.ChunkedEncodingError(ProtocolError("Connection broken"), request=request),
}


class InProcessAdapter(BaseAdapter):
    """Serves prepared requests from an exchange in this process; time-outs have nothing to measure."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self.exchange = exchange

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Answer `request` as a server would, or fail as a connection would."""
        served = self.exchange.handle(as_request(request))
        if served.breakage in FAILURES:
            raise FAILURES[served.breakage](request)
        read_timeout = timeout[1] if isinstance(timeout, tuple) else timeout
        if read_timeout is not None and served.delay_seconds > read_timeout:
            raise requests.ReadTimeout(f"no answer within {read_timeout} s", request=request)
        return response_for(request, served)

    def close(self) -> None:
        """Nothing to close: the exchange belongs to who made it."""


def as_request(prepared: requests.PreparedRequest) -> ApiRequest:
    """Translate a prepared request."""
    assert prepared.url is not None and prepared.method is not None
    parts = urlsplit(prepared.url)
    body = prepared.body or b""
    return ApiRequest(
        prepared.method,
        unquote(parts.path),
        joined(parse_qsl(parts.query, keep_blank_values=True)),
        {name.lower(): _text(value) for name, value in prepared.headers.items()},
        body if isinstance(body, bytes) else str(body).encode(),
    )


def joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return query parameters by name, a repeated one joined by commas."""
    query: dict[str, str] = {}
    for name, value in pairs:
        query[name] = f"{query[name]},{value}" if name in query else value
    return query


def response_for(request: requests.PreparedRequest, served: ApiResponse) -> requests.Response:
    """Build the response that `requests` would have built from the wire."""
    reason = reasons.get(served.status, "")
    raw = HTTPResponse(
        io.BytesIO(served.body),
        headers=dict(served.headers),
        status=served.status,
        reason=reason,
        preload_content=False,
        request_method=request.method,
    )
    response = requests.Response()
    response.status_code, response.reason = served.status, reason
    response.headers = CaseInsensitiveDict(served.headers)
    response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    response.raw, response.request, response.url = raw, request, str(request.url)
    response._content = served.body
    return response


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
