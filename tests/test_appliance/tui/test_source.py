"""Trouble with the ledger is an answer with a next step, and never keeps the screen from being drawn."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import apsw
import pytest
import yaml
from textual.pilot import Pilot

from appliance.ledger import AccessMode, Ledger, nav, snapshots
from appliance.ledger.snapshots import Phase
from appliance.status.vitals import DaemonFacts, vitals
from appliance.system.state_folder import StateFolder
from appliance.tui.app import ApplianceApp, TuiSettings
from appliance.tui.banner import Banner, Level, Notice, banner_state
from appliance.tui.ledger_source import LedgerSource, ScreenAnswer, ScreenQuery, SourceCondition
from appliance.tui.overview_pane import next_job_panel
from appliance.tui.screens import BY_NAME
from appliance.views.overview import DaemonState
from execution.brokers.base import Account, Position
from tests.fakes.exchange import exchange, serving
from tests.fakes.screens import NOW, StoppedClock

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


def read(root: Path) -> ScreenAnswer:
    source = LedgerSource(root, Clock())
    try:
        return source.read(ScreenQuery())
    finally:
        source.close()


def test_a_folder_that_is_no_device_says_how_to_make_one(tmp_path: Path) -> None:
    trouble = read(tmp_path).trouble
    assert trouble is not None and trouble.condition is SourceCondition.MISSING
    assert "appliance init" in trouble.fix


def test_a_device_without_a_ledger_says_so(device: Path) -> None:
    (device / "ledger.sqlite").unlink()
    trouble = read(device).trouble
    assert trouble is not None and trouble.condition is SourceCondition.MISSING and "no ledger yet" in trouble.what


def test_an_empty_ledger_is_sound_and_empty(device: Path) -> None:
    (device / "ledger.sqlite").unlink()
    Ledger(device / "ledger.sqlite").close()
    answer = read(device)
    assert answer.trouble is not None and answer.trouble.condition is SourceCondition.EMPTY
    assert answer.overview is not None and answer.overview.session is None


def test_a_corrupt_ledger_is_never_shown(device: Path) -> None:
    (device / "ledger.sqlite").write_bytes(b"garbage!" * 4_096)
    answer = read(device)
    assert answer.overview is None and answer.trouble is not None
    assert answer.trouble.condition is SourceCondition.UNUSABLE and "backup" in answer.trouble.fix


def test_a_newer_ledger_asks_for_the_newer_release(device: Path) -> None:
    connection = apsw.Connection(str(device / "ledger.sqlite"))
    connection.execute("UPDATE meta SET value = '99' WHERE key IN ('schema_version', 'usable_since')")
    connection.close()
    trouble = read(device).trouble
    assert trouble is not None and "schema 99" in trouble.what and "newer release" in trouble.fix


def test_settings_that_are_no_yaml_are_told(device: Path) -> None:
    (device / "config.yml").write_text("venue: [")
    trouble = read(device).trouble
    assert trouble is not None and "settings cannot be read" in trouble.what


def test_a_ledger_replaced_by_another_file_is_opened_anew(device: Path) -> None:
    """A restored backup is a new file: the next reading shows it, not the one that was open."""
    source = LedgerSource(device, Clock())
    assert source.read(ScreenQuery()).trouble is None
    (device / "ledger.sqlite").rename(device / "old.sqlite")
    Ledger(device / "ledger.sqlite").close()
    answer = source.read(ScreenQuery())
    source.close()
    assert answer.trouble is not None and answer.trouble.condition is SourceCondition.EMPTY


def test_a_reading_changes_nothing(device: Path) -> None:
    """Every file that was there is the same to the byte after every screen has been read."""
    before = {path: path.read_bytes() for path in device.rglob("*") if path.is_file()}
    source = LedgerSource(device, Clock())
    for screen in BY_NAME.values():
        source.read(ScreenQuery(screen.query, None, "none"))
    source.close()
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.anyio
async def test_a_locked_ledger_never_blocks_the_screen(device: Path, settled: Settled) -> None:
    """While another process keeps the ledger, the loop that draws goes on: its turns pass while the reading still waits."""
    source = LedgerSource(device, Clock())
    app = ApplianceApp(source, TuiSettings(refresh_seconds=0.0))
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("3")
        await settled(pilot)
        source.close()  # an open reader would keep the lock from being taken
        held = await asyncio.to_thread(_lock, device / "ledger.sqlite")
        app.action_refresh_now()
        for _ in range(50):
            await asyncio.sleep(0.005)
        assert app.is_reading, "the reading must be waiting for the lock"
        assert app.query_one(Banner).banner_state.word == "ARMED"
        await asyncio.to_thread(held.close)
        await settled(pilot)
        assert app.answer is not None and app.answer.overview is not None


@pytest.mark.anyio
async def test_a_lock_that_lasts_is_told_and_what_was_read_stays_in_sight(
    device: Path, settled: Settled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.ledger.database.BUSY_TIMEOUT_MS", 300)
    now = [0.0]
    source = LedgerSource(device, Clock())
    app = ApplianceApp(source, TuiSettings(refresh_seconds=0.0), monotonic=lambda: now[0])
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        source.close()
        held = await asyncio.to_thread(_lock, device / "ledger.sqlite")
        app.action_refresh_now()
        now[0] = 12.0
        await settled(pilot)
        notice = app.query_one(Notice).banner_state.notice
        assert notice.startswith("STALE: last read 12 s ago") and "LEDGER LOCKED" in notice
        assert app.query_one("#panes").display
        held.close()


def test_an_old_reading_is_called_stale(device: Path) -> None:
    """Ten seconds without an answer: the line says for how long, whatever was well before."""
    answer = read(device)
    assert banner_state(answer, 3.0).notice == "" and banner_state(answer, 3.0).level is Level.GOOD
    old = banner_state(answer, 11.0)
    assert old.is_old and old.notice.startswith("STALE: last read 11 s ago")


DAYS_LATER = NOW + timedelta(days=5)
YEARS_AGO = datetime(2021, 11, 22, 13, 0, tzinfo=UTC)


def _venue(device: Path, broker: str, url: str = "") -> None:
    settings = yaml.safe_load((device / "config.yml").read_text())
    settings["venue"] = {"broker": broker, "url": url}
    (device / "config.yml").write_text(yaml.safe_dump(settings))


def _read_later(device: Path) -> ScreenAnswer:
    """What is answered while the machine's clock is five days past the newest session."""
    source = LedgerSource(device, StoppedClock(DAYS_LATER))
    try:
        return source.read(ScreenQuery())
    finally:
        source.close()


