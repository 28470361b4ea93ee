"""Scores: what a sleeve said about each symbol, as it left the scoring job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from appliance.ledger import values
from appliance.ledger.database import Ledger


@dataclass(frozen=True)
class ScoreRow:
    """One symbol's score; `rank` 1 is the highest, `z` is standardised over the cross-section."""

    asof: date
    symbol: str
    sleeve: str
    score: float
    rank: int
    z: float
    source: str


def save(ledger: Ledger, asof: date, sleeve: str, rows: Sequence[ScoreRow]) -> None:
    """Record the scores of `asof`, replacing an earlier set: scoring again before the plan is frozen is allowed."""
    with ledger.transaction():
        ledger.execute("DELETE FROM scores WHERE asof = ? AND sleeve = ?", (asof.isoformat(), sleeve))
        ledger.execute_many(
            "INSERT INTO scores (asof, sleeve, symbol, score, rank, z, source) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(asof.isoformat(), sleeve, r.symbol, r.score, r.rank, r.z, r.source) for r in rows],
        )


def load(ledger: Ledger, asof: date, sleeve: str) -> tuple[ScoreRow, ...]:
    """Return the scores of `asof`, best rank first; empty when nothing was scored."""
    found = ledger.rows("SELECT * FROM scores WHERE asof = ? AND sleeve = ? ORDER BY rank, symbol", (asof.isoformat(), sleeve))
    return tuple(
        ScoreRow(
            asof=asof,
            symbol=values.text(row, "symbol"),
            sleeve=sleeve,
            score=values.real(row, "score"),
            rank=values.integer(row, "rank"),
            z=values.real(row, "z"),
            source=values.text(row, "source"),
        )
        for row in found
    )


def latest_asof(ledger: Ledger, sleeve: str) -> date | None:
    """Return the last session that was scored, or None."""
    found = ledger.value("SELECT max(asof) FROM scores WHERE sleeve = ?", (sleeve,))
    return date.fromisoformat(found) if isinstance(found, str) else None
