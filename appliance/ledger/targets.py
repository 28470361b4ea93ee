"""Targets: what the book should hold at the open of a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from appliance.ledger import values
from appliance.ledger.database import Ledger


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
        ledger.execute("DELETE FROM targets WHERE session = ?", (session.isoformat(),))
        ledger.execute_many(
            "INSERT INTO targets (session, symbol, weight, current_weight, z, sector) VALUES (?, ?, ?, ?, ?, ?)",
            [(session.isoformat(), r.symbol, r.weight, r.current_weight, r.z, r.sector) for r in rows],
        )


def load(ledger: Ledger, session: date) -> tuple[TargetRow, ...]:
    """Return the targets of `session` by symbol; empty when there are none."""
    found = ledger.rows("SELECT * FROM targets WHERE session = ? ORDER BY symbol", (session.isoformat(),))
    return tuple(
        TargetRow(
            session=session,
            symbol=values.text(row, "symbol"),
            weight=values.real(row, "weight"),
            current_weight=values.real(row, "current_weight"),
            z=None if row["z"] is None else values.real(row, "z"),
            sector=values.text(row, "sector"),
        )
        for row in found
    )
