"""Invented devices in every condition, and the screens on one of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot

from appliance.ledger import Ledger
from appliance.tui.app import ApplianceApp, Settings
from appliance.tui.demo import build
from appliance.tui.demo.files import write_latch
from appliance.tui.source import LedgerSource

NOW = datetime(2026, 3, 12, 20, 25, tzinfo=UTC)
STATES = ("normal", "halted", "empty", "stale", "error")


@dataclass(frozen=True)
class StoppedClock:
    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError("the screens do not sleep")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Textual lives on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def devices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one device per state; nothing of it may be written to."""
    base = tmp_path_factory.mktemp("devices")
    made = build(base / "normal", seed=7)
    assert made.now == NOW
    for state in STATES[1:]:
        shutil.copytree(base / "normal", base / state)
    write_latch(base / "halted" / "device", NOW, state="halted", halt_id="9c41d0aa", name="DRAWDOWN_HALT",
                reason="loss against the highest equity seen: 15.3 %", by="")  # fmt: skip
    later = {"now": (NOW + timedelta(days=5)).isoformat()}
    (base / "stale" / "device" / "clock.json").write_text(json.dumps(later))
    (base / "empty" / "device" / "ledger.sqlite").unlink()
    (base / "empty" / "device" / "latch.json").unlink()
    Ledger(base / "empty" / "device" / "ledger.sqlite").close()
    (base / "error" / "device" / "ledger.sqlite").write_bytes(b"not a database" * 1_000)
    return base


@pytest.fixture
def screens(devices: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ApplianceApp]:
    """Make the screens on a device, read only when asked; its path is relative, so that pictures do not change."""

    def make(state: str = "normal", **settings: object) -> ApplianceApp:
        monkeypatch.chdir(devices / state)
        source = LedgerSource(Path("device"), StoppedClock())
        return ApplianceApp(source, Settings(**({"refresh_seconds": 0.0} | settings)), monotonic=lambda: 0.0)

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
