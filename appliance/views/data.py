"""What the device knew of its data, evening by evening: GREEN, AMBER or RED, and why."""

from __future__ import annotations

from datetime import date

from appliance.ledger import Ledger, job_runs
from appliance.ledger.job_runs import JobRun
from appliance.views.view import Row, View

COLUMNS = ("asof", "status", "names", "expected", "version", "snapshot", "reasons")
ABSENT = "absent"


def data(ledger: Ledger, last: date, sessions: int) -> View:
    """Return one row per pull of the last `sessions` sessions up to D, the newest first."""
    query = "SELECT session FROM job_runs WHERE job = 'pull' AND session <= ? ORDER BY session DESC LIMIT ?"
    days = ledger.read(date, query, (last, sessions))
    rows = tuple(_row(day, job_runs.find(ledger, day, "pull"), job_runs.find(ledger, day, "score")) for day in days)
    return View(COLUMNS, rows, "no data has been pulled yet", last)


def _row(session: date, pull: JobRun | None, score: JobRun | None) -> Row:
    pulled = pull.figures if pull else {}
    scored = score.figures if score else {}
    reasons = pulled.get("reasons") or ([] if pulled.get("status") else [pull.summary if pull else ""])
    return {
        "asof": str(pulled.get("asof", "")) or None,
        "session": session.isoformat(),
        "status": str(pulled.get("status", ABSENT)),
        "names": scored.get("names"),
        "expected": scored.get("expected"),
        "version": pulled.get("version"),
        "snapshot": str(pulled.get("snapshot_id", "")) or None,
        "reasons": "; ".join(str(reason) for reason in reasons),
    }
