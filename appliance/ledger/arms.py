"""The ledger's draws: which arm each event drew in shadow, with what propensity, and what its trade would have made."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from appliance.ledger.database import Ledger, columns_of
from signals.events.arms import ARMS, drawn
from signals.files import sha256_of

SEED = "arm_seed"


@dataclass(frozen=True)
class DrawRow:
    """One event's draw; `exit`, `realised_r` and `known` are those of its trade, None while it is open."""

    asof: date
    symbol: str
    arm: int
    target: float
    size: float
    propensity: float
    seed: str
    at: datetime
    exit: str | None = None
    realised_r: float | None = None
    known: date | None = None


@dataclass(frozen=True, kw_only=True)
class DrawnEvent(DrawRow):
    """A draw, and what its event is."""

    kind: str
    third: str


def save(ledger: Ledger, events: Iterable[tuple[date, str]], at: datetime) -> None:
    """Draw for events that have not drawn."""
    with ledger.transaction():
        for asof, symbol in events:
            seed = seed_of(ledger, at)
            arm, propensity = drawn(seed, asof, symbol)
            row = DrawRow(asof, symbol, arm, ARMS[arm].target, ARMS[arm].size, propensity, seed, at)
            ledger.insert("draws", columns_of(row), conflict="ON CONFLICT DO NOTHING")


def seed_of(ledger: Ledger, at: datetime) -> str:
    """Return the seed of a ledger's draws; it is made at the first one and kept."""
    if (seed := ledger.read_meta(SEED)) is None:
        seed = sha256_of(f"{SEED} {at.timestamp()}".encode())[:16]
        ledger.write_meta(SEED, seed)
    return seed


def open_draws(ledger: Ledger) -> tuple[DrawRow, ...]:
    """Return the draws whose trade has not ended, oldest first."""
    return tuple(ledger.read(DrawRow, "SELECT * FROM draws WHERE exit IS NULL ORDER BY asof, symbol"))


def end(ledger: Ledger, asof: date, symbol: str, outcome: tuple[str, float | None, date | None]) -> None:
    """Record what became of a draw's trade, once: exit, R and the session at which it was known."""
    with ledger.transaction():
        ledger.execute("UPDATE draws SET exit = ?, realised_r = ?, known = ? WHERE asof = ? AND symbol = ?", (*outcome, asof, symbol))


def all_drawn(ledger: Ledger) -> tuple[DrawnEvent, ...]:
    """Return every draw with its event, oldest first."""
    query = "SELECT draws.*, kind, third FROM draws JOIN events USING (asof, symbol) ORDER BY asof, symbol"
    return tuple(ledger.read(DrawnEvent, query))
