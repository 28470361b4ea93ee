"""One look of the daemon, again and again: tend the process at work, else do the next thing that is needed.

Entry point: `Daemon.look`, called every few seconds by a scheduler; it never waits for a job.

In this order: what happened to time; how the process at work does; whether the device may be READY; what halts and
messages lack; jobs that were missed, explained; one job that is due, started.

Invariants
----------
1. One process works at a time, and each job is a process of its own: the daemon loads none of their libraries.
2. `job_runs` is the truth. What a job did not write of its own end, the daemon writes: once, in words.
3. A job that asks for another attempt, or for a person, is tried again until its deadline; one that crashes is tried
   `MAX_CRASHES` times, each after twice the wait of the one before: a full disk may have room again.
4. Nothing that goes wrong in a look ends the daemon: it is told, and the next look begins anew.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from threading import Thread

import structlog

from appliance.alerts.heartbeat import watcher
from appliance.alerts.reminders import is_unheard, is_unsaid
from appliance.controls import halt_file
from appliance.controls.latch import Latch
from appliance.daemon import briefing
from appliance.daemon.briefing import Briefing
from appliance.daemon.children import Child, Ended, Limits
from appliance.daemon.gate import MAX_SKEW_SECONDS, Gate
from appliance.daemon.liveness import Liveness
from appliance.daemon.pace import Pace
from appliance.daemon.publishing import own_facts, own_vitals, process_facts, publish
from appliance.daemon.record import Ending, Record
from appliance.daemon.voice import SAID_AGAIN_SECONDS, Voice
from appliance.daemon.work import Work, Workplace
from appliance.ledger import halts
from appliance.schedule.absence import ABSENT, absence
from appliance.schedule.job import JobStatus
from appliance.schedule.timetable import TIMETABLE, TRADE, table_of
from appliance.status.vitals import Vitals, is_filling
from appliance.system.clock import ExchangeTime
from appliance.system.durable_files import DurableFs
from appliance.system.ports import Alert, Beat, Clock, Severity
from appliance.system.state_folder import StateFolder
from appliance.system.time_sync import Jump
from signals.errors import DeviceHalted, LedgerDamaged, Locked, TrademlError
from signals.schedule.catch_up import catch_up, first_session
from signals.schedule.due import Decision, DueJob
from signals.text.plain_text import clean
from signals.text.wording import reason_of, utc_words

MAX_CRASHES = 5
CLOCK, MANUAL, DAMAGED = "CLOCK", "MANUAL", "LEDGER_DAMAGED"
TRY_AGAIN, HALTED_CODE = 5, 4
KNOWN_CODES = frozenset({2, TRY_AGAIN, 6})  # the tree of known errors: waiting or a person may fix them
SMALL = Limits(120.0, 512)
LIMITS = {slot.job: Limits(slot.seconds, slot.megabytes) for slot in TIMETABLE}


class Daemon:
    """The device between its jobs.

    Parameters
    ----------
    folder : StateFolder
    runtime : Path
        Folder of `health.json` and `metrics.prom`.
    environment : mapping of str to str
        Of every child.
    credentials : Path or None
    real : Clock
        The machine's.
    gate : Gate
        Whether time may be believed.
    pace : Pace
    log : structlog logger
    """

    def __init__(
        self,
        folder: StateFolder,
        runtime: Path,
        *,
        environment: Mapping[str, str],
        credentials: Path | None,
        real: Clock,
        gate: Gate,
        pace: Pace,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._folder, self._runtime, self._environment = folder, runtime, environment
        self._real, self._gate, self._pace, self._log = real, gate, pace, log
        self._record, self._latch = Record(folder), Latch(folder.root, DurableFs())
        self._watcher, self._credentials = watcher(credentials), credentials
        self._started_at = real.now()
        self.liveness = Liveness(real.monotonic())
        self._at_work = Workplace()
        self._brief: Briefing | None = None
        self._clock: Clock = real
        self._waits: tuple[str, ...] = ("the briefing",)
        self.is_ready = False
        self._not_before: dict[str, float] = {}
        self._crashes: dict[tuple[date, str], int] = {}
        self._last_words: dict[tuple[date, str], str] = {}
        self.voice = Voice(self._record, log)
        self._trouble, self._is_urgent, self._failed = "", True, 0
        self.deaf = ""  # why the control socket hears nobody
        self._published = float("-inf")
        self._jumps: list[Jump] = []

    def look(self) -> None:
        """Go round once (see the module)."""
        now = self._real.monotonic()
        if halt_file.is_asked(DurableFs(), self._folder):
            self._latch.close()  # an attendance, or the process at work, does the rest
        try:
            self._record.reader()
            self.liveness.answered(now)
            self._tend(now)
            self._judge_time()
            if self._at_work.is_free:
                self._go_on(now)
            if self._at_work.is_free:
                self._trouble = ""
        except LedgerDamaged as error:
            self._go_without_ledger(error, now)
        except (TrademlError, OSError) as error:
            self._is_in_trouble(error, now)
        self._publish(now)
        self.liveness.looked(self._real.monotonic())

    def _go_without_ledger(self, error: LedgerDamaged, now: float) -> None:
        """Halt, and have working orders cancelled and a person told of it every hour: no job starts any more."""
        self.liveness.answered(now)  # another process would find the same
        if self._latch.read().is_armed:
            self.close_latch(DAMAGED, str(error))
        self._is_in_trouble(error, now)
        self._at_work.ended(now)
        if self._at_work.is_free and self._is_due("damage", now):
            self._not_before["damage"] = now + SAID_AGAIN_SECONDS
            self._start("attend", ("attend",), SMALL, now)

    def _go_on(self, now: float) -> None:
        if self._needs_attendance(now):
            self._is_urgent, self._not_before["lost"] = False, now + self._pace.lost
            self._start("attend", ("attend",), SMALL, now)
        elif self._is_due("brief", now):
            self._not_before["brief"] = now + self._pace.retry
            self._start("brief", ("brief",), SMALL, now)
        elif not self.is_ready:
            self._get_ready(now)
        elif self._brief is not None:
            self._gate_again(now)
            self._do_next(now)

    def _do_next(self, now: float) -> None:
        assert self._brief is not None  # READY came after the briefing
        at, calendar = self._clock.now(), self._brief.calendar
        self._refuse_the_past(at)
        since = first_session(self._record.sessions(), at, calendar)
        found = catch_up(at, self._record.ended(since), calendar, since, table_of(self._brief.entering))
        if (reason := absence(found.unattended)) and self._latch.read().is_armed:
            self.close_latch(ABSENT, reason)
            return
        if missed := [item for item in found.due if item.decision is Decision.MISSED]:
            self._explain(missed, at, now)
            return
        for item in found.due:
            if self._is_due(_key(item.session, item.job), now):
                self._begin(item, now)
                return

    def _begin(self, item: DueJob, now: float) -> None:
        if item.job == TIMETABLE[0].job and self._watcher.is_set:
            Thread(target=self._watcher.beat, args=(Beat.START,), daemon=True).start()
        self._log.info("job starts", job=item.job, session=str(item.session), decision=item.decision.value)
        arguments = ("job", item.job, "--session", str(item.session))
        self._start(item.job, arguments, LIMITS.get(item.job, LIMITS[TRADE]), now, item.session)

    def _explain(self, missed: Sequence[DueJob], at: datetime, now: float) -> None:
        """Write one terminal row for each job that was missed, and tell of each session once."""
        endings = []
        for item in missed:
            last = self._last_words.pop((item.session, item.job), "")
            words = f"missed: {item.reason}" + (f"; the last attempt said: {last}" if last else "")
            endings.append(Ending(item.job, item.session, JobStatus.FAILED, words))
        written = self._record.close_jobs(endings, at)
        for session in sorted({item.session for item in written}):
            jobs = [item for item in written if item.session == session]
            title = f"{jobs[0].job} of {session} was missed" if len(jobs) == 1 else (f"{len(jobs)} jobs of {session} were missed")
            self.say(Severity.WARN, f"missed-{session}", title, "; ".join(f"{i.job}: {i.words}" for i in jobs), now)

    def _start(self, name: str, arguments: Sequence[str], limits: Limits, now: float, day: date | None = None) -> None:
        self._at_work.take(Work(name, Child(self.command(arguments), limits, self._environment, now), day))

    def command(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """Return the command line of one `appliance` command on this state folder."""
        return (sys.executable, "-m", "appliance", *arguments, "--state", str(self._folder.root))

    def _tend(self, now: float) -> None:
        if (found := self._at_work.ended(now)) is None:
            return
        work, ended = found
        self._published = float("-inf")
        if work.session is not None:
            self._settle(work.name, work.session, ended, now)
        elif work.name == "brief":
            self._take_brief(ended, now)
        else:
            self._attended(ended, now)

    def _attended(self, ended: Ended, now: float) -> None:
        """Wait for the next attendance: longer after each that failed, for each may have told a person."""
        is_waiting = ended.code in (0, TRY_AGAIN)
        self._failed = 0 if is_waiting else self._failed + 1
        wait = min(self._pace.retry * 2 ** max(0, self._failed - 1), SAID_AGAIN_SECONDS)
        self._not_before["attend"] = now + wait
        if halt_file.is_asked(DurableFs(), self._folder):
            self._not_before["HALT"] = now + (self._pace.look if ended.code == TRY_AGAIN else wait)
        if ended.code != 0:
            self._log.warning("attendance failed", words=ended.words)
        if ended.code == HALTED_CODE:
            self._record.examine()  # is it the ledger?

    def _settle(self, job: str, session: date, ended: Ended, now: float) -> None:
        """Judge how a job's process ended by what the ledger says (invariants 2 and 3)."""
        run = self._record.find(session, job)
        told = {"job": job, "session": str(session), "seconds": round(ended.seconds, 1), "mb": ended.peak_megabytes}
        place = (session, job)
        if job == TIMETABLE[0].job:
            self._not_before["brief"] = now  # what it pulled may hold a longer calendar
        if run is not None and run.status is not None:
            self._log.info("job ended", status=run.status.value, summary=run.summary, **told)
            self._last_words.pop(place, None)
            self._crashes.pop(place, None)
            return
        self._log.warning("job did not end", code=ended.code, words=ended.words, **told)
        self._not_before[_key(session, job)] = now + self._pace.retry
        self._last_words[place] = ended.words
        if ended.code == HALTED_CODE and not self._latch.read().is_armed:
            self._end(Ending(job, session, JobStatus.HALTED, ended.said), now)
        elif ended.code == HALTED_CODE:
            self._record.examine()  # it asks for a halt and could not carry it out: is it the ledger?
            self._crashed(place, ended, now)
        elif ended.code not in KNOWN_CODES or ended.ended_for:
            self._crashed(place, ended, now)
        elif ended.code != TRY_AGAIN:
            self.say(Severity.WARN, f"open-{session}-{job}", f"{job} of {session} waits", ended.words, now)

    def _crashed(self, place: tuple[date, str], ended: Ended, now: float) -> None:
        session, job = place
        crashes = self._crashes[place] = self._crashes.get(place, 0) + 1
        self._not_before[_key(session, job)] = now + self._pace.retry * 2 ** (crashes - 1)
        if crashes >= MAX_CRASHES:
            words = f"it was tried {MAX_CRASHES} times; the last time {ended.words}"
            self._end(Ending(job, session, JobStatus.FAILED, words), now)

    def _end(self, ending: Ending, now: float) -> None:
        self._last_words.pop((ending.session, ending.job), None)
        for item in self._record.close_jobs((ending,), self._clock.now()):
            title = f"{item.job} of {item.session} {item.status.value}"
            severity = Severity.PAGE if item.status is JobStatus.FAILED else Severity.WARN
            self.say(severity, f"ended-{item.session}-{item.job}", title, item.words, now)

    def _take_brief(self, ended: Ended, now: float) -> None:
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
        self._not_before["brief"] = float("inf") if ended.code == 0 else now + self._pace.lost

    def _get_ready(self, now: float) -> None:
        if self._brief is None:
            return  # it is asked for again
        self._waits = self._gate.closed_by(self._brief)
        if not self._waits:
            self._clock.now()
            self.is_ready = True
            self._log.info("ready", exchange=bool(self._brief.exchange))
        elif now - self.liveness.started > self._pace.lost:
            self.say(Severity.PAGE, "not-ready", "the device cannot begin", "; ".join(self._waits), now)

    def jumped(self, jump: Jump) -> None:
        """Take note of what happened to time; the next look judges it."""
        self._jumps.append(jump)

    def _judge_time(self) -> None:
        now, limit = self._real.monotonic(), self._brief.halt_skew_seconds if self._brief else float("inf")
        while self._jumps:
            jump = self._jumps.pop(0)
            if abs(jump.slept) > MAX_SKEW_SECONDS:
                self.say(Severity.WARN, "slept", "the machine slept", f"for {jump.slept:.0f} s", now)
            if abs(jump.set_by) > MAX_SKEW_SECONDS:
                words = f"somebody set the machine's clock by {jump.set_by:+.1f} s"
                self.say(Severity.WARN, "clock-set", "the clock jumped", words, now)
                if self.is_ready and abs(jump.set_by) > limit:
                    self.close_latch(CLOCK, words)

    def _gate_again(self, now: float) -> None:
        """Hold the clock against the broker's once an hour; far off closes the latch, a little off is told."""
        assert self._brief is not None  # READY came after the briefing
        skew = self._gate.skew_now(self._brief, now)
        if skew is None or skew <= MAX_SKEW_SECONDS:
            return
        words = f"the clock is {skew:.1f} s or more off the broker's"
        self.say(Severity.WARN, "clock-skew", "the clock is wrong", words, now)
        if skew > self._brief.halt_skew_seconds:
            self.close_latch(CLOCK, words)

    def _refuse_the_past(self, at: datetime) -> None:
        """A clock that lies before what is on record halts the device, and no job starts until it has caught up."""
        newest = self._record.newest()
        limit = self._brief.halt_skew_seconds if self._brief else 0.0
        if newest is None or (newest - at).total_seconds() <= limit:
            return
        words = f"the clock says {utc_words(at)}, the ledger already holds {utc_words(newest)}"
        if self._latch.read().is_armed:
            self.close_latch(CLOCK, words)
        raise DeviceHalted(words, fix="Set the clock right; jobs go on once it has passed the ledger's last row")

    def close_latch(self, name: str, reason: str) -> None:
        """Halt: the latch first, then a job at work stops and cancels; an attendance does what follows."""
        self._latch.halt(name, reason, self._real.now())
        self._at_work.halt()
        self._is_urgent = True
        self._log.critical("halted", name=name, reason=clean(reason))

    def shut(self) -> None:
        """Close the latch and no more: what a signal's handler may do."""
        self._latch.close()

    def say(self, severity: Severity, key: str, title: str, body: str, now: float) -> None:
        """Tell a person: in the log now, and through every channel at the next attendance."""
        if self.voice.say(Alert(severity, key, title, body, self._clock_or_real()), now):
            self._is_urgent = True

    def _needs_attendance(self, now: float) -> bool:
        if halt_file.is_asked(DurableFs(), self._folder) and self._is_due("HALT", now):
            return True
        if self._is_due("room", now) and is_filling(self._folder):
            self._not_before["room"] = now + self._pace.lost
            return True
        if not self._is_urgent and not self._is_due("attend", now):
            return False
        standing, ledger = self._latch.read(), self._record.reader()
        if is_unheard(ledger, standing, self._clock_or_real()):
            return True
        if not standing.is_armed and not standing.is_fresh and halts.find(ledger, standing.halt_id) is None:
            return True
        is_urgent, self._is_urgent = self._is_urgent, False
        return (is_urgent or self._is_due("lost", now)) and is_unsaid(ledger, self._clock_or_real())

    def _clock_or_real(self) -> datetime:
        try:
            return self._clock.now()
        except TrademlError:
            return self._real.now()

    def _is_in_trouble(self, error: Exception, now: float) -> None:
        if isinstance(error, Locked) or (words := reason_of(error)) == self._trouble:
            return
        self._trouble = words
        self._log.error("trouble", words=words, error=repr(error))
        try:
            self.say(Severity.WARN, "trouble", "the daemon is in trouble", words, now)
        except (TrademlError, OSError) as second:
            self._log.error("it cannot be recorded", words=reason_of(second))

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Why the device does not do its work; empty when it does."""
        return (*(() if self.is_ready else self._waits), *filter(None, (self._trouble, self.deaf)))

    @property
    def tries_again(self) -> tuple[str, ...]:
        """Jobs that did not end by themselves and are tried again, each with its last words."""
        return tuple(f"{job} of {session} is tried again: {text}" for (session, job), text in dict(self._last_words).items())

    @property
    def working_on(self) -> str:
        """The process at work, in words."""
        return self._at_work.words

    def vitals(self) -> Vitals:
        """The facts as they are now, from a connection of its own: any thread may ask."""
        with closing(Record(self._folder)) as record:
            return self._vitals(record, self._real.now())

    def _vitals(self, record: Record, at: datetime) -> Vitals:
        said, now = own_facts(self.waits_for, self.tries_again, at), self._clock_or_real()
        return own_vitals(record.reader(), self._folder, at, said, self._brief, now, self._credentials)

    def _publish(self, now: float) -> None:
        if now - self._published < self._pace.publish:
            return
        at = self._real.now()
        try:
            process = process_facts(self._started_at, self.working_on, self._credentials)
            publish(self._runtime, self._folder, self._vitals(self._record, at), process, at)
            self._published = now
        except (TrademlError, OSError) as error:
            self._is_in_trouble(error, now)

    def note_start(self, boot: str, pid: int) -> None:
        """Write down that this process is the daemon, and tell when the one before it did not end by itself."""
        self._latch.prepare()
        at = self._real.now()
        if (before := self._record.begins(boot, pid, at)) is not None:
            again = "the machine was restarted" if before.get("boot") != boot else "its process was restarted"
            self.say(
                Severity.WARN,
                "restarted",
                f"the daemon began again: {again}",
                f"the one of {before.get('at')} did not say that it ended",
                self._real.monotonic(),
            )

    def note_end(self, boot: str, pid: int) -> None:
        """Write down that this process ended as it was asked to."""
        self._record.ends(boot, pid, self._real.now())

    def interrupt(self) -> bool:
        """Break off the process at work as a reboot does; return whether there still is one."""
        return self._at_work.interrupt(self._real.monotonic())

    def close(self) -> None:
        """Let go of everything; what is still at work is killed."""
        self._at_work.kill(self._real.monotonic)
        self._record.close()

    def _is_due(self, key: str, now: float) -> bool:
        return now >= self._not_before.get(key, float("-inf"))


def _key(session: date, job: str) -> str:
    return f"{session} {job}"
