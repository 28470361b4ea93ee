"""The ledger's account snapshots: cash and positions as agreed with the broker, one per session and phase."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from appliance.ledger.database import Ledger, columns_of
from appliance.ledger.values import Storable
from execution.brokers.base import Account, Position

MULTIPLIER = "accepted_multiplier"
FIGURES = ("status", "cash", "equity", "last_equity", "buying_power", "multiplier")


class Phase(StrEnum):
    """When in the session a snapshot was taken."""

    OPEN = "open"
    CONFIRM = "confirm"
    CLOSE = "close"


@dataclass(frozen=True)
class AccountSnapshot:
    """Account figures and holdings at one instant, both sides agreed."""

    session: date
    phase: Phase
    at: datetime
    account: str
    account_id: str
    status: str
    cash: Decimal
    equity: Decimal
    last_equity: Decimal
    buying_power: Decimal
    multiplier: Decimal
    positions: tuple[Position, ...] = ()

    @property
    def when(self) -> str:
        """Of which phase of which session it is."""
        return f"{self.phase.value} of {self.session}"

    @property
    def values(self) -> tuple[Decimal, ...] | None:
        """Value of each holding in USD, negative for a short one; None when a price is missing."""
        priced = [held.quantity * held.current_price for held in self.positions if held.current_price is not None]
        return tuple(priced) if len(priced) == len(self.positions) else None


def save(ledger: Ledger, session: date, phase: Phase, account: Account, positions: Sequence[Position], at: datetime) -> None:
    """Record a snapshot, replacing an earlier one of the same session and phase."""
    where: dict[str, Storable] = {"session": session, "phase": phase}
    figures = columns_of(account)
    with ledger.transaction():
        for table in ("positions", "accounts"):
            ledger.execute(f"DELETE FROM {table} WHERE session = ? AND phase = ?", (session, phase))
        ledger.insert(
            "accounts",
            {**where, "account": account.number, "account_id": account.id, "at": at, **{name: figures[name] for name in FIGURES}},
        )
        ledger.insert_many(
            "positions",
            [
                {
                    **where,
                    "symbol": held.symbol,
                    "quantity": held.quantity,
                    "average_price": held.average_entry_price,
                    "current_price": held.current_price,
                }
                for held in positions
            ],
        )


def latest(ledger: Ledger) -> AccountSnapshot | None:
    """Return the newest snapshot, or None on a fresh ledger."""
    return _first(ledger, "ORDER BY at DESC LIMIT 1")


def find(ledger: Ledger, session: date, phase: Phase) -> AccountSnapshot | None:
    """Return one snapshot, or None."""
    return _first(ledger, "WHERE session = ? AND phase = ?", session, phase)


def first(ledger: Ledger) -> AccountSnapshot | None:
    """Return the oldest snapshot: where the ledger's book begins."""
    return _first(ledger, "ORDER BY at LIMIT 1")


def accept_multiplier(ledger: Ledger, multiplier: Decimal) -> None:
    """Record the account's margin multiplier as the one that a person accepted."""
    ledger.write_meta(MULTIPLIER, str(multiplier))


def accepted(ledger: Ledger) -> AccountSnapshot | None:
    """Return the oldest snapshot, with the margin multiplier that a person accepted last."""
    found, multiplier = first(ledger), ledger.read_meta(MULTIPLIER)
    return replace(found, multiplier=Decimal(multiplier)) if found is not None and multiplier else found


def _first(ledger: Ledger, which: str, *values: Storable) -> AccountSnapshot | None:
    found = ledger.first(AccountSnapshot, f"SELECT * FROM accounts {which}", values)
    if found is None:
        return None
    query = "SELECT *, average_price AS average_entry_price FROM positions WHERE session = ? AND phase = ? ORDER BY symbol"
    return replace(found, positions=tuple(ledger.read(Position, query, (found.session, found.phase))))
