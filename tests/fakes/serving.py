"""An API asked in this process, without a socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anyio
import httpx

from signals.serving.application import Api, application
from signals.serving.operations import Operation

TOKEN = "t" * 43
HERE = "http://127.0.0.1:8780"
KEY = {"authorization": f"Bearer {TOKEN}"}


def api(*operations: Operation, **settings: Any) -> Api:
    return Api("test", "1.0", operations, TOKEN, **settings)


def ask(
    served: Api, path: str, *, method: str = "GET", headers: Mapping[str, str] = KEY, body: bytes | None = None, url: str = HERE
) -> Any:
    """The answer to one request, asked of a fresh application."""

    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application(served, 0.3)), base_url=url) as client:
            return await client.request(method, path, headers=dict(headers), content=body)

    return anyio.run(asked)
