"""The facts of a device and their other pictures: what is down, what is degraded, what a collector reads (D10)."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from appliance.bundles.slots import UNSIZED
from appliance.controls.latch import Latch
from appliance.ledger import AccessMode, Ledger, alerts, job_runs
from appliance.schedule.job import JobReport, JobStatus
from appliance.status.vitals import (
    NOT_TRADED,
    DaemonFacts,
    DaemonNotes,
    HealthFacts,
    HealthStatus,
    ProcessFacts,
    daemon_facts,
    metrics,
    vitals,
)
from appliance.system.ports import Alert, Severity
from appliance.system.state_folder import DurableFs, StateFolder, only_daemon
from signals.errors import Locked
from signals.text.documents import from_json, to_json

D = date(2024, 3, 12)
NOW = datetime(2024, 3, 12, 21, 0, tzinfo=UTC)
SILENT = ("the daemon has been silent for more than two minutes",)
ABSENT = ("no daemon runs: nothing is done at its hour; run `appliance run`, or `systemctl start appliance` where it is installed",)
NONE = DaemonFacts(runs=False, is_expected=False)
LIVE = DaemonFacts(runs=True, is_expected=True, at=NOW)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    """An armed device with a bundle and one good job."""
    found = StateFolder(tmp_path)
    with Ledger(found.ledger, AccessMode.WRITE) as ledger:
        job_runs.begin(ledger, D, "pull", NOW)
        job_runs.finish(ledger, JobReport("pull", D, JobStatus.DONE, "well"), NOW)
    found.bundles.mkdir()
    (found.bundles / "equities_xs").mkdir()
    (found.bundles / "equities_xs" / "current.json").write_text(json.dumps({"seq": 7, "bundle_id": "abc"}))
    Latch(tmp_path, DurableFs()).arm(by="me", at=NOW)
    return found


def test_only_a_bundle_of_a_traded_sleeve_is_in_force(folder: StateFolder) -> None:
    """What scales the book, is only shown or is a shadow's does not make a device ready."""
    assert {*UNSIZED, "shadow"} == NOT_TRADED
    for sleeve in NOT_TRADED:
        (folder.bundles / sleeve).mkdir()
        (folder.bundles / sleeve / "current.json").write_text(json.dumps({"seq": 9, "bundle_id": sleeve}))
    assert look(folder).bundle == "7-abc"
    (folder.bundles / "equities_xs" / "current.json").unlink()
    assert look(folder).bundle is None


def look(folder: StateFolder, daemon: DaemonFacts = LIVE) -> HealthFacts:
    with Ledger(folder.ledger, AccessMode.READ) as ledger:
        return vitals(ledger, folder, NOW, daemon)


@pytest.mark.parametrize(
    ("daemon", "verdict", "told"),
    [
        (NONE, HealthStatus.OK, ()),
        (LIVE, HealthStatus.OK, ()),
        (DaemonFacts(True, True, NOW - timedelta(seconds=150)), HealthStatus.OK, ()),
        (DaemonFacts(True, True, NOW - timedelta(seconds=151)), HealthStatus.DOWN, SILENT),
        (DaemonFacts(True, True, None), HealthStatus.DOWN, SILENT),
        (DaemonFacts(False, True, NOW), HealthStatus.DOWN, ABSENT),
        (DaemonFacts(True, True, NOW, DaemonNotes(waits_for=("the clock",))), HealthStatus.DEGRADED, ("the clock",)),
        (DaemonFacts(True, True, NOW, DaemonNotes(tries_again=("plan",))), HealthStatus.DEGRADED, ("plan",)),
    ],
)
def test_a_daemon_that_should_run_and_does_not_is_down(
    folder: StateFolder, daemon: DaemonFacts, verdict: HealthStatus, told: tuple[str, ...]
) -> None:
    found = look(folder, daemon)
    assert (found.health.verdict, found.health.reasons) == (verdict, told)


def test_the_worst_of_device_and_daemon_counts(folder: StateFolder) -> None:
    Latch(folder.root, DurableFs()).halt("MANUAL", "stop", NOW)
    assert look(folder).health.verdict is HealthStatus.HALTED
    assert look(folder, DaemonFacts(False, True, NOW)).health.verdict is HealthStatus.DOWN
    assert "HALTED by MANUAL" in look(folder).health.reasons[-1]


def test_a_daemon_is_known_by_the_lock_it_holds_and_by_what_it_wrote(folder: StateFolder) -> None:
    assert daemon_facts(folder) == NONE
    folder.health.write_text(json.dumps({"at": NOW.isoformat(), "waits_for": ["x"]}))
    with only_daemon(folder):
        found = daemon_facts(folder)
        assert (found.runs, found.at, found.notes.waits_for) == (True, NOW, ("x",))
        with pytest.raises(Locked, match="a daemon already runs"), only_daemon(folder):
            pass
    assert daemon_facts(folder).runs is False
    for torn in ("torn", "[]", json.dumps({"at": "never"})):
        folder.health.write_text(torn)
        assert daemon_facts(folder).at is None


def test_every_figure_a_collector_reads_is_one_of_the_facts(folder: StateFolder) -> None:
    with Ledger(folder.ledger, AccessMode.WRITE) as ledger:
        alerts.add(ledger, Alert(Severity.WARN, "k", "t", "b", NOW), delivered=False)
    facts = replace(look(folder), process=ProcessFacts(resident_bytes=4_000_000, started_at=1.5))
    stored = from_json(HealthFacts, json.loads(json.dumps(to_json(facts))))
    assert stored == facts
    text = metrics(facts, NOW)
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    prefix = "trademl_appliance_"
    assert {
        name: float(values[prefix + name])
        for name in (
            "verdict",
            "armed",
            "halted",
            "alerts_undelivered",
            "bundle_in_force",
            "ready",
            "daemon_resident_bytes",
            "health_written_seconds",
            'job_ended_well{job="pull"}',
            'job_last_done_seconds{job="pull"}',
        )
    } == {
        "verdict": 1,
        "armed": 1,
        "halted": 0,
        "alerts_undelivered": 1,
        "bundle_in_force": 1,
        "ready": 1,
        "daemon_resident_bytes": 4_000_000,
        "health_written_seconds": NOW.timestamp(),
        'job_ended_well{job="pull"}': 1,
        'job_last_done_seconds{job="pull"}': NOW.timestamp(),
    }
    assert prefix + "equity_usd" not in values  # what is not known is not zero
    assert re.fullmatch(r"((# (HELP|TYPE) .*|[a-z_]+(\{job=\"\w+\"\})? [-0-9.e+]+)\n)+", text)
    helped = re.findall(r"# TYPE (\S+) gauge", text)
    assert len(helped) == len(set(helped)) >= 15
