"""The outcome of each job of a session, a calendar of all job runs, and the comparisons with the broker and what differed."""

import json
from datetime import date

from appliance.ledger import Ledger, job_runs
from appliance.ledger.figures import ReconcileFigures
from appliance.ledger.job_runs import JobRun
from appliance.schedule.timetable import JOBS
from appliance.views.view import View, ViewRow

COLUMNS = ("job", "status", "started", "seconds", "attempts", "summary")
NOT_ENDED = "not ended"


def jobs(ledger: Ledger, session: date) -> View:
    """Return how each job of the session D ended, in the timetable's order."""
    found = sorted(of_session(ledger, session), key=lambda run: (_place(run), run.started_at))
    rows: tuple[ViewRow, ...] = tuple(
        {
            "job": run.job,
            "status": status_of(run),
            "started": run.started_at.isoformat(timespec="seconds"),
            "seconds": _seconds(run),
            "attempts": run.attempts,
            "summary": run.summary,
        }
        for run in found
    )
    return View(COLUMNS, rows, f"no job ran for {session}", session)


def calendar(ledger: Ledger, last: date, sessions: int) -> View:
    """Return one row per session, the newest first, with the status of each job of the timetable."""
    first = ledger.value(
        "SELECT min(session) FROM (SELECT session FROM job_runs WHERE session <= ? GROUP BY session ORDER BY session DESC LIMIT ?)",
        (last.isoformat(), sessions),
    )
    by_session: dict[date, ViewRow] = {}
    if isinstance(first, str):
        for run in job_runs.since(ledger, date.fromisoformat(first)):
            if run.session <= last:
                row = by_session.setdefault(run.session, {"session": run.session.isoformat()})
                row[run.job] = status_of(run)
    steps = sorted({job for row in by_session.values() for job in row} - {"session", *JOBS}, key=_step)
    jobs = (*JOBS, *steps)
    rows = tuple({"session": row["session"], **{job: row.get(job) for job in jobs}} for _, row in sorted(by_session.items()))[::-1]
    return View(("session", *jobs), rows, "no job has run yet")


def of_session(ledger: Ledger, session: date) -> tuple[JobRun, ...]:
    """Return the runs of one session."""
    names = ledger.read(str, "SELECT job FROM job_runs WHERE session = ? ORDER BY started_at", (session,))
    return tuple(run for name in names if (run := job_runs.find(ledger, session, name)) is not None)


def status_of(run: JobRun) -> str:
    """One word for how a run ended."""
    return run.status.value if run.status else NOT_ENDED


def _step(job: str) -> tuple[int, str]:
    """Steps of a schedule through the day in their order."""
    return len(job), job


def _place(run: JobRun) -> int:
    return JOBS.index(run.job) if run.job in JOBS else len(JOBS)


def _seconds(run: JobRun) -> float | None:
    return None if run.finished_at is None else round((run.finished_at - run.started_at).total_seconds(), 1)


COMPARISON_COLUMNS = ("session", "job", "status", "positions", "cash", "equity", "notes")
COMPARISONS = ("reconcile_morning", "reconcile_close")
LAST = "last_reconciliation"


def reconciliation(ledger: Ledger, last: date, sessions: int) -> View:
    """Return the comparisons of the last `sessions` sessions up to D, newest first; facts hold the last differences."""
    found = ledger.read(
        tuple[date, str],
        "SELECT session, job FROM job_runs WHERE session <= ? AND job IN (?, ?) ORDER BY session DESC, started_at DESC LIMIT ?",
        (last, *COMPARISONS, 2 * sessions),
    )
    runs = [job_runs.find(ledger, session, job) for session, job in found]
    rows = tuple(_row(run) for run in runs if run is not None)
    return View(COMPARISON_COLUMNS, rows, "both books have not been compared yet", last, {"last": _last_comparison(ledger)})


def _row(run: JobRun) -> ViewRow:
    found = run.read(ReconcileFigures)
    notes = found.notes or (() if found.positions is not None else (run.summary,))  # a break has only words
    return {
        "session": run.session.isoformat(),
        "job": run.job,
        "status": status_of(run),
        "at": (run.finished_at or run.started_at).isoformat(timespec="seconds"),
        "positions": found.positions,
        "cash": None if found.cash is None else str(found.cash),
        "equity": None if found.equity is None else str(found.equity),
        "notes": "; ".join(notes),
    }


def _last_comparison(ledger: Ledger) -> dict[str, object]:
    content = ledger.read_meta(LAST)
    found: dict[str, object] = json.loads(content) if content else {}
    return found
