"""Trouble with the ledger is an answer with a next step, and never keeps the screen from being drawn."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest
from textual.pilot import Pilot

from appliance.ledger import Ledger
from appliance.tui.app import ApplianceApp, Settings
from appliance.tui.banner import Banner, Level, Notice, standing
from appliance.tui.screens import BY_NAME
from appliance.tui.source import Answer, Condition, LedgerSource, Question

Settled = Callable[[Pilot[None]], Awaitable[None]]


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 12, 20, 25, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


@pytest.fixture
def device(devices: Path, tmp_path: Path) -> Path:
    shutil.copytree(devices / "normal" / "device", tmp_path / "device")
    return tmp_path / "device"


def read(root: Path) -> Answer:
    source = LedgerSource(root, Clock())
    try:
        return source.read(Question())
    finally:
        source.close()


def test_a_folder_that_is_no_device_says_how_to_make_one(tmp_path: Path) -> None:
    trouble = read(tmp_path).trouble
    assert trouble is not None and trouble.condition is Condition.MISSING
    assert "appliance init" in trouble.mend


def test_a_device_without_a_ledger_says_so(device: Path) -> None:
    (device / "ledger.sqlite").unlink()
    trouble = read(device).trouble
    assert trouble is not None and trouble.condition is Condition.MISSING and "no ledger yet" in trouble.what


def test_an_empty_ledger_is_sound_and_empty(device: Path) -> None:
    (device / "ledger.sqlite").unlink()
    Ledger(device / "ledger.sqlite").close()
    answer = read(device)
    assert answer.trouble is not None and answer.trouble.condition is Condition.EMPTY
    assert answer.overview is not None and answer.overview.session is None


def test_a_corrupt_ledger_is_never_shown(device: Path) -> None:
    (device / "ledger.sqlite").write_bytes(b"garbage!" * 4_096)
    answer = read(device)
    assert answer.overview is None and answer.trouble is not None
    assert answer.trouble.condition is Condition.UNUSABLE and "backup" in answer.trouble.mend


def test_a_newer_ledger_asks_for_the_newer_release(device: Path) -> None:
    connection = apsw.Connection(str(device / "ledger.sqlite"))
    connection.execute("UPDATE meta SET value = '99' WHERE key IN ('schema_version', 'usable_since')")
    connection.close()
    trouble = read(device).trouble
    assert trouble is not None and "schema 99" in trouble.what and "newer release" in trouble.mend


def test_settings_that_are_no_yaml_are_told(device: Path) -> None:
    (device / "config.yml").write_text("venue: [")
    trouble = read(device).trouble
    assert trouble is not None and "settings cannot be read" in trouble.what


def test_a_ledger_replaced_by_another_file_is_opened_anew(device: Path) -> None:
    """A restored backup is a new file: the next reading shows it, not the one that was open."""
    source = LedgerSource(device, Clock())
    assert source.read(Question()).trouble is None
    (device / "ledger.sqlite").rename(device / "old.sqlite")
    Ledger(device / "ledger.sqlite").close()
    answer = source.read(Question())
    source.close()
    assert answer.trouble is not None and answer.trouble.condition is Condition.EMPTY


def test_a_reading_changes_nothing(device: Path) -> None:
    """Every file that was there is the same to the byte after every screen has been read."""
    before = {path: path.read_bytes() for path in device.rglob("*") if path.is_file()}
    source = LedgerSource(device, Clock())
    for screen in BY_NAME.values():
        source.read(Question(screen.query, None, "none"))
    source.close()
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.anyio
async def test_a_locked_ledger_never_blocks_the_screen(device: Path, settled: Settled) -> None:
    """While another process keeps the ledger for five seconds, the loop that draws is never late by 50 ms."""
    source = LedgerSource(device, Clock())
    app = ApplianceApp(source, Settings(refresh_seconds=0.0))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("3")
        await settled(pilot)
        source.close()  # an open reader would keep the lock from being taken
        held = await asyncio.to_thread(_lock, device / "ledger.sqlite")
        app.action_refresh_now()
        worst, until = 0.0, time.monotonic() + 4.0
        while time.monotonic() < until:
            start = time.monotonic()
            await asyncio.sleep(0.005)
            worst = max(worst, time.monotonic() - start - 0.005)
        assert app.is_reading, "the reading must be waiting for the lock"
        assert app.query_one(Banner).standing.word == "ARMED"
        await asyncio.to_thread(held.close)
        await settled(pilot)
        assert app.answer is not None and app.answer.overview is not None
    assert worst < 0.05


@pytest.mark.anyio
async def test_a_lock_that_lasts_is_told_and_what_was_read_stays_in_sight(device: Path, settled: Settled) -> None:
    now = [0.0]
    source = LedgerSource(device, Clock())
    app = ApplianceApp(source, Settings(refresh_seconds=0.0), monotonic=lambda: now[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        source.close()
        held = await asyncio.to_thread(_lock, device / "ledger.sqlite")
        app.action_refresh_now()
        now[0] = 12.0
        await settled(pilot)
        notice = app.query_one(Notice).standing.notice
        assert notice.startswith("STALE: last read 12 s ago") and "LEDGER LOCKED" in notice
        assert app.query_one("#panes").display
        held.close()


def test_an_old_reading_is_called_stale(device: Path) -> None:
    """Ten seconds without an answer: the line says for how long, whatever was well before."""
    answer = read(device)
    assert standing(answer, 3.0).notice == "" and standing(answer, 3.0).level is Level.GOOD
    old = standing(answer, 11.0)
    assert old.is_old and old.notice.startswith("STALE: last read 11 s ago")


def _lock(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("CREATE TABLE IF NOT EXISTS held (x)")
    return connection


@pytest.mark.parametrize(("health", "notice"), [
    (None, "DAEMON DOWN: it was never seen here. Next: systemctl start appliance"),
    ('{"at": "2026-03-12T20:00:00+00:00"}', "DAEMON DOWN: silent for 25 min 00 s. Next: systemctl status appliance"),
    ('{"at": "2026-03-12T20:24:30+00:00"}', ""),
])  # fmt: skip
def test_a_daemon_that_should_run_and_does_not_is_a_full_line(device: Path, health: str | None, notice: str) -> None:
    """A device whose venue has time of its own needs a daemon; a hosted exchange, moved by commands, needs none."""
    assert standing(read(device), 0.0).notice == ""
    settings = (device / "config.yml").read_text()
    (device / "config.yml").write_text(settings.replace("broker: exchange", "broker: alpaca-paper"))
    if health is not None:
        (device / "health.json").write_text(health)
    assert standing(read(device), 0.0).notice == notice
