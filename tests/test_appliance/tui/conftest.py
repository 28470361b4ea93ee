"""Invented devices in every condition, and the screens on one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from appliance.tui.app import ApplianceApp, TuiSettings
from appliance.tui.ledger_source import LedgerSource
from tests.fakes.screens import StoppedClock, build_devices


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Textual lives on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one device per state; nothing of it may be written to."""
    base = tmp_path_factory.mktemp("devices")
    build_devices(base)
    return base


@pytest.fixture
def screens(devices: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ApplianceApp]:
    """Make the screens on a device, read only when asked; its path is relative, so that pictures do not change."""

    def make(state: str = "normal", **settings: object) -> ApplianceApp:
        monkeypatch.chdir(devices / state)
        source = LedgerSource(Path("device"), StoppedClock())
        return ApplianceApp(source, TuiSettings(**({"refresh_seconds": 0.0} | settings)), monotonic=lambda: 0.0)

    return make


@pytest.fixture
def settled() -> Callable[[Pilot[None]], Awaitable[None]]:
    """Wait until everything asked for is on the screen."""

    async def settle(pilot: Pilot[None]) -> None:
        for _ in range(3):
            await pilot.pause()
            while pilot.app.is_reading:
                await pilot.pause(0.005)
        await pilot.pause()

    return settle