def test_a_served_exchange_is_asked_for_its_time(device: Path) -> None:
    """Its clock is years behind the machine's: nothing is late by it, and the daemon is judged by the machine's own.

    At a broker the machine's clock counts, and the same data are late by it.
    """
    _venue(device, "alpaca-paper")
    at_a_broker = _read_later(device)
    assert at_a_broker.now == DAYS_LATER
    assert at_a_broker.overview is not None and at_a_broker.overview.behind_sessions == 3  # 12, 13 and 16 March
    (device / "health.json").write_text(json.dumps({"at": (DAYS_LATER - timedelta(seconds=30)).isoformat()}))
    with serving(exchange("2021-11-22 08:00")) as url:
        _venue(device, "exchange", url)
        answer = _read_later(device)
    assert (answer.now, answer.read_at) == (YEARS_AGO, DAYS_LATER)
    assert answer.overview is not None and answer.overview.behind_sessions is None  # in 2021 it has no session
    assert not [text for text in answer.overview.concerns if "behind" in text or "time" in text]
    assert answer.overview.daemon is DaemonState.ALIVE
    assert banner_state(answer, 0.0).right.endswith("08:00 NY")


@pytest.mark.parametrize("why", ["no exchange", "hosted, unreadable"])
def test_where_the_venue_does_not_tell_the_time_nothing_is_called_late(device: Path, why: str) -> None:
    """The machine's clock takes its place nowhere; the concern says what is not known, and why."""
    if why == "no exchange":
        _venue(device, "exchange", "http://127.0.0.1:1")
    else:
        (device / "clock.json").write_text('{"now": "2026-03-12T20:25:00"}')  # without an offset it is no instant
    answer = _read_later(device)
    assert answer.trouble is None and answer.now is None
    shown = answer.overview
    assert shown is not None and (shown.behind_sessions, shown.next_job) == (None, None)
    reason = "does not report its time" if why == "no exchange" else "clock's file cannot be read"
    [concern] = [text for text in shown.concerns if reason in text]
    assert concern.endswith("neither the next job nor whether the data are late is known")
    assert "NY" not in banner_state(answer, 0.0).right
    assert "unknown: so is the venue's time" in next_job_panel(shown, answer).plain


