"""Outcomes of job processes, read from the ledger, and the terminal rows of jobs that wrote none.

Invariants
----------
1. `job_runs` is the truth: a process that ended without its row has an open job, whatever its exit code says.
2. A job that asks for another attempt, or for a person, is tried again until its deadline; one that crashes is tried
   `MAX_CRASHES` times, each after twice the wait of the one before: a full disk may have room again.
3. A row is written once, in words, and a person is notified of it once.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime

import structlog

from appliance.controls.latch import Latch
from appliance.daemon.attempts import Attempts, Place, job_key
from appliance.daemon.ledger_view import JobEnding, LedgerView
from appliance.schedule.job import JobStatus
from appliance.system.ports import Severity
from signals.schedule.child_process import HALTED_CODE, TRY_AGAIN, ProcessExit
from signals.schedule.job_windows import DueJob

MAX_CRASHES = 5
KNOWN_CODES = frozenset({2, TRY_AGAIN, 6})  # the tree of known errors: waiting or a person may fix them


class JobOutcomes:
    """Records what became of jobs.

    Parameters
    ----------
    retry_seconds : float
        Before a job is tried again.
    venue_now : callable
        The instant by the clock that the device goes by.
    notify : callable
        (severity, key, title, body, monotonic seconds): notifies a person.
    log : structlog logger
    """

    def __init__(
        self,
        ledger_view: LedgerView,
        latch: Latch,
        attempts: Attempts,
        retry_seconds: float,
        venue_now: Callable[[], datetime],
        notify: Callable[[Severity, str, str, str, float], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._ledger_view, self._latch, self._attempts, self._retry = ledger_view, latch, attempts, retry_seconds
        self._venue_now, self._notify, self._log = venue_now, notify, log

    def record_exit(self, job: str, session: date, ended: ProcessExit, mono_s: float) -> None:
        """Judge how a job's process ended by what the ledger says.

        Raises
        ------
        LedgerDamaged
            The job asked for a halt that it could not carry out, because of the ledger.
        Locked
            Its row is to be written and a person's command works in the state folder; the job is tried again.
        """
        run, place = self._ledger_view.find(session, job), (session, job)
        facts = {"job": job, "session": str(session), "seconds": round(ended.seconds, 1), "mb": ended.peak_megabytes}
        if run is not None and run.status is not None:
            self._log.info("job ended", status=run.status.value, summary=run.summary, **facts)
            self._attempts.ended(place)
            return
        self._log.warning("job did not end", code=ended.code, words=ended.words, **facts)
        self._attempts.failed(place, ended.words, mono_s + self._retry)
        if ended.code == HALTED_CODE and not self._latch.read().is_armed:
            self._end(JobEnding(job, session, JobStatus.HALTED, ended.last_line), mono_s)
        elif ended.code == HALTED_CODE:
            self._ledger_view.examine()
            self._record_crash(place, ended, mono_s)
        elif ended.code not in KNOWN_CODES or ended.ended_for:
            self._record_crash(place, ended, mono_s)
        elif ended.code != TRY_AGAIN:
            self._notify(Severity.WARN, f"open-{session}-{job}", f"{job} of {session} waits", ended.words, mono_s)

    def record_missed(self, missed: Sequence[DueJob], at: datetime, mono_s: float) -> None:
        """Write one terminal row for each job that was missed, and notify of each session once."""
        endings = []
        for item in missed:
            last = self._attempts.last_words((item.session, item.job))
            words = f"missed: {item.reason}" + (f"; the last attempt said: {last}" if last else "")
            endings.append(JobEnding(item.job, item.session, JobStatus.FAILED, words))
        written = self._close(endings, at)
        for session in sorted({item.session for item in written}):
            jobs = [item for item in written if item.session == session]
            title = f"{jobs[0].job} of {session} was missed" if len(jobs) == 1 else f"{len(jobs)} jobs of {session} were missed"
            self._notify(Severity.WARN, f"missed-{session}", title, "; ".join(f"{i.job}: {i.words}" for i in jobs), mono_s)

    def _record_crash(self, place: Place, ended: ProcessExit, mono_s: float) -> None:
        session, job = place
        crashes = self._attempts.crashed(place)
        self._attempts.wait_until(job_key(place), mono_s + self._retry * 2 ** (crashes - 1))
        if crashes >= MAX_CRASHES:
            words = f"it was tried {MAX_CRASHES} times; the last time {ended.words}"
            self._end(JobEnding(job, session, JobStatus.FAILED, words), mono_s)

    def _end(self, ending: JobEnding, mono_s: float) -> None:
        for item in self._close((ending,), self._venue_now()):
            title = f"{item.job} of {item.session} {item.status.value}"
            severity = Severity.PAGE if item.status is JobStatus.FAILED else Severity.WARN
            self._notify(severity, f"ended-{item.session}-{item.job}", title, item.words, mono_s)

    def _close(self, endings: Sequence[JobEnding], at: datetime) -> tuple[JobEnding, ...]:
        written = self._ledger_view.close_jobs(endings, at)
        for item in endings:
            self._attempts.ended((item.session, item.job))
        return written
