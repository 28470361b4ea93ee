"""HTTP transports: time-outs on every call, no automatic retry, or an in-process exchange."""

from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

CONNECT_TIMEOUT_SECONDS = 3.05
READ_TIMEOUT_SECONDS = 10.0


class PatientAdapter(HTTPAdapter):
    """An `HTTPAdapter` that repeats nothing by itself and never waits without an end."""

    def __init__(self, timeouts: tuple[float, float] = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)) -> None:
        super().__init__(max_retries=0)
        self._timeouts = timeouts

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request, once."""
        return super().send(request, stream=stream, timeout=timeout or self._timeouts, verify=verify, cert=cert, proxies=proxies)


class SocketNet:
    """The real network."""

    def adapter(self) -> BaseAdapter:
        """Return a fresh transport."""
        return PatientAdapter()


class HostedNet:
    """A network that ends in this process: every request is answered by a hosted exchange.

    Parameters
    ----------
    transport : BaseAdapter
        The exchange's in-process door.
    """

    def __init__(self, transport: BaseAdapter) -> None:
        self._transport = transport

    def adapter(self) -> BaseAdapter:
        """Return the in-process door."""
        return self._transport
