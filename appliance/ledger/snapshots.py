"""Snapshots: account and positions as agreed with the broker; the latest is what the next reconcile starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from appliance.ledger import values
from appliance.ledger.database import Ledger
from appliance.ledger.values import Row
from execution.brokers.base import Account, Position


class Phase(StrEnum):
    """When in the session a snapshot was taken."""

    OPEN = "open"
    CONFIRM = "confirm"
    CLOSE = "close"


@dataclass(frozen=True)
class Snapshot:
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
    positions: tuple[Position, ...]

    @property
    def when(self) -> str:
        """Of which phase of which session it is."""
        return f"{self.phase.value} of {self.session}"

    @property
    def values(self) -> tuple[Decimal, ...] | None:
        """What each holding is worth in USD, negative for a short one; None when a price is missing."""
        priced = [held.quantity * held.current_price for held in self.positions if held.current_price is not None]
        return tuple(priced) if len(priced) == len(self.positions) else None


def save(ledger: Ledger, session: date, phase: Phase, account: Account, positions: Sequence[Position], at: datetime) -> None:
    """Record a snapshot, replacing an earlier one of the same session and phase."""
    where = (session.isoformat(), phase.value)
    with ledger.transaction():
        ledger.execute("DELETE FROM positions WHERE session = ? AND phase = ?", where)
        ledger.execute("DELETE FROM accounts WHERE session = ? AND phase = ?", where)
        ledger.execute(
            "INSERT INTO accounts (session, phase, account, account_id, status, cash, equity, last_equity,"
            " buying_power, multiplier, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *where,
                account.number,
                account.id,
                account.status,
                values.amount(account.cash),
                values.amount(account.equity),
                values.amount(account.last_equity),
                values.amount(account.buying_power),
                values.amount(account.multiplier),
                values.stamp(at),
            ),
        )
        ledger.execute_many(
            "INSERT INTO positions (session, phase, symbol, quantity, average_price, current_price) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    *where,
                    held.symbol,
                    values.amount(held.quantity),
                    values.amount(held.average_entry_price),
                    values.amount(held.current_price),
                )
                for held in positions
            ],
        )


def latest(ledger: Ledger) -> Snapshot | None:
    """Return the newest snapshot, or None on a fresh ledger."""
    row = ledger.row("SELECT * FROM accounts ORDER BY at DESC LIMIT 1")
    return None if row is None else _snapshot(ledger, row)


def find(ledger: Ledger, session: date, phase: Phase) -> Snapshot | None:
    """Return one snapshot, or None."""
    row = ledger.row("SELECT * FROM accounts WHERE session = ? AND phase = ?", (session.isoformat(), phase.value))
    return None if row is None else _snapshot(ledger, row)


def first(ledger: Ledger) -> Snapshot | None:
    """Return the oldest snapshot: where the ledger's book begins."""
    row = ledger.row("SELECT * FROM accounts ORDER BY at LIMIT 1")
    return None if row is None else _snapshot(ledger, row)


def _snapshot(ledger: Ledger, row: Row) -> Snapshot:
    session, phase = values.day(row, "session"), Phase(values.text(row, "phase"))
    held = ledger.rows("SELECT * FROM positions WHERE session = ? AND phase = ? ORDER BY symbol", (session.isoformat(), phase.value))
    return Snapshot(
        session=session,
        phase=phase,
        at=values.instant(row, "at"),
        account=values.text(row, "account"),
        account_id=values.text(row, "account_id"),
        status=values.text(row, "status"),
        cash=values.number(row, "cash"),
        equity=values.number(row, "equity"),
        last_equity=values.number(row, "last_equity"),
        buying_power=values.number(row, "buying_power"),
        multiplier=values.number(row, "multiplier"),
        positions=tuple(
            Position(
                symbol=values.text(item, "symbol"),
                quantity=values.number(item, "quantity"),
                average_entry_price=values.number(item, "average_price"),
                current_price=values.optional_number(item, "current_price"),
            )
            for item in held
        ),
    )
