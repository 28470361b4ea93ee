"""The daemon's look and the process at work: poll it, else start the one thing that is needed next.

Entry point: `Supervisor.look`, called every few seconds and at the hour of each job ahead (`WakeUps`); it never waits
for a job.

In this order: how the process at work does; what happened to time; whether the device may be READY; halts and messages
that need an attendance; jobs that were missed, recorded; one job that is due, started.

Invariants
----------
1. One process works at a time, and each job is a process of its own: the daemon loads none of their libraries.
2. A job starts only because `due` names it, however the look came about.
3. No error in a look ends the daemon: it is reported, and the next look starts again.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from threading import Thread

import structlog

from appliance.alerts.heartbeat import configured_heartbeat
from appliance.controls import halt_file
from appliance.controls.latch import Latch
from appliance.daemon import briefing
from appliance.daemon.attempts import Attempts, Pace, job_key
from appliance.daemon.attendances import Attendances
from appliance.daemon.briefing import Briefing
from appliance.daemon.clock_guard import ClockCheck, ClockGuard
from appliance.daemon.job_outcomes import JobOutcomes
from appliance.daemon.ledger_view import LedgerView
from appliance.daemon.log import REPEAT_SECONDS, Announcer
from appliance.daemon.process_slot import ProcessSlot, RunningProcess
from appliance.daemon.publisher import Publisher, SupervisorState
from appliance.daemon.systemd import Liveness
from appliance.schedule.timetable import ABSENT, TIMETABLE, TRADE, absence, table_of
from appliance.status.vitals import HealthFacts
from appliance.system.clock import ExchangeTime
from appliance.system.ports import Alert, Clock, HeartbeatSignal, Severity
from appliance.system.state_folder import DurableFs, StateFolder
from signals.errors import LedgerDamaged, Locked, TrademlError
from signals.schedule.child_process import HALTED_CODE, ChildProcess, ProcessExit, ProcessLimits
from signals.schedule.job_windows import Decision, DueJob, catch_up, first_session, upcoming
from signals.schedule.wake_ups import WakeUps
from signals.text.wording import clean, reason_of

MANUAL, DAMAGED = "MANUAL", "LEDGER_DAMAGED"
SMALL = ProcessLimits(120.0, 512)
# What a pull brings may hold a longer calendar; a plan and the timetable of its orders come of the same settings, edited since or not.
BRIEFED_AFTER = ("pull", "reconcile_morning")
LIMITS = {row.job: ProcessLimits(row.seconds, row.megabytes) for row in TIMETABLE}


@dataclass(frozen=True, eq=False)
class DaemonParts:
    """Components of the daemon.

    Attributes
    ----------
    environment : mapping of str to str
        Of every child.
    real : Clock
        The machine's.
    clock_check : ClockCheck
        Whether time may be believed.
    wake_ups : WakeUps
        Told which instants are ahead, so that a look comes at each.
    log : structlog logger
    """

    environment: Mapping[str, str]
    credentials: Path | None
    real: Clock
    clock_check: ClockCheck
    wake_ups: WakeUps
    pace: Pace
    log: structlog.stdlib.BoundLogger


class Supervisor:
    """The device between its jobs; `health.json` and `metrics.prom` are written to the folder `runtime`."""

    def __init__(self, folder: StateFolder, runtime: Path, parts: DaemonParts) -> None:
        real, pace, log = parts.real, parts.pace, parts.log
        self._folder, self._environment = folder, parts.environment
        self._real, self._pace, self._log = real, pace, log
        self._ledger_view, self._latch = LedgerView(folder), Latch(folder.root, DurableFs())
        self._watcher = configured_heartbeat(parts.credentials)
        self.announcer = Announcer(self._ledger_view, log)
        self.clock_guard = ClockGuard(parts.clock_check, self.notify, self.close_latch)
        self._publisher = Publisher(folder, runtime, parts.credentials, real, pace.publish)
        self.liveness = Liveness(real.monotonic())
        self._at_work, self._attempts, self._wake_ups = ProcessSlot(), Attempts(), parts.wake_ups
        self._attendances = Attendances(folder, self._latch, self._ledger_view, self._attempts, pace, self._venue_now)
        self._outcomes = JobOutcomes(
            self._ledger_view, self._latch, self._attempts, pace.retry, lambda: self._clock.now(), self.notify, log
        )
        self._brief: Briefing | None = None
        self._clock: Clock = real
        self._waits: tuple[str, ...] = ("the briefing",)
        self.is_ready = False
        self._trouble = ""
        self.socket_trouble = ""  # why the control socket cannot be heard

    def look(self) -> None:
        """Go round once (see the module)."""
        mono_s = self._real.monotonic()
        if halt_file.is_requested(DurableFs(), self._folder):
            self._latch.close()  # an attendance, or the process at work, does the rest
        try:
            self._ledger_view.reader()
            self.liveness.answered(mono_s)
            self._poll_child(mono_s)
            self.clock_guard.judge_jumps(self._brief, mono_s, is_ready=self.is_ready)
            if self._at_work.is_free:
                self._next_step(mono_s)
            if self._at_work.is_free:
                self._trouble = ""
        except LedgerDamaged as error:
            self._halt_for_damaged_ledger(error, mono_s)
        except (TrademlError, OSError) as error:
            self._report_trouble(error, mono_s)
        self._publish(mono_s)
        self.liveness.looked(self._real.monotonic())

    def _halt_for_damaged_ledger(self, error: LedgerDamaged, mono_s: float) -> None:
        """Halt, and have working orders cancelled and a person notified every hour: no job starts any more."""
        self.liveness.answered(mono_s)  # another process would find the same
        if self._latch.read().is_armed:
            self.close_latch(DAMAGED, str(error))
        self._report_trouble(error, mono_s)
        self._at_work.poll(mono_s)
        if self._at_work.is_free and self._attempts.is_due("damage", mono_s):
            self._attempts.wait_until("damage", mono_s + REPEAT_SECONDS)
            self._start("attend", ("attend",), SMALL, mono_s)

    def _next_step(self, mono_s: float) -> None:
        if self._attendances.is_needed(mono_s):
            self._attendances.started(mono_s)
            self._start("attend", ("attend",), SMALL, mono_s)
        elif self._attempts.is_due("brief", mono_s):
            self._attempts.wait_until("brief", mono_s + self._pace.retry)
            self._start("brief", ("brief",), SMALL, mono_s)
        elif self._brief is None:
            return  # it is asked for again
        elif not self.is_ready:
            self._check_readiness(self._brief, mono_s)
        else:
            self.clock_guard.check_skew(self._brief, mono_s)
            self._start_due_job(self._brief, mono_s)

    def _start_due_job(self, brief: Briefing, mono_s: float) -> None:
        at = self._clock.now()
        self.clock_guard.halt_if_clock_behind_ledger(at, self._ledger_view.newest(), brief, is_armed=self._latch.read().is_armed)
        since = first_session(self._ledger_view.sessions(), at, brief.calendar)
        ended, table = self._ledger_view.ended(since), table_of(brief.entering)
        # a served exchange moves its own time, which only looking finds out
        ahead = () if brief.exchange else upcoming(at, ended, brief.calendar, table)
        if self._wake_ups.replace([window for window in ahead if window.session >= since]):
            self._publisher.hurry()
        found = catch_up(at, ended, brief.calendar, since, table)
        if (reason := absence(found.unattended)) and self._latch.read().is_armed:
            self.close_latch(ABSENT, reason)
            return
        if missed := [item for item in found.due if item.decision is Decision.MISSED]:
            self._outcomes.record_missed(missed, at, mono_s)
            return
        for item in found.due:
            if self._attempts.is_due(job_key((item.session, item.job)), mono_s):
                self._start_job(item, mono_s)
                return

    def _start_job(self, item: DueJob, mono_s: float) -> None:
        if item.job == TIMETABLE[0].job and self._watcher.is_set:
            Thread(target=self._watcher.beat, args=(HeartbeatSignal.START,), daemon=True).start()
        self._log.info("job starts", job=item.job, session=str(item.session), decision=item.decision.value)
        arguments = ("job", item.job, "--session", str(item.session))
        self._start(item.job, arguments, LIMITS.get(item.job, LIMITS[TRADE]), mono_s, item.session)

    def _start(self, name: str, arguments: Sequence[str], limits: ProcessLimits, mono_s: float, day: date | None = None) -> None:
        self._at_work.take(RunningProcess(name, ChildProcess(self.command(arguments), limits, self._environment, mono_s), day))

    def command(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """Return the command line of one `appliance` command on this state folder."""
        return (sys.executable, "-m", "appliance", *arguments, "--state", str(self._folder.root))

    def _poll_child(self, mono_s: float) -> None:
        if (found := self._at_work.poll(mono_s)) is None:
            return
        process, ended = found
        self._publisher.hurry()
        if process.session is not None:
            self._after_job(process.name, process.session, ended, mono_s)
        elif process.name == "brief":
            self._load_briefing(ended, mono_s)
        else:
            self._after_attendance(ended, mono_s)

    def _after_attendance(self, ended: ProcessExit, mono_s: float) -> None:
        self._attendances.ended(ended, mono_s)
        if ended.code != 0:
            self._log.warning("attendance failed", words=ended.words)
        if ended.code == HALTED_CODE:
            self._ledger_view.examine()  # is it the ledger?

    def _after_job(self, job: str, session: date, ended: ProcessExit, mono_s: float) -> None:
        if job in BRIEFED_AFTER:
            self._attempts.wait_until("brief", mono_s)
        self._outcomes.record_exit(job, session, ended, mono_s)

    def _load_briefing(self, ended: ProcessExit, mono_s: float) -> None:
        if ended.code == 0:
            content = self._folder.briefing.read_bytes()
        elif (kept := DurableFs().read(self._folder.briefing)) is not None and self._brief is None:
            self._log.warning("the briefing failed; the last one serves", words=ended.words)
            content = kept
        else:
            self._waits = (ended.words,) if self._brief is None else self._waits
            self._log.warning("the briefing failed", words=ended.words)
            return
        self._brief = briefing.read(content)
        self._clock = ExchangeTime(self._brief.exchange) if self._brief.exchange else self._real
        self._attempts.wait_until("brief", float("inf") if ended.code == 0 else mono_s + self._pace.lost)

    def _check_readiness(self, brief: Briefing, mono_s: float) -> None:
        self._waits = self.clock_guard.closed_by(brief)
        if not self._waits:
            self._clock.now()
            self.is_ready = True
            self._log.info("ready", exchange=bool(brief.exchange))
        elif mono_s - self.liveness.started > self._pace.lost:
            self.notify(Severity.PAGE, "not-ready", "the device cannot begin", "; ".join(self._waits), mono_s)

    def close_latch(self, name: str, reason: str) -> None:
        """Halt: the latch first, then a job at work stops and cancels; an attendance does what follows."""
        self._latch.halt(name, reason, self._real.now())
        self._at_work.halt()
        self._attendances.hurry()
        self._log.critical("halted", name=name, reason=clean(reason))

    def close_latch_only(self) -> None:
        """Close the latch and no more: what a signal's handler may do."""
        self._latch.close()

    def notify(self, severity: Severity, key: str, title: str, body: str, mono_s: float) -> None:
        """Notify a person: in the log now, and through every channel at the next attendance."""
        if self.announcer.announce(Alert(severity, key, title, body, self._venue_now()), mono_s):
            self._attendances.hurry()

    def _venue_now(self) -> datetime:
        """Return the venue's instant, or the machine's while the venue does not answer."""
        try:
            return self._clock.now()
        except TrademlError:
            return self._real.now()

    def _report_trouble(self, error: Exception, mono_s: float) -> None:
        if isinstance(error, Locked) or (words := reason_of(error)) == self._trouble:
            return
        self._trouble = words
        self._log.error("trouble", words=words, error=repr(error))
        try:
            self.notify(Severity.WARN, "trouble", "the daemon is in trouble", words, mono_s)
        except (TrademlError, OSError) as second:
            self._log.error("it cannot be recorded", words=reason_of(second))

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Why the device does not do its work; empty when it does."""
        return (*(() if self.is_ready else self._waits), *filter(None, (self._trouble, self.socket_trouble)))

    @property
    def tries_again(self) -> tuple[str, ...]:
        """Jobs that did not end by themselves and are tried again, each with its last words."""
        return self._attempts.open_jobs

    @property
    def working_on(self) -> str:
        """The process at work, in words."""
        return self._at_work.words

    def _state(self) -> SupervisorState:
        return SupervisorState(self.waits_for, self.tries_again, self._wake_ups.words, self.working_on, self._brief, self._venue_now())

    def vitals(self) -> HealthFacts:
        """Return the facts as they are now, from a connection of its own: any thread may ask."""
        with closing(LedgerView(self._folder)) as ledger_view:
            return self._publisher.vitals(ledger_view.reader(), self._state())

    def _publish(self, mono_s: float) -> None:
        if not self._publisher.is_due(mono_s):
            return
        try:
            self._publisher.write(self._ledger_view.reader(), self._state(), mono_s)
        except (TrademlError, OSError) as error:
            self._report_trouble(error, mono_s)

    def note_start(self, boot: str, pid: int) -> None:
        """Record that this process is the daemon, and notify when the one before it did not end by itself."""
        self._latch.prepare()
        if (before := self._ledger_view.note_start(boot, pid, self._real.now())) is None:
            return
        again = "the machine was restarted" if before.get("boot") != boot else "its process was restarted"
        body = f"the one of {before.get('at')} did not say that it ended"
        self.notify(Severity.WARN, "restarted", f"the daemon began again: {again}", body, self._real.monotonic())

    def note_end(self, boot: str, pid: int) -> None:
        """Record that this process ended as it was asked to."""
        self._ledger_view.note_end(boot, pid, self._real.now())

    def interrupt(self) -> bool:
        """Break off the process at work as a reboot does; return whether there still is one."""
        return self._at_work.interrupt(self._real.monotonic())

    def close(self) -> None:
        """Close the ledger; what is still at work is killed."""
        self._at_work.kill(self._real.monotonic)
        self._ledger_view.close()
