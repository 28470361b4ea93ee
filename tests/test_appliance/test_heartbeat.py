"""The watcher outside hears of success only when the day's invariants hold, and can never reach into trading (D11)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from appliance.alerts import heartbeat as deadman
from appliance.alerts.heartbeat import HttpHeartbeat, NoHeartbeat, configured_heartbeat
from appliance.context import Deps
from appliance.jobs.heartbeat import broken, heartbeat
from appliance.ledger import Ledger, alerts, job_runs, reports
from appliance.schedule.job import JobReport, JobStatus
from appliance.schedule.timetable import JOBS
from appliance.system.clock import VirtualClock
from appliance.system.ports import Alert, HeartbeatSignal, Severity
from signals.alerts.next_steps import next_step
from signals.errors import BadConfig
from tests.fakes.broker import FakeBroker, Inbox, MemoryFs, deps_of, weekdays

CALENDAR = weekdays(date(2024, 3, 4), 15)
D = date(2024, 3, 12)


class Watcher:
    """Keeps what it hears."""

    is_set = True

    def __init__(self, takes: bool = True) -> None:
        self.heard: list[tuple[HeartbeatSignal, str]] = []
        self._takes = takes

    def beat(self, beat: HeartbeatSignal, body: str = "") -> bool:
        self.heard.append((beat, body))
        return self._takes


@pytest.fixture
def deps(tmp_path: Path) -> Iterator[Deps]:
    clock, fs = VirtualClock(CALENDAR.session(D).at(time(16, 40))), MemoryFs()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        found = deps_of(tmp_path, FakeBroker(clock, CALENDAR, {}), clock, CALENDAR, fs, ledger, Inbox())
        found.latch.arm(by="me", at=clock.now())
        yield found


def a_good_day(deps: Deps, but: dict[str, JobStatus | None] | None = None) -> None:
    at = deps.clock.now()
    for job in JOBS[: JOBS.index("heartbeat")]:
        status = (but or {}).get(job, JobStatus.DONE)
        if job in (but or {}) and status is None:
            continue
        job_runs.begin(deps.ledger, D, job, at)
        assert status is not None
        job_runs.finish(deps.ledger, JobReport(job, D, status, "words with figures 123"), at)
    reports.save(deps.ledger, reports.ReportRow(D, "reports/report.md", "0" * 64, at))


def test_a_good_day_is_a_success(deps: Deps) -> None:
    a_good_day(deps)
    found = Watcher()
    report = heartbeat(D, replace(deps, heartbeat=found))
    assert found.heard == [(HeartbeatSignal.SUCCESS, f"{D} went as it should")]
    assert (report.status, report.figures["broken"]) == (JobStatus.DONE, [])


@pytest.mark.parametrize(
    ("but", "told"),
    [
        ({"trade": JobStatus.FAILED}, "trade failed"),
        ({"plan": JobStatus.SKIPPED}, "plan skipped"),
        ({"reconcile_close": JobStatus.HALTED}, "reconcile_close halted"),
        ({"report": None}, "report has not ended"),
    ],
)
def test_a_job_that_did_not_end_well_is_a_failure_in_words_without_figures(deps: Deps, but: dict[str, JobStatus | None], told: str) -> None:
    a_good_day(deps, but)
    found = Watcher()
    heartbeat(D, replace(deps, heartbeat=found))
    assert found.heard == [(HeartbeatSignal.FAIL, told)]


def test_a_halt_a_missing_report_and_an_unheard_alert_are_failures(deps: Deps) -> None:
    a_good_day(deps)
    deps.latch.halt("MANUAL", "spreads look wrong: 123", deps.clock.now())
    alerts.add(deps.ledger, Alert(Severity.PAGE, "k", "t", "b", deps.clock.now()), delivered=False)
    assert broken(D, deps) == ("halted by MANUAL", "an alert reached nobody")
    assert "there is no report" in broken(date(2024, 3, 13), deps)


def test_a_watcher_that_does_not_answer_and_none_at_all_end_the_job_well(deps: Deps) -> None:
    a_good_day(deps)
    assert heartbeat(D, deps).status is JobStatus.DONE  # nobody watches
    assert isinstance(inbox := deps.notifier, Inbox)
    assert inbox.alerts == []
    report = heartbeat(D, replace(deps, heartbeat=Watcher(takes=False)))
    assert report.status is JobStatus.DONE and report.summary.startswith("the watcher did not answer")
    assert [(a.severity, a.title) for a in inbox.alerts] == [(Severity.WARN, "the watcher outside did not answer")]
    assert "heartbeat-url" in next_step(inbox.alerts[0].key)


class Check(BaseHTTPRequestHandler):
    heard: ClassVar[list[tuple[str, str]]] = []
    status = 200
    wait = threading.Event()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        Check.heard.append((self.path, body))
        Check.wait.wait(20)
        self.send_response(Check.status)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        return


@pytest.fixture
def address() -> Iterator[str]:
    Check.heard, Check.status = [], 200
    Check.wait.set()
    with HTTPServer(("127.0.0.1", 0), Check) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/ping/secret-uuid"
        Check.wait.set()
        server.shutdown()


def test_start_success_and_failure_have_addresses_of_their_own(address: str) -> None:
    found = HttpHeartbeat(address + "/")
    assert [found.beat(beat, "words") for beat in (HeartbeatSignal.START, HeartbeatSignal.SUCCESS, HeartbeatSignal.FAIL)] == [True] * 3
    assert [path for path, _ in Check.heard] == [f"/ping/secret-uuid{end}" for end in ("/start", "", "/fail")]
    Check.status = 404
    assert found.beat(HeartbeatSignal.SUCCESS) is False


def test_a_failure_is_no_success_at_an_address_with_a_query(address: str) -> None:
    for beat in (HeartbeatSignal.START, HeartbeatSignal.SUCCESS, HeartbeatSignal.FAIL):
        assert HttpHeartbeat(f"{address}?create=1").beat(beat)
    assert [path for path, _ in Check.heard] == [f"/ping/secret-uuid{end}?create=1" for end in ("/start", "", "/fail")]


def test_a_watcher_that_is_gone_or_hangs_is_a_result_within_its_time(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert HttpHeartbeat("http://127.0.0.1:1/x").beat(HeartbeatSignal.START) is False
    assert HttpHeartbeat("http://[bad/x").beat(HeartbeatSignal.START) is False
    monkeypatch.setattr(deadman, "TOTAL_SECONDS", 0.2)
    Check.wait.clear()
    assert HttpHeartbeat(address).beat(HeartbeatSignal.START) is False


def test_the_address_is_a_credential_and_never_repeated(tmp_path: Path) -> None:
    assert isinstance(configured_heartbeat(None), NoHeartbeat) and isinstance(configured_heartbeat(tmp_path), NoHeartbeat)
    (tmp_path / "heartbeat-url").write_text("https://hc.example/secret-uuid\n")
    assert configured_heartbeat(tmp_path).is_set
    for wrong in ("secret-uuid", "https://a/secret-uuid https://b/secret-uuid"):
        (tmp_path / "heartbeat-url").write_text(wrong)
        with pytest.raises(BadConfig) as told:
            configured_heartbeat(tmp_path)
        assert "secret-uuid" not in str(told.value)


def test_all_well_is_said_once_a_day_where_it_is_wanted_and_only_when_it_is(deps: Deps) -> None:
    """Equity, orders and the next action stand in the title, which is what leaves; without the setting nothing does."""
    a_good_day(deps)
    inbox = deps.notifier
    assert isinstance(inbox, Inbox)
    heartbeat(D, deps)
    assert inbox.alerts == []
    wanted = replace(deps, config=deps.config.model_copy(update={"daily_message": True}))
    heartbeat(D, wanted)
    said = [alert.title for alert in inbox.alerts]
    assert said == ["all well on 2024-03-12: 0 of 0 orders filled; next: pull at Tue 18:30 New York"]
    wanted.latch.halt("MANUAL", "stop", deps.clock.now())
    heartbeat(D, wanted)
    assert [alert.title for alert in inbox.alerts] == said, "a halted device is not well"
