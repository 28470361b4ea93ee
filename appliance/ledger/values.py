"""Conversion between the ledger's column text and typed values."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeVar

from signals.errors import InvariantBroken
from signals.text.wording import utc_words

Value = str | int | float | bytes | None
Storable = Value | Decimal | date | Mapping[str, object]


T = TypeVar("T")


def known(row: T | None, what: str, name: str) -> T:
    """Return a row that must exist; raise `InvariantBroken` where it does not."""
    if row is None:
        raise InvariantBroken(f"no such {what} in the ledger", where=name)
    return row


def stored(value: object) -> Value:
    """Return the ledger's form of a value that SQLite has no type for; raise `InvariantBroken` for any other."""
    if isinstance(value, Decimal):
        return amount(value)
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return json.dumps(dict(value), default=str, sort_keys=True)
    raise InvariantBroken("the ledger has no column for such a value", where=str(value)[:80])


def stamp(at: datetime) -> str:
    """An instant as the ledger writes it; raise `InvariantBroken` for one without a zone."""
    if at.tzinfo is None:
        raise InvariantBroken("an instant without a time zone", where=utc_words(at))
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def amount(value: Decimal) -> str:
    """A decimal as the ledger writes it, without an exponent; raise `InvariantBroken` for NaN or infinity."""
    if not value.is_finite():
        raise InvariantBroken("a number in the ledger is finite", where=str(value))
    return format(value, "f")
