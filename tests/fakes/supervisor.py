"""A device's supervisor with time in the test's hands: its jobs are lines of Python, its ledger is the real one."""

from __future__ import annotations

import os
import sys
import time as real_time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path

import structlog

from appliance.controls.latch import Latch, LatchRecord
from appliance.daemon.attempts import Pace
from appliance.daemon.briefing import Briefing
from appliance.daemon.clock_guard import ClockCheck
from appliance.daemon.supervisor import DaemonParts, Supervisor
from appliance.ledger import AccessMode, Ledger, alerts, job_runs
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.state_folder import DurableFs, StateFolder
from signals.market.sessions import xnys
from signals.schedule.wake_ups import WakeUps
from tests.fakes.alarm import SteppedScheduler

CALENDAR = xnys(date(2026, 2, 2), date(2026, 4, 30))
D = date(2026, 3, 4)
MORNING = CALENDAR.session(D).at(time(8))
SYNCHRONISED = ""


class Hands(Supervisor):
    """A daemon whose jobs are the test's: each command runs a line of Python."""

    programs: dict[str, str]

    def command(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """Return the program of the named command; an attendance finds nothing to do."""
        name = arguments[1] if arguments[0] == "job" else arguments[0]
        return (sys.executable, "-c", self.programs.get(name, "pass"))


@dataclass
class SupervisorBench:
    """A state folder, a clock that is moved by hand, and a daemon."""

    root: Path
    sync: str = SYNCHRONISED
    skew: float = 0.0
    at: datetime = MORNING
    mono: float = 0.0
    exchange: str = ""
    programs: dict[str, str] = field(default_factory=dict)
    started: list[Supervisor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = StateFolder(self.root)
        Ledger(self.folder.ledger, AccessMode.WRITE).close()
        brief = Briefing(self.exchange, "http://broker", 5.0, CALENDAR)
        DurableFs().write(self.folder.briefing, brief.to_bytes())
        self.latch = Latch(self.root, DurableFs())
        self.latch.arm(by="me", at=self.at)
        self.daemon = self.start()

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.mono

    def sleep(self, seconds: float) -> None:
        self.mono += seconds

    def start(self) -> Hands:
        self.scheduler = SteppedScheduler()
        self.wake_ups = wake_ups = WakeUps(Pace().look, self.scheduler)
        found = Hands(
            self.folder,
            self.root / "run",
            DaemonParts(
                environment=dict(os.environ),
                credentials=None,
                real=self,
                clock_check=ClockCheck(self, lambda: self.sync, lambda url, now: self.skew),
                wake_ups=wake_ups,
                pace=Pace(),
                log=structlog.get_logger("appliance.daemon"),
            ),
        )
        found.programs = self.programs
        wake_ups.start(found.look)
        self.started.append(found)
        return found

    def look(self, until: Callable[[], bool] = lambda: False, most: int = 60) -> None:
        """Look, five seconds of the daemon's time apart, until the condition holds or nothing was at work so many times."""
        patience_s = real_time.monotonic() + 120.0
        while most and real_time.monotonic() < patience_s:
            self.daemon.look()
            if until():
                return
            real_time.sleep(0.005)
            if not self.daemon.working_on:
                self.mono += 5.0
                most -= 1
        assert until() or until.__name__ == "<lambda>"

    def ready(self) -> None:
        self.look(lambda: self.daemon.is_ready)
        assert self.daemon.is_ready

    def row(self, job: str, session: date = D) -> job_runs.JobRun | None:
        with Ledger(self.folder.ledger, AccessMode.READ) as ledger:
            return job_runs.find(ledger, session, job)

    def ends(self, *jobs: str, session: date = D) -> None:
        """Write down that these jobs have ended well."""
        with Ledger(self.folder.ledger, AccessMode.WRITE) as ledger:
            for job in jobs:
                job_runs.begin(ledger, session, job, self.at)
                job_runs.finish(ledger, JobReport(job, session, JobStatus.DONE, "well"), self.at)

    def told(self) -> list[tuple[str, str, str]]:
        with Ledger(self.folder.ledger, AccessMode.READ) as ledger:
            return [(r.alert.severity.value, r.alert.title, r.alert.body) for r in alerts.newest(ledger, 50)][::-1]

    @property
    def standing(self) -> LatchRecord:
        return self.latch.read()
