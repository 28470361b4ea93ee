"""What the ledger's text columns hold, read back as the values they were."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from appliance.ledger.database import Value
from signals.errors import InvariantBroken, LedgerUnusable
from signals.text.wording import utc_words

Row = dict[str, Value]


def text(row: Row, column: str) -> str:
    """A NOT NULL text column."""
    found = row[column]
    if not isinstance(found, str):
        raise LedgerUnusable(f"column {column} holds {found!r}, not text", fix="Restore the last backup")
    return found


def integer(row: Row, column: str) -> int:
    """A NOT NULL integer column."""
    found = row[column]
    if not isinstance(found, int):
        raise LedgerUnusable(f"column {column} holds {found!r}, not an integer", fix="Restore the last backup")
    return found


def real(row: Row, column: str) -> float:
    """A NOT NULL real column."""
    found = row[column]
    if not isinstance(found, (int, float)):
        raise LedgerUnusable(f"column {column} holds {found!r}, not a number", fix="Restore the last backup")
    return float(found)


def optional_text(row: Row, column: str) -> str | None:
    """A text column that may be null."""
    return None if row[column] is None else text(row, column)


def number(row: Row, column: str) -> Decimal:
    """A NOT NULL decimal column."""
    return Decimal(text(row, column))


def optional_number(row: Row, column: str) -> Decimal | None:
    """A decimal column that may be null."""
    return None if row[column] is None else number(row, column)


def instant(row: Row, column: str) -> datetime:
    """A NOT NULL instant, in UTC."""
    return datetime.fromisoformat(text(row, column)).astimezone(UTC)


def optional_instant(row: Row, column: str) -> datetime | None:
    """An instant that may be null, in UTC."""
    return None if row[column] is None else instant(row, column)


def day(row: Row, column: str) -> date:
    """A NOT NULL session or date."""
    return date.fromisoformat(text(row, column))


def stamp(at: datetime) -> str:
    """An instant as the ledger writes it; raise `InvariantBroken` for one without a zone."""
    if at.tzinfo is None:
        raise InvariantBroken("an instant without a time zone", where=utc_words(at))
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def amount(value: Decimal | None) -> str | None:
    """A decimal as the ledger writes it, without an exponent; raise `InvariantBroken` for NaN or infinity."""
    if value is None:
        return None
    if not value.is_finite():
        raise InvariantBroken("a number in the ledger is finite", where=str(value))
    return format(value, "f")
