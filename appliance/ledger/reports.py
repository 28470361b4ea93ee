"""The ledger's index of reports: path and hash of each session's report."""

from dataclasses import dataclass
from datetime import date, datetime

from appliance.ledger.database import Ledger, columns_of


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
        ledger.insert("reports", columns_of(row), replace=True)


def find(ledger: Ledger, session: date) -> ReportRow | None:
    """Return the session's report, or None."""
    return ledger.first(ReportRow, "SELECT * FROM reports WHERE session = ?", (session,))


def newest(ledger: Ledger, count: int) -> tuple[ReportRow, ...]:
    """Return the last `count` reports, newest first."""
    return tuple(ledger.read(ReportRow, "SELECT * FROM reports ORDER BY session DESC LIMIT ?", (count,)))
