"""The ledger's target weights: what the book should hold at the open of a session."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from appliance.ledger.database import Ledger, columns_of


@dataclass(frozen=True)
class TargetRow:
    """One symbol's target and what is held, both signed fractions of equity; `z` is None when it was not scored."""

    session: date
    symbol: str
    weight: float
    current_weight: float
    z: float | None
    sector: str = ""


def save(ledger: Ledger, session: date, rows: Sequence[TargetRow]) -> None:
    """Record the targets of `session`, replacing an earlier set: the frozen plan, not this, decides what is traded."""
    with ledger.transaction():
        ledger.execute("DELETE FROM targets WHERE session = ?", (session,))
        ledger.insert_many("targets", [{**columns_of(row), "session": session} for row in rows])


def load(ledger: Ledger, session: date) -> tuple[TargetRow, ...]:
    """Return the targets of `session` by symbol; empty when there are none."""
    return tuple(ledger.read(TargetRow, "SELECT * FROM targets WHERE session = ? ORDER BY symbol", (session,)))
