"""The browser's door: loopback, pictures and keys, nothing that could change the device."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from appliance.tui import web_server
from appliance.tui.app import ApplianceApp

pytestmark = pytest.mark.anyio
TOKEN = "t0ken-of-this-run"
HERE = "http://127.0.0.1:8000"
KEY = {web_server.KEY_HEADER: "1"}
Screens = Callable[..., ApplianceApp]


@asynccontextmanager
async def browser(app: ApplianceApp, address: str = HERE) -> AsyncIterator[httpx.AsyncClient]:
    door = web_server.web_app(app, TOKEN)
    async with (
        door.router.lifespan_context(door),
        httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url=f"{address}/{TOKEN}") as client,
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
        assert "screen.svg" in (await client.get("/")).text
        picture = await until(client, "all is well")
        assert "@font-face" not in picture and "url(http" not in picture
        assert (await client.post("/key/3", headers=KEY)).status_code == 204
        await until(client, "why this order?")


@pytest.mark.parametrize("token", ["", "other", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "%ff", "株"])
async def test_without_its_token_nobody_sees_or_presses_anything(screens: Screens, token: str) -> None:
    """Another user of the machine reaches the port: no page, no picture, no key."""
    app = screens(is_remote=True)
    async with browser(app) as client:
        await until(client, "all is well")
        paths = ("", "screen.svg", "key/3") if token else ("", "screen.svg", "key/3", "static/x", "ws")
        for path in paths:
            for method in ("GET", "POST"):
                answer = await client.request(
                    method, f"{HERE}/{token}/{path}" if token else f"{HERE}/{path}", headers=KEY, follow_redirects=True
                )
                assert answer.status_code in (403, 404, 405), (method, path)
                assert "<" not in answer.text and TOKEN not in answer.text
        assert app.front.name == "overview"
        assert (await client.post("/key/3", headers=KEY)).status_code == 204
        await until(client, "why this order?")


@pytest.mark.parametrize("has_folder", [True, False])
def test_the_address_is_given_to_whoever_started_them_alone(tmp_path: Path, *, has_folder: bool) -> None:
    """To the terminal, or under systemd to a file that its owner alone reads; a fresh token each time."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, **({"RUNTIME_DIRECTORY": str(tmp_path)} if has_folder else {})}
    command = [sys.executable, "-m", "appliance.tui", "--demo", "--serve", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as run:
        assert run.stdout is not None
        try:
            file = tmp_path / "address"
            for _ in range(400 if has_folder else 0):
                if file.exists():
                    break
                time.sleep(0.05)
            address = file.read_text().strip() if has_folder else run.stdout.readline().split()[0]
            assert re.fullmatch(rf"http://127\.0\.0\.1:{port}/[\w-]{{43}}/", address)
            if has_folder:
                assert file.stat().st_mode & 0o777 == 0o600
            assert httpx.get(address, timeout=20).status_code == 200
            assert httpx.get(f"http://127.0.0.1:{port}/", timeout=20).status_code == 404
            assert httpx.get(f"http://127.0.0.1:{port}/{'x' * 43}/screen.svg", timeout=20).status_code == 403
        finally:
            run.terminate()
            assert not has_folder or run.stdout.read() == ""


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "appliance.tui", "--demo", "--serve", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "Choose another with --port" in done.stderr


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
