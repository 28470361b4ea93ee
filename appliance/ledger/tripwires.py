"""Tripwires: every check of the day with its value, tripped or not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from appliance.ledger import values
from appliance.ledger.database import Ledger


@dataclass(frozen=True)
class TripwireRow:
    """One check; `value` is None when its input was missing."""

    session: date
    name: str
    value: str | None
    limit: str
    action: str
    tripped: bool
    detail: str
    at: datetime


def save(ledger: Ledger, row: TripwireRow) -> None:
    """Record the latest outcome of a check for its session; one that tripped stays tripped."""
    with ledger.transaction():
        ledger.execute(
            "INSERT INTO tripwires (session, name, value, limit_value, action, tripped, detail, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session, name) DO UPDATE SET value = excluded.value,"
            " limit_value = excluded.limit_value, action = excluded.action, tripped = excluded.tripped,"
            " detail = excluded.detail, at = excluded.at WHERE tripped <= excluded.tripped",
            (row.session.isoformat(), row.name, row.value, row.limit, row.action, int(row.tripped), row.detail, values.stamp(row.at)),
        )


def of_session(ledger: Ledger, session: date) -> tuple[TripwireRow, ...]:
    """Return the session's checks by name."""
    found = ledger.rows("SELECT * FROM tripwires WHERE session = ? ORDER BY name", (session.isoformat(),))
    return tuple(_row(item) for item in found)


def trips(ledger: Ledger, name: str, before: date, sessions: int) -> tuple[bool, ...]:
    """Return whether the check tripped in each of the last sessions before one that evaluated it, newest first."""
    found = ledger.rows(
        "SELECT * FROM tripwires WHERE name = ? AND session < ? ORDER BY session DESC LIMIT ?", (name, before.isoformat(), sessions)
    )
    return tuple(_row(item).tripped for item in found)


def last_trip(ledger: Ledger, name: str) -> TripwireRow | None:
    """Return the last time the check tripped, or None."""
    found = ledger.row("SELECT * FROM tripwires WHERE name = ? AND tripped = 1 ORDER BY session DESC LIMIT 1", (name,))
    return None if found is None else _row(found)


def _row(row: values.Row) -> TripwireRow:
    return TripwireRow(
        session=values.day(row, "session"),
        name=values.text(row, "name"),
        value=values.optional_text(row, "value"),
        limit=values.text(row, "limit_value"),
        action=values.text(row, "action"),
        tripped=bool(values.integer(row, "tripped")),
        detail=values.text(row, "detail"),
        at=values.instant(row, "at"),
    )
