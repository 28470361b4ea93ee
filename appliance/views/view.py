"""The common result of every ledger query: rows of plain cells, and the text for an empty table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from appliance.ledger import Ledger

Cell = str | int | float | None
ViewRow = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A table for a person or a program.

    Attributes
    ----------
    columns : tuple of str
        The keys worth a column in text, in order; rows may hold more.
    rows : tuple of dict
        One per line. Money and quantities are text, exactly as recorded; shares of equity are text in per cent.
    empty : str
        Text for an empty table.
    session : date or None
        D, where the table belongs to one.
    facts : mapping
        Facts about the whole table.
    """

    columns: tuple[str, ...]
    rows: tuple[ViewRow, ...]
    empty: str
    session: date | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def newest_session(ledger: Ledger) -> date | None:
    """Return the newest session that any job ran for, or None on a fresh ledger."""
    newest = ledger.value("SELECT max(session) FROM job_runs")
    return date.fromisoformat(newest) if isinstance(newest, str) else None


def neighbours(ledger: Ledger, session: date) -> tuple[date | None, date | None]:
    """Return the recorded sessions just before and just after `session`."""
    day = session.isoformat()
    before = ledger.value("SELECT max(session) FROM job_runs WHERE session < ?", (day,))
    after = ledger.value("SELECT min(session) FROM job_runs WHERE session > ?", (day,))
    return (date.fromisoformat(before) if isinstance(before, str) else None, date.fromisoformat(after) if isinstance(after, str) else None)


def percent(share: float) -> str:
    """A fraction as signed per cent with two decimals."""
    return f"{share:+.2%}"


def fact(section: str, name: str, value: object) -> ViewRow:
    """One line of a table that lists facts by section."""
    return {"section": section, "fact": name, "value": "" if value is None else str(value)}
