"""Reports: where each session's report is, and what it was when it was written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from appliance.ledger import values
from appliance.ledger.database import Ledger


@dataclass(frozen=True)
class ReportRow:
    """One written report; `path` is relative to the state folder."""

    session: date
    path: str
    sha256: str
    at: datetime


def save(ledger: Ledger, row: ReportRow) -> None:
    """Record a session's report, replacing an earlier one."""
    with ledger.transaction():
        ledger.execute(
            "INSERT OR REPLACE INTO reports (session, path, sha256, at) VALUES (?, ?, ?, ?)",
            (row.session.isoformat(), row.path, row.sha256, values.stamp(row.at)),
        )


def find(ledger: Ledger, session: date) -> ReportRow | None:
    """Return the session's report, or None."""
    row = ledger.row("SELECT * FROM reports WHERE session = ?", (session.isoformat(),))
    return None if row is None else _row(row)


def newest(ledger: Ledger, count: int) -> tuple[ReportRow, ...]:
    """Return the last `count` reports, newest first."""
    return tuple(_row(row) for row in ledger.rows("SELECT * FROM reports ORDER BY session DESC LIMIT ?", (count,)))


def _row(row: values.Row) -> ReportRow:
    return ReportRow(values.day(row, "session"), values.text(row, "path"), values.text(row, "sha256"), values.instant(row, "at"))
