"""The reconciliations with the broker: when each took place, and the differences."""

import json
from datetime import date

from appliance.ledger import Ledger, job_runs
from appliance.ledger.figures import ReconcileFigures
from appliance.ledger.job_runs import JobRun
from appliance.views.runs import status_of
from appliance.views.view import View, ViewRow

COLUMNS = ("session", "job", "status", "positions", "cash", "equity", "notes")
JOBS = ("reconcile_morning", "reconcile_close")
LAST = "last_reconciliation"


def reconciliation(ledger: Ledger, last: date, sessions: int) -> View:
    """Return the comparisons of the last `sessions` sessions up to D, newest first; facts hold the last differences."""
    found = ledger.read(
        tuple[date, str],
        "SELECT session, job FROM job_runs WHERE session <= ? AND job IN (?, ?) ORDER BY session DESC, started_at DESC LIMIT ?",
        (last, *JOBS, 2 * sessions),
    )
    runs = [job_runs.find(ledger, session, job) for session, job in found]
    rows = tuple(_row(run) for run in runs if run is not None)
    return View(COLUMNS, rows, "both books have not been compared yet", last, {"last": _last_comparison(ledger)})


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