@pytest.mark.parametrize(
    "answered",
    [
        b"",
        b"{}",
        b'{"now": 5}',
        b'{"now": "0001-01-01T00:00:00+14:00"}',
        b"[" * 60_000,
        b'{"now": "2021-11-22T13:00:00"}',
        b'{"now": "\xff"}',
    ],
)
def test_an_answer_that_is_no_time_is_no_time(device: Path, monkeypatch: pytest.MonkeyPatch, answered: bytes) -> None:
    monkeypatch.setattr("appliance.system.clock.get", lambda *_: ("", answered))
    _venue(device, "exchange", "http://127.0.0.1:1")
    assert _read_later(device).now is None


def test_equity_and_positions_are_of_one_agreement_which_is_named(device: Path) -> None:
    """On the morning after a close the broker says 1,000: all figures are of then, the real NAV of the close."""
    morning = date(2026, 3, 13)
    at_the_broker = Account("id", "A1", "ACTIVE", Decimal(700), Decimal(1000), Decimal(1000), Decimal(0), Decimal(2), False, True)
    held = (Position("AAA", Decimal(5), Decimal(90), Decimal(100)), Position("BBB", Decimal(-2), Decimal(90), Decimal(100)))
    with Ledger(device / "ledger.sqlite") as ledger:
        closed = nav.history(ledger, date.max, 1)[0]
        snapshots.save(ledger, morning, Phase.OPEN, at_the_broker, held, NOW + timedelta(days=1))
    shown = read(device).overview
    assert shown is not None and closed.session < morning
    account = shown.account
    assert (account.of, account.session) == ("open of 2026-03-13", morning)
    assert (account.equity, account.positions) == (Decimal(1000), 2)
    assert account.day_pnl == Decimal(1000) - closed.paper_nav
    assert (account.gross, account.net) == (0.7, 0.3)
    assert (shown.real_nav, shown.real_nav_of) == (closed.real_nav, closed.session)
    facts = {row["fact"]: row["value"] for row in shown.view().rows if row["section"] == "account"}
    assert (facts["of"], facts["equity"], facts["positions"]) == ("open of 2026-03-13", "1000", "2")
    assert facts["real NAV of"] == f"close of {closed.session}"
    with Ledger(device / "ledger.sqlite", AccessMode.READ) as ledger:
        status = vitals(ledger, StateFolder(device), NOW, DaemonFacts(False, False))
    assert (status.account_of, status.equity, status.positions) == ("open of 2026-03-13", "1000", 2)
    assert status.real_nav_of == f"close of {closed.session}"


def _lock(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("CREATE TABLE IF NOT EXISTS held (x)")
    return connection


@pytest.mark.parametrize(
    ("health", "notice"),
    [
        (None, "DAEMON DOWN: it was never seen here. Next: systemctl start appliance"),
        ('{"at": "2026-03-12T20:00:00+00:00"}', "DAEMON DOWN: silent for 25 min 00 s. Next: systemctl status appliance"),
        ('{"at": "2026-03-12T20:24:30+00:00"}', ""),
    ],
)
def test_a_daemon_that_should_run_and_does_not_is_a_full_line(device: Path, health: str | None, notice: str) -> None:
    """A device whose venue has time of its own needs a daemon; a hosted exchange, moved by commands, needs none."""
    assert banner_state(read(device), 0.0).notice == ""
    settings = (device / "config.yml").read_text()
    (device / "config.yml").write_text(settings.replace("broker: exchange", "broker: alpaca-paper"))
    if health is not None:
        (device / "health.json").write_text(health)
    assert banner_state(read(device), 0.0).notice == notice
