"""Invented devices in every condition that the screens have a picture of."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from appliance.ledger import Ledger
from appliance.tui.demo import build
from appliance.tui.demo.state_files import write_latch

NOW = datetime(2026, 3, 12, 20, 25, tzinfo=UTC)
STATES = ("normal", "halted", "empty", "stale", "error")
ORDER = "tm1-0001-20260312-main-SXSN-0000-8e0f18"  # the newest one that was sent


@dataclass(frozen=True)
class StoppedClock:
    """Where the invented device's clock stands."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError("the screens do not sleep")


def build_devices(base: Path) -> None:
    """Write one device per state, each in a folder `device` below the state's name."""
    made = build(base / "normal", seed=7)
    assert made.now == NOW
    for state in STATES[1:]:
        shutil.copytree(base / "normal", base / state)
    write_latch(
        base / "halted" / "device",
        NOW,
        state="halted",
        halt_id="9c41d0aa",
        name="DRAWDOWN_HALT",
        reason="loss against the highest equity seen: 15.3 %",
        by="",
    )
    later = {"now": (NOW + timedelta(days=5)).isoformat()}
    (base / "stale" / "device" / "clock.json").write_text(json.dumps(later))
    (base / "empty" / "device" / "ledger.sqlite").unlink()
    (base / "empty" / "device" / "latch.json").unlink()
    Ledger(base / "empty" / "device" / "ledger.sqlite").close()
    (base / "error" / "device" / "ledger.sqlite").write_bytes(b"not a database" * 1_000)
