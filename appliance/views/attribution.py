"""What each session's profit or loss was made of, newest first; a session is attributed by the report of the next."""

from __future__ import annotations

from datetime import date
from typing import Any

from appliance.ledger import Ledger, job_runs
from appliance.views.view import View

PARTS = ("market", "sector", "style", "selection", "costs", "rounding", "refused orders", "skips")
COLUMNS = ("session", "total", *PARTS)
REPORT, FIGURE = "report", "attribution"


def attribution(ledger: Ledger, last: date, sessions: int) -> View:
    """Return the parts of each session up to `last` in USD; every row sums to its total, to the cent."""
    found: dict[str, dict[str, Any]] = {}
    for run in job_runs.newest(ledger, REPORT, date.max, 2 * sessions + 1):
        found.update({row["session"]: row for row in run.figures.get(FIGURE) or []})
    days = sorted((day for day in found if date.fromisoformat(day) <= last), reverse=True)[:sessions]
    rows = tuple(
        {
            "session": day,
            "total": found[day]["total"],
            **found[day]["parts"],
            "of costs": found[day]["costs"],
            "data": found[day]["data"],
            "best": found[day]["best"],
            "worst": found[day]["worst"],
        }
        for day in days
    )
    empty = "no session has been attributed yet: its bars arrive in its evening, the next report attributes it"
    return View(COLUMNS, rows, empty, last)
