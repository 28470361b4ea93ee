"""The ledger's executions: quantity and price of each fill, keyed by the broker's activity id so that replaying changes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from appliance.ledger.database import Ledger, columns_of
from execution.orders import Fill
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
            existing = find(ledger, item.fill.id)
            if existing is None:
                _insert(ledger, item)
                added += 1
            elif existing.fill != item.fill:
                raise InvariantBroken("a fill changed after it was booked", where=item.fill.id)
    return added


def _insert(ledger: Ledger, item: BookedFill) -> None:
    ledger.insert("fills", {**columns_of(item.fill), "session": item.session, "client_order_id": item.client_order_id})


def find(ledger: Ledger, fill_id: str) -> BookedFill | None:
    """Return the fill of this activity id, or None."""
    return ledger.first(BookedFill, "SELECT * FROM fills WHERE id = ?", (fill_id,))


def of_session(ledger: Ledger, session: date) -> tuple[BookedFill, ...]:
    """Return the session's fills, oldest first."""
    return since(ledger, session, session)


def since(ledger: Ledger, first: date, last: date) -> tuple[BookedFill, ...]:
    """Return the fills of the sessions in the closed interval, oldest first."""
    query = "SELECT * FROM fills WHERE session BETWEEN ? AND ? ORDER BY session, at, id"
    return tuple(ledger.read(BookedFill, query, (first, last)))


def average_prices(filled: Iterable[tuple[str, Decimal, Decimal]]) -> dict[str, Decimal]:
    """Return the average price in USD by client order id, of fills (client order id, shares, price)."""
    totals: dict[str, tuple[Decimal, Decimal]] = {}
    for client_order_id, quantity, price in filled:
        shares, value = totals.get(client_order_id, (Decimal(0), Decimal(0)))
        totals[client_order_id] = shares + quantity, value + quantity * price
    return {key: value / shares for key, (shares, value) in totals.items() if shares}


def quantity_by_order(ledger: Ledger) -> dict[str, Decimal]:
    """Return the booked shares of every broker order that has a fill."""
    total: dict[str, Decimal] = {}
    for order_id, quantity in ledger.read(tuple[str, Decimal], "SELECT order_id, quantity FROM fills"):
        total[order_id] = total.get(order_id, Decimal(0)) + quantity
    return total
