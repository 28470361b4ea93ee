"""The doors to the world: clocks, files, network, channels; and how health is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from appliance.controls.latch import FRESH, LatchRecord, LatchState
from appliance.ledger.job_runs import JobRun
from appliance.runtime.venue import Counterparty, broker_asked_once
from appliance.schedule.job import EXIT_CODES, JobStatus
from appliance.status.vitals import HealthStatus, assess
from appliance.system.clock import SystemClock, VirtualClock
from appliance.system.ports import Alert, Severity
from appliance.system.state_folder import DurableFs, StateFolder, exclusive
from execution.brokers import transport
from execution.brokers.base import Broker
from signals.alerts.alert import Channels, FileNotifier, LogNotifier
from signals.code_version import code_version, digest_of, release
from signals.errors import BrokerUnreachable, InvariantBroken, Locked
from tests.fakes.wire import Say, wire

AT = datetime(2024, 3, 12, 13, tzinfo=UTC)
D = date(2024, 3, 12)
ROOT = Path(__file__).resolve().parents[2]


def test_a_virtual_clock_moves_only_forward_and_tells_who_listens() -> None:
    heard: list[datetime] = []
    clock = VirtualClock(AT, heard.append)
    clock.sleep(90)
    clock.advance(AT + timedelta(hours=1))
    assert (clock.now(), clock.monotonic()) == (AT + timedelta(hours=1), 3600.0)
    assert heard == [AT + timedelta(seconds=90), AT + timedelta(hours=1)]
    with pytest.raises(InvariantBroken, match="never goes back"):
        clock.advance(AT)


def test_the_system_clock_is_aware_and_its_counter_never_jumps() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    before = clock.monotonic()
    clock.sleep(0.001)
    assert clock.monotonic() > before


def test_files_are_whole_private_and_gone_when_removed(tmp_path: Path) -> None:
    fs, path = DurableFs(), tmp_path / "folder" / "file"
    assert fs.read(path) is None
    fs.write(path, b"one")
    fs.write(path, b"two")
    assert fs.read(path) == b"two" and path.stat().st_mode & 0o777 == 0o600
    fs.remove(path)
    fs.remove(path)
    assert fs.read(path) is None and list(path.parent.iterdir()) == []


def test_a_second_writer_is_locked_out_at_once(tmp_path: Path) -> None:
    """B3."""
    folder = StateFolder(tmp_path / "state")
    program = (
        "import sys; from pathlib import Path; from appliance.system.state_folder import *; from signals.errors import Locked\n"
        "try:\n    exclusive(StateFolder(Path(sys.argv[1]))).__enter__()\nexcept Locked:\n    sys.exit(5)\n"
    )
    command = [sys.executable, "-c", program, str(folder.root)]
    with exclusive(folder):
        assert subprocess.run(command, cwd=ROOT, timeout=120, check=False).returncode == Locked("").exit_code
        with pytest.raises(Locked, match="never a reason to delete"), exclusive(folder):
            pass
    assert subprocess.run(command, cwd=ROOT, timeout=120, check=False).returncode == 0


@pytest.mark.parametrize("client", [Counterparty.broker, lambda venue: broker_asked_once(venue.url, "k", "s", venue.clock)])
def test_an_answer_that_drips_has_one_deadline_for_a_device_over_the_network(
    client: Callable[[Counterparty], Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes long before the read time-out: the client's own transport, and no other, counts them together."""
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.1)
    with wire(Say(200, b" " * 500, drip=0.02)) as served:
        venue = Counterparty(VirtualClock(AT), served.url, "k", "s")
        with pytest.raises(BrokerUnreachable, match="in time"):
            client(venue).account()
        assert served.count("GET") >= 1


def alert() -> Alert:
    return Alert(Severity.PAGE, "key", "title", "body", AT)


def test_alerts_are_kept_line_by_line_and_a_full_disk_is_a_result(tmp_path: Path) -> None:
    """F59."""
    kept = FileNotifier(tmp_path / "alerts.jsonl")
    assert kept.notify(alert()) and kept.notify(alert())
    lines = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert len(lines) == 2 and json.loads(lines[0])["severity"] == "page"
    (tmp_path / "folder").mkdir()
    assert FileNotifier(tmp_path / "folder").notify(alert()) is False


def test_an_alert_counts_as_delivered_when_one_channel_took_it_and_all_are_tried(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "folder").mkdir()
    broken, good = FileNotifier(tmp_path / "folder"), FileNotifier(tmp_path / "good.jsonl")
    assert Channels([broken, LogNotifier("tests"), good]).notify(alert())
    assert "title: body" in caplog.text and (tmp_path / "good.jsonl").exists()
    assert Channels([broken]).notify(alert()) is False


def test_each_end_of_a_job_is_an_exit_code_of_its_own() -> None:
    assert {status: EXIT_CODES[status] for status in JobStatus} == {
        JobStatus.DONE: 0,
        JobStatus.FAILED: 1,
        JobStatus.SKIPPED: 3,
        JobStatus.HALTED: 4,
    }


def test_the_code_version_follows_the_sources() -> None:
    assert code_version("appliance") == code_version("appliance") != code_version("trainer")
    assert code_version("appliance").startswith(f"{release()}+")


def test_one_changed_byte_changes_the_code_version_and_a_note_beside_it_does_not(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.py").write_text("x = 1")
    before = digest_of(("p",), tmp_path)
    (tmp_path / "p" / "note.txt").write_text("remember")
    assert digest_of(("p",), tmp_path) == before
    (tmp_path / "p" / "a.py").write_text("x = 2")
    assert digest_of(("p",), tmp_path) != before


def test_health_is_halted_before_degraded_before_ok() -> None:
    armed = LatchRecord(LatchState.ARMED, at=AT.isoformat(), by="me")
    good = JobRun(D, "plan", JobStatus.DONE, 1, AT, AT, "10 orders")
    bad = JobRun(D, "plan", JobStatus.SKIPPED, 1, AT, AT, "RED data")
    running = JobRun(D, "plan", None, 1, AT, None, "")
    assert assess(armed, [good], 0, True).verdict is HealthStatus.OK
    assert assess(FRESH, [good], 0, True).verdict is HealthStatus.HALTED
    for runs, undelivered, bundle, word in (
        ([bad], 0, True, "ended as skipped: RED data"),
        ([running], 0, True, "has not ended"),
        ([good], 2, True, "2 alerts reached nobody"),
        ([good], 0, False, "no bundle is in force"),
    ):
        health = assess(armed, runs, undelivered, bundle)
        assert health.verdict is HealthStatus.DEGRADED and word in health.reasons[0]
    assert [int(verdict) for verdict in HealthStatus] == [0, 1, 2, 3]
