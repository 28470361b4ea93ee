"""Fills: executions, keyed by the broker's activity id so that replaying them changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from appliance.ledger import values
from appliance.ledger.database import Ledger
from appliance.ledger.values import Row
from execution.fills import Fill
from execution.orders import Side
from signals.errors import InvariantBroken


@dataclass(frozen=True)
class BookedFill:
    """A fill with the session that it counts for and our id of its order ('' when the order is not ours)."""

    fill: Fill
    session: date
    client_order_id: str


def add(ledger: Ledger, booked: Iterable[BookedFill]) -> int:
    """Record the fills that are new; return how many. One that differs from its record raises `InvariantBroken`."""
    added = 0
    with ledger.transaction():
        for item in booked:
            standing = find(ledger, item.fill.id)
            if standing is None:
                _insert(ledger, item)
                added += 1
            elif standing.fill != item.fill:
                raise InvariantBroken("a fill changed after it was booked", where=item.fill.id)
    return added


def _insert(ledger: Ledger, item: BookedFill) -> None:
    fill = item.fill
    ledger.execute(
        "INSERT INTO fills (id, order_id, client_order_id, session, symbol, side, quantity, price, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            fill.id,
            fill.order_id,
            item.client_order_id,
            item.session.isoformat(),
            fill.symbol,
            fill.side.value,
            values.amount(fill.quantity),
            values.amount(fill.price),
            values.stamp(fill.at),
        ),
    )


def find(ledger: Ledger, fill_id: str) -> BookedFill | None:
    """Return the fill of this activity id, or None."""
    row = ledger.row("SELECT * FROM fills WHERE id = ?", (fill_id,))
    return None if row is None else _booked(row)


def of_session(ledger: Ledger, session: date) -> tuple[BookedFill, ...]:
    """Return the session's fills, oldest first."""
    return since(ledger, session, session)


def since(ledger: Ledger, first: date, last: date) -> tuple[BookedFill, ...]:
    """Return the fills of the sessions in the closed interval, oldest first."""
    found = ledger.rows("SELECT * FROM fills WHERE session BETWEEN ? AND ? ORDER BY session, at, id", (first.isoformat(), last.isoformat()))
    return tuple(_booked(row) for row in found)


def quantity_by_order(ledger: Ledger) -> dict[str, Decimal]:
    """Return the booked shares of every broker order that has a fill."""
    total: dict[str, Decimal] = {}
    for row in ledger.rows("SELECT order_id, quantity FROM fills"):
        order_id = values.text(row, "order_id")
        total[order_id] = total.get(order_id, Decimal(0)) + values.number(row, "quantity")
    return total


def _booked(row: Row) -> BookedFill:
    return BookedFill(
        fill=Fill(
            id=values.text(row, "id"),
            order_id=values.text(row, "order_id"),
            symbol=values.text(row, "symbol"),
            side=Side(values.text(row, "side")),
            quantity=values.number(row, "quantity"),
            price=values.number(row, "price"),
            at=values.instant(row, "at"),
        ),
        session=values.day(row, "session"),
        client_order_id=values.text(row, "client_order_id"),
    )
