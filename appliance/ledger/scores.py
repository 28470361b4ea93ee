"""The ledger's scores: each sleeve's score per symbol, as the scoring job produced it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from appliance.ledger.database import Ledger, columns_of

SHADOW = "% shadow"  # as `appliance.bundles.slots.Slot.name` names scores that are not traded


@dataclass(frozen=True)
class ScoreRow:
    """One symbol's score; `rank` 1 is the highest, `z` is standardised over the cross-section.

    `probability` is that of the event which the bundle's map is for; None where it has no map.
    """

    asof: date
    symbol: str
    sleeve: str
    score: float
    rank: int
    z: float
    source: str
    probability: float | None = None


def save(ledger: Ledger, asof: date, sleeve: str, rows: Sequence[ScoreRow]) -> None:
    """Record the scores of `asof`, replacing an earlier set: scoring again before the plan is frozen is allowed."""
    with ledger.transaction():
        ledger.execute("DELETE FROM scores WHERE asof = ? AND sleeve = ?", (asof, sleeve))
        ledger.insert_many("scores", [{**columns_of(row), "asof": asof, "sleeve": sleeve} for row in rows])


def load(ledger: Ledger, asof: date, sleeve: str) -> tuple[ScoreRow, ...]:
    """Return the scores of `asof`, best rank first; empty when nothing was scored."""
    return tuple(ledger.read(ScoreRow, "SELECT * FROM scores WHERE asof = ? AND sleeve = ? ORDER BY rank, symbol", (asof, sleeve)))


def first(ledger: Ledger, sleeve: str, source: str) -> date | None:
    """Return the first session that a bundle scored a name of; None where it has scored none."""
    return ledger.first(date, "SELECT asof FROM scores WHERE sleeve = ? AND source = ? ORDER BY asof LIMIT 1", (sleeve, source))


def probabilities(ledger: Ledger, asof: date) -> dict[str, dict[str, float]]:
    """Return what each sleeve that is not a shadow says of each symbol at `asof`, by symbol and sleeve; of those with a map."""
    rows = ledger.read(
        tuple[str, str, float],
        "SELECT symbol, sleeve, probability FROM scores WHERE asof = ? AND probability IS NOT NULL AND sleeve NOT LIKE ? ORDER BY sleeve",
        (asof, SHADOW),
    )
    found: dict[str, dict[str, float]] = {}
    for symbol, sleeve, probability in rows:
        found.setdefault(symbol, {})[sleeve] = probability
    return found
