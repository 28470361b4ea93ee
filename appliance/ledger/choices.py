"""A person's decisions about positions that predate the device: adopted into its book, closed by it, or kept out of it."""

import json
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from appliance.ledger.database import Ledger

KEY = "foreign_positions"


class Choice(StrEnum):
    """The decision on a name."""

    ADOPTED = "adopted"
    KEPT = "kept"
    FLATTENED = "flattened"


def decide(ledger: Ledger, symbols: Iterable[str], choice: Choice, by: str, at: datetime) -> None:
    """Record the choice for each symbol, in place of an earlier one."""
    rows = _rows(ledger) | {s: {"choice": choice.value, "by": by, "at": at.isoformat()} for s in symbols}
    ledger.write_meta(KEY, json.dumps(rows, sort_keys=True))


def chosen(ledger: Ledger, choice: Choice) -> frozenset[str]:
    """Return the symbols with this choice."""
    return frozenset(symbol for symbol, row in _rows(ledger).items() if row["choice"] == choice.value)


def _rows(ledger: Ledger) -> dict[str, dict[str, str]]:
    content = ledger.read_meta(KEY)
    return json.loads(content) if content else {}
