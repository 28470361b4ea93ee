"""The daemon as a real process beside an exchange of its own process: a session, kills, and a person's requests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from appliance.daemon.control_socket import Command, ControlRequest, ask
from appliance.schedule.timetable import JOBS, TIMETABLE
from signals.schedule.job_windows import windows
from tests.fakes import steering
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]
CANARY = "canary-5f1d2e-secret"
IDLE_MEGABYTES, LARGEST_JOB_MEGABYTES = 60, 350


@dataclass
class Rehearsal:
    """A served exchange, a device, and its daemon."""

    url: str
    bench: Workbench
    published: Published
    manager: socket.socket
    notify: Path
    credentials: Path
    log: Path
    process: subprocess.Popen[bytes] | None = None
    told: list[bytes] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "appliance", *arguments, "--state", str(self.bench.state)]

    def start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "NOTIFY_SOCKET": str(self.notify), "CREDENTIALS_DIRECTORY": str(self.credentials)}
        self.told.clear()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("run", "--look-every", "0.1", "--retry-after", "0.5"), stdout=log, stderr=log, env=environment
            )
        self.wait(lambda: b"READY=1" in self.told, "READY")
        return self.process

    def hear(self) -> None:
        """Take what the daemon has told the service manager, as one does that is never busy."""
        while True:
            try:
                self.told.append(self.manager.recv(4_096))
            except BlockingIOError:
                return

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
        until = time.monotonic() + seconds
        while self.hear() or not condition():
            assert time.monotonic() < until, f"{what} never came\n{self.log.read_text()[-3_000:]}"
            time.sleep(0.03)

    def advance(self, to: datetime) -> None:
        steering.advance(self.url, to)

    def ends(self, day: date) -> dict[str, str]:
        rows = self.bench.rows("SELECT job, status FROM job_runs WHERE session = ?", str(day))
        return {job: status for job, status in rows if status != "running"}

    def live(self, day: date, *jobs: str) -> None:
        """Move the clock from job to job and wait for each."""
        for row in windows(day, self.published.manifest.calendar, TIMETABLE):
            if row.job in jobs:
                self.advance(row.at)
                self.wait(lambda row=row: row.job in self.ends(day), f"{row.job} of {day}")  # type: ignore[misc]

    def children(self) -> list[int]:
        """Processes that the daemon started and that live."""
        assert self.process is not None
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
            except OSError:
                continue
            if int(parent) == self.process.pid and state != "Z":
                found.append(int(path.parent.name))
        return found

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.bench.state / "health.json").read_text())
        return found

    def stop(self, how: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        process = self.process
        self.wait(lambda: process.poll() is not None, "the end")
        self.hear()
        self.process = None
        return int(process.returncode)


def killed(processes: list[int]) -> None:
    """Kill those that have not ended meanwhile."""
    for pid in processes:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def rehearsal(make: Make, published: Published, tmp_path: Path) -> Iterator[Rehearsal]:
    with rehearsed(make, published, tmp_path) as found:
        yield found


@contextmanager
def rehearsed(make: Make, published: Published, tmp_path: Path, *options: str) -> Iterator[Rehearsal]:
    """A served exchange on the evening before the first session, an armed device, and what its daemon needs."""
    day = published.sessions(1)[0]
    start = windows(day, published.manifest.calendar, TIMETABLE)[0].at - timedelta(minutes=5)
    command = [sys.executable, "-m", "execution.exchange", "serve", "--data", str(published.root / "data"), *options]
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "heartbeat-url").write_text(f"http://127.0.0.1:9/{CANARY}\n")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
        subprocess.Popen(
            [*command, "--port", "0", "--at", start.isoformat()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server,
    ):
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        assert server.stdout is not None
        url = steering.told(server.stdout.readline())
        bench = make(published, "device", "--url", url)
        assert bench("arm", "--yes").code == 0
        found = Rehearsal(url, bench, published, manager, tmp_path / "notify", credentials, tmp_path / "log")
        try:
            yield found
        finally:
            if found.process is not None:
                killed(found.children())
                found.stop(signal.SIGKILL)
            server.terminate()


def test_a_session_runs_by_itself_through_a_killed_job_a_killed_daemon_and_a_second_one(rehearsal: Rehearsal) -> None:
    """B3, D2, D9, D10, D15, F52, F53, F57: one terminal row per job, whatever is killed, and nothing is sent twice."""
    day, bench = rehearsal.published.sessions(1)[0], rehearsal.bench
    first = rehearsal.start()
    second = subprocess.run(rehearsal.command("run"), capture_output=True, text=True, check=False, timeout=120)
    assert second.returncode != 0 and "a daemon already runs for this state folder" in second.stderr
    rehearsal.live(day, "pull", "score", "reconcile_morning")
    rehearsal.wait(lambda: rehearsal.children() != [] or "plan" in rehearsal.ends(day), "plan's process")
    killed(rehearsal.children())  # the same hour as reconcile_morning: it has been started by itself
    rehearsal.wait(lambda: "plan" in rehearsal.ends(day), "plan")
    calendar = rehearsal.published.manifest.calendar
    rehearsal.advance(next(row.at for row in windows(day, calendar, TIMETABLE) if row.job == "trade"))
    rehearsal.wait(lambda: bool(bench.rows("SELECT 1 FROM intent_events WHERE to_state = 'sending'")), "an order")
    children = rehearsal.children()
    assert rehearsal.stop(signal.SIGKILL) == -signal.SIGKILL
    killed(children)  # systemd ends what is left in the unit
    rehearsal.start()
    by_hand = subprocess.Popen(
        rehearsal.command("job", "trade", "--session", str(day)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    rehearsal.live(day, *JOBS[JOBS.index("trade") :])
    assert by_hand.wait(timeout=120) in (0, 5)
    assert rehearsal.ends(day) == dict.fromkeys(JOBS, "done")
    assert bench.rows("SELECT count(*), count(DISTINCT job) FROM job_runs WHERE session = ?", str(day)) == [(len(JOBS), len(JOBS))]
    orders = requests.get(
        f"{rehearsal.url}/v2/orders",
        params={"status": "all", "limit": "500"},
        timeout=30,
        headers={"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"},
    ).json()
    ids = [order["client_order_id"] for order in orders]
    assert len(ids) == len(set(ids)) == bench.rows("SELECT count(*) FROM intents")[0][0] > 0
    rehearsal.wait(lambda: all(rehearsal.health()["jobs"].get(job) == "done" for job in JOBS), "health.json")
    the_same_facts_everywhere(rehearsal)
    assert rehearsal.health()["process"]["resident_bytes"] < IDLE_MEGABYTES * 2**20
    assert ("the daemon began again: its process was restarted",) in bench.rows("SELECT title FROM alerts")
    assert first.pid != rehearsal.health()["process"]["pid"]
    assert rehearsal.stop() == 0
    assert b"STOPPING=1" in rehearsal.told
    assert bench("status").code == 3
    for path in (
        rehearsal.log,
        bench.state / "health.json",
        bench.state / "metrics.prom",
        bench.state / "alerts.jsonl",
        bench.state / "ledger.sqlite",
        bench.state / "briefing.json",
    ):
        assert CANARY.encode() not in path.read_bytes(), path
    lines = [json.loads(line) for line in rehearsal.log.read_text().splitlines()]
    assert {"begins", "ready", "job starts", "job ended", "ended"} <= {line["event"] for line in lines}
    assert 0 < max(line["mb"] for line in lines if line["event"] == "job ended") <= LARGEST_JOB_MEGABYTES


def the_same_facts_everywhere(rehearsal: Rehearsal) -> None:
    """D10: `status`, `health.json` and the metrics are three pictures of one look."""
    status = rehearsal.bench("status", "--json")
    said, wrote = status.json, rehearsal.health()
    assert status.code == {"ok": 0, "degraded": 1}[said["verdict"]]
    moving = {"free_disk", "report", "state", "reductions"}
    assert {k: v for k, v in said.items() if k not in moving} == {k: wrote[k] for k in said if k not in moving}
    text = (rehearsal.bench.state / "metrics.prom").read_text()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    names = {name.split("{")[0] for name in values}
    assert len(names) >= 15 and all(name.startswith("trademl_appliance_") for name in names)
    assert float(values["trademl_appliance_verdict"]) == status.code
    assert float(values["trademl_appliance_equity_usd"]) == float(said["equity"])
    assert float(values["trademl_appliance_positions"]) == said["positions"]
    assert float(values["trademl_appliance_free_disk_ratio"]) == wrote["free_disk"]
    done = {key: at for key, at in values.items() if "job_last_done_seconds" in key}
    assert len(done) == len(JOBS)
    for job, at in said["last_done"].items():
        expected = datetime.fromisoformat(at).timestamp()
        assert float(done[f'trademl_appliance_job_last_done_seconds{{job="{job}"}}']) == pytest.approx(expected)


@pytest.mark.slow
def test_a_person_halts_acknowledges_and_rearms_over_the_socket_a_file_or_a_signal(rehearsal: Rehearsal) -> None:
    """C9, D12: each request leaves its audit row; the latch opens for the named halt alone; an idle daemon listens."""
    bench, path = rehearsal.bench, rehearsal.bench.state / "control.sock"
    process = rehearsal.start()

    def halt_id() -> str:
        return str(json.loads((bench.state / "latch.json").read_text())["halt_id"])

    looked = json.loads(ask(path, ControlRequest(Command.STATUS, ""), seconds=90).text)
    assert looked["latch"].startswith("ARMED") and looked["waits_for"] == []
    answer = ask(path, ControlRequest(Command.HALT, "spreads look wrong", by="ana"), seconds=90)
    assert answer.ok and "HALTED by MANUAL" in answer.text
    assert bench("status", "--json").code == 2
    assert not ask(path, ControlRequest(Command.REARM, "over", "00000000", "ana"), seconds=90).ok
    assert ask(path, ControlRequest(Command.ACKNOWLEDGE, "I am on it", by="ana"), seconds=90).ok
    row = bench.rows("SELECT details FROM halts")
    assert len(row) == 1 and json.loads(row[0][0])["acknowledged_by"].startswith("ana (uid ")
    rearmed = ask(path, ControlRequest(Command.REARM, "found it", halt_id(), "ana"), seconds=90)
    assert rearmed.ok, rearmed.text
    assert bench.rows("SELECT rearmed_by, reason FROM halts")[0][0].startswith("ana (uid ")
    assert ask(path, ControlRequest(Command.CANCEL_ALL, "to be sure"), seconds=90).ok
    titles = [title for (title,) in bench.rows("SELECT title FROM alerts WHERE key LIKE 'control-%' ORDER BY id")]
    assert titles == [f"{asked} was asked for" for asked in ("halt", "rearm", "acknowledge", "rearm", "cancel-all")]

    for kind in ("file", "signal"):
        if kind == "file":
            (bench.state / "HALT").write_text("from a shell")
        else:
            process.send_signal(signal.SIGUSR1)
        rehearsal.wait(lambda: bool(halt_id()), "the halt")
        rehearsal.wait(lambda: len(bench.rows("SELECT 1 FROM halts WHERE id = ?", halt_id())) == 1, "its row")
        rehearsal.wait(lambda: not (bench.state / "HALT").exists(), "the end of the file HALT")
        assert ask(path, ControlRequest(Command.REARM, "seen", halt_id(), "ana"), seconds=90).ok
    names = [title for (title,) in bench.rows("SELECT title FROM alerts WHERE severity = 'page'")]
    assert names.count("HALTED by MANUAL") == 3
    assert rehearsal.stop() == 0 and not path.exists()


@pytest.mark.slow
def test_switched_off_in_the_middle_and_on_again_days_later_it_trades_nothing_of_the_past(rehearsal: Rehearsal) -> None:
    """D3, F54: what was missed has its row and its words; the session ahead is prepared as ever."""
    days, bench = rehearsal.published.sessions(4), rehearsal.bench
    rehearsal.start()
    rehearsal.live(days[0], *JOBS[: JOBS.index("plan") + 1])
    assert rehearsal.stop() == 0
    rehearsal.advance(rehearsal.published.manifest.calendar.session(days[2]).close + timedelta(hours=9))
    rehearsal.start()
    rehearsal.wait(lambda: set(rehearsal.ends(days[2])) == set(JOBS), "the rows of what was missed")
    rehearsal.wait(lambda: "score" in rehearsal.ends(days[3]), "the next session")
    assert rehearsal.ends(days[0])["plan"] == "done"
    for day in days[:3]:
        missed = {job for job, status in rehearsal.ends(day).items() if status == "failed"}
        assert missed == set(JOBS[JOBS.index("trade") :] if day == days[0] else JOBS)
    assert bench.rows("SELECT count(*) FROM intents WHERE posts > 0") == [(0,)]
    assert len(bench.rows("SELECT 1 FROM alerts WHERE title LIKE '% jobs of % were missed'")) == 3
