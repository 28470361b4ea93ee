"""The browser's door: loopback, pictures and keys, nothing that could change the device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from appliance.tui import serving
from appliance.tui.app import ApplianceApp

pytestmark = pytest.mark.anyio
HERE = "http://127.0.0.1:8000"
KEY = {serving.KEY_HEADER: "1"}
Screens = Callable[..., ApplianceApp]


@asynccontextmanager
async def browser(app: ApplianceApp, address: str = HERE) -> AsyncIterator[httpx.AsyncClient]:
    door = serving.door(app)
    async with (
        door.router.lifespan_context(door),
        httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url=address) as client,
    ):
        yield client


async def until(client: httpx.AsyncClient, text: str) -> str:
    for _ in range(200):
        picture = (await client.get("/screen.svg")).text.replace("&#160;", " ")
        if text in picture:
            return picture
        await asyncio.sleep(0.02)
    raise AssertionError(f"{text!r} was never shown")


async def test_a_browser_sees_the_screens_and_leafs_through_them(screens: Screens) -> None:
    """And nothing is fetched from anywhere else: no font, no script."""
    async with browser(screens(is_remote=True)) as client:
        assert "/screen.svg" in (await client.get("/")).text
        picture = await until(client, "all is well")
        assert "@font-face" not in picture and "url(http" not in picture
        assert (await client.post("/key/3", headers=KEY)).status_code == 204
        await until(client, "why this order?")


@pytest.mark.parametrize("key", ["ctrl_q", "ctrl+p", "ctrl_c", "f12", "%0a", "H%2fR"])
async def test_keys_that_no_page_needs_are_refused(screens: Screens, key: str) -> None:
    async with browser(screens(is_remote=True)) as client:
        assert (await client.post(f"/key/{key}", headers=KEY)).status_code in (400, 404)


async def test_no_key_reaches_the_daemon_the_disk_or_the_end(screens: Screens, tmp_path: Path) -> None:
    """Halt, re-arm, cancel, both exports and quit are pressed on a table: nothing opens, is written or ends."""
    app = screens(is_remote=True, exports=tmp_path)
    async with browser(app) as client:
        await client.post("/key/3", headers=KEY)
        await until(client, "why this order?")
        for key in "HRXeEq":
            assert (await client.post(f"/key/{key}", headers=KEY)).status_code == 204
            await asyncio.sleep(0.03)
        assert len(app.screen_stack) == 1
        await until(client, "why this order?")
    assert list(tmp_path.iterdir()) == []


async def test_another_sites_page_is_refused(screens: Screens) -> None:
    """Neither under a name of its own (rebinding) nor without the header that only our page may send."""
    async with browser(screens(is_remote=True), "http://evil.example") as client:
        assert (await client.get("/screen.svg")).status_code == 400
    async with browser(screens(is_remote=True)) as client:
        assert (await client.post("/key/3")).status_code == 403
