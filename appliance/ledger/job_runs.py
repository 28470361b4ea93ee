"""The ledger's job runs: which job ran for which session, and its one outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeVar

from appliance.ledger.database import Ledger
from appliance.schedule.job import JobReport, JobStatus
from signals.errors import InvariantBroken, LedgerUnusable
from signals.text.documents import BadDocument, from_json, to_json

Figures = TypeVar("Figures")
RUNS = "SELECT *, nullif(status, 'running') AS status FROM job_runs"  # of two columns of one name the last is read


@dataclass(frozen=True)
class JobRun:
    """One row; `status` is None while the job runs or after it died."""

    session: date
    job: str
    status: JobStatus | None
    attempts: int
    started_at: datetime
    finished_at: datetime | None
    summary: str
    figures: Mapping[str, object] = field(default_factory=dict)

    def read(self, kind: type[Figures]) -> Figures:
        """The recorded figures as one of the types of `appliance.ledger.figures`; raise `LedgerUnusable` for any other."""
        try:
            return from_json(kind, self.figures)
        except BadDocument as error:
            where = f"{self.job} of {self.session}"
            raise LedgerUnusable(f"recorded figures cannot be read: {error}", where=where, fix="Restore the last backup") from None


def begin(ledger: Ledger, session: date, job: str, at: datetime) -> bool:
    """Record the start of a job; False, and nothing recorded, when it has already ended for this session."""
    with ledger.transaction():
        ended = ledger.value("SELECT 1 FROM job_runs WHERE session = ? AND job = ? AND status <> 'running'", (session, job))
        if ended:
            return False
        ledger.execute(
            "INSERT INTO job_runs (session, job, status, started_at) VALUES (?, ?, 'running', ?)"
            " ON CONFLICT (session, job) DO UPDATE SET attempts = attempts + 1, started_at = excluded.started_at",
            (session, job, at),
        )
        return True


def finish(ledger: Ledger, report: JobReport, at: datetime) -> None:
    """Record the one terminal status of a job that `begin` started."""
    with ledger.transaction():
        changed = ledger.execute(
            "UPDATE job_runs SET status = ?, finished_at = ?, summary = ?, figures = ?"
            " WHERE session = ? AND job = ? AND status = 'running'",
            (report.status, at, report.summary, to_json(report.figures), report.session, report.job),
        )
        if changed != 1:
            raise InvariantBroken("a job ends once, after it began", where=f"{report.session} {report.job}")


def find(ledger: Ledger, session: date, job: str) -> JobRun | None:
    """Return the run of `job` for `session`, or None when it never started."""
    return ledger.first(JobRun, f"{RUNS} WHERE session = ? AND job = ?", (session, job))


def since(ledger: Ledger, first: date) -> tuple[JobRun, ...]:
    """Return all runs of the sessions from `first` on, by session and start."""
    return tuple(ledger.read(JobRun, f"{RUNS} WHERE session >= ? ORDER BY session, started_at", (first,)))


def newest(ledger: Ledger, job: str, last: date, count: int) -> tuple[JobRun, ...]:
    """Return the newest `count` runs of `job` for sessions up to `last`, oldest first."""
    query = f"{RUNS} WHERE job = ? AND session <= ? ORDER BY session DESC LIMIT ?"
    return tuple(reversed(ledger.read(JobRun, query, (job, last, count))))


def sessions(ledger: Ledger) -> tuple[date, ...]:
    """Return the newest sessions that have a run, oldest first: those of about a month."""
    return tuple(sorted(ledger.read(date, "SELECT DISTINCT session FROM job_runs ORDER BY session DESC LIMIT 22")))


def ended(ledger: Ledger, first: date) -> frozenset[tuple[date, str]]:
    """Return every (session, job) that has ended, of the sessions from `first` on."""
    query = "SELECT session, job FROM job_runs WHERE session >= ? AND status <> 'running'"
    return frozenset(ledger.read(tuple[date, str], query, (first,)))
