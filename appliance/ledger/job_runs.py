"""Job runs: what ran for which session, and the one way it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from appliance.ledger import values
from appliance.ledger.database import Ledger
from appliance.ledger.values import Row
from appliance.schedule.job import JobReport, JobStatus
from signals.errors import InvariantBroken


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
    figures: Mapping[str, Any] = field(default_factory=dict)


def begin(ledger: Ledger, session: date, job: str, at: datetime) -> bool:
    """Record the start of a job; False, and nothing recorded, when it has already ended for this session."""
    with ledger.transaction():
        ended = ledger.value("SELECT 1 FROM job_runs WHERE session = ? AND job = ? AND status <> 'running'", (session.isoformat(), job))
        if ended:
            return False
        ledger.execute(
            "INSERT INTO job_runs (session, job, status, started_at) VALUES (?, ?, 'running', ?)"
            " ON CONFLICT (session, job) DO UPDATE SET attempts = attempts + 1, started_at = excluded.started_at",
            (session.isoformat(), job, values.stamp(at)),
        )
        return True


def finish(ledger: Ledger, report: JobReport, at: datetime) -> None:
    """Record the one terminal status of a job that `begin` started."""
    with ledger.transaction():
        changed = ledger.execute(
            "UPDATE job_runs SET status = ?, finished_at = ?, summary = ?, figures = ?"
            " WHERE session = ? AND job = ? AND status = 'running'",
            (
                report.status.value,
                values.stamp(at),
                report.summary,
                json.dumps(report.figures, default=str, sort_keys=True),
                report.session.isoformat(),
                report.job,
            ),
        )
        if changed != 1:
            raise InvariantBroken("a job ends once, after it began", where=f"{report.session} {report.job}")


def find(ledger: Ledger, session: date, job: str) -> JobRun | None:
    """Return the run of `job` for `session`, or None when it never started."""
    row = ledger.row("SELECT * FROM job_runs WHERE session = ? AND job = ?", (session.isoformat(), job))
    return None if row is None else _run(row)


def since(ledger: Ledger, first: date) -> tuple[JobRun, ...]:
    """Return all runs of the sessions from `first` on, by session and start."""
    found = ledger.rows("SELECT * FROM job_runs WHERE session >= ? ORDER BY session, started_at", (first.isoformat(),))
    return tuple(_run(row) for row in found)


def newest(ledger: Ledger, job: str, last: date, count: int) -> tuple[JobRun, ...]:
    """Return the newest `count` runs of `job` for sessions up to `last`, oldest first."""
    found = ledger.rows(
        "SELECT * FROM job_runs WHERE job = ? AND session <= ? ORDER BY session DESC LIMIT ?", (job, last.isoformat(), count)
    )
    return tuple(_run(row) for row in reversed(found))


def sessions(ledger: Ledger) -> tuple[date, ...]:
    """Return the newest sessions that have a run, oldest first: those of about a month."""
    found = ledger.rows("SELECT DISTINCT session FROM job_runs ORDER BY session DESC LIMIT 22")
    return tuple(sorted(values.day(row, "session") for row in found))


def ended(ledger: Ledger, first: date) -> frozenset[tuple[date, str]]:
    """Return every (session, job) that has ended, of the sessions from `first` on."""
    found = ledger.rows("SELECT session, job FROM job_runs WHERE session >= ? AND status <> 'running'", (first.isoformat(),))
    return frozenset((values.day(row, "session"), values.text(row, "job")) for row in found)


def _run(row: Row) -> JobRun:
    status = values.text(row, "status")
    return JobRun(
        session=values.day(row, "session"),
        job=values.text(row, "job"),
        status=None if status == "running" else JobStatus(status),
        attempts=values.integer(row, "attempts"),
        started_at=values.instant(row, "started_at"),
        finished_at=values.optional_instant(row, "finished_at"),
        summary=values.text(row, "summary"),
        figures=json.loads(values.text(row, "figures")),
    )
