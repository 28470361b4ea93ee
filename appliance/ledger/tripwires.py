"""The ledger's tripwire evaluations: every check of the day with its value, tripped or not."""

from dataclasses import dataclass
from datetime import date, datetime

from appliance.ledger.database import Ledger, columns_of

CHECKS = 'SELECT *, limit_value AS "limit" FROM tripwires'
RENEW = (
    "ON CONFLICT (session, name) DO UPDATE SET value = excluded.value, limit_value = excluded.limit_value,"
    " action = excluded.action, tripped = excluded.tripped, detail = excluded.detail, at = excluded.at"
    " WHERE tripped <= excluded.tripped"
)


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
    columns = columns_of(row)
    columns["limit_value"] = columns.pop("limit")
    with ledger.transaction():
        ledger.insert("tripwires", columns, conflict=RENEW)


def of_session(ledger: Ledger, session: date) -> tuple[TripwireRow, ...]:
    """Return the session's checks by name."""
    return tuple(ledger.read(TripwireRow, f"{CHECKS} WHERE session = ? ORDER BY name", (session,)))


def trips(ledger: Ledger, name: str, before: date, sessions: int) -> tuple[bool, ...]:
    """Return whether the check tripped in each of the last sessions before one that evaluated it, newest first."""
    query = "SELECT tripped FROM tripwires WHERE name = ? AND session < ? ORDER BY session DESC LIMIT ?"
    return tuple(ledger.read(bool, query, (name, before, sessions)))
