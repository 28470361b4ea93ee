"""Activities: what the broker booked on the account, each counted once whatever is read again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from appliance.ledger import values
from appliance.ledger.database import Ledger
from appliance.ledger.values import Row
from execution.brokers.base import Activity


def book(ledger: Ledger, activities: Iterable[Activity], at: datetime) -> int:
    """Record the activities that are new; return how many."""
    added = 0
    with ledger.transaction():
        for item in activities:
            added += ledger.execute(
                "INSERT INTO activities (id, kind, symbol, day, at, quantity, price, net_amount, side, order_id,"
                " description, booked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING",
                (
                    item.id,
                    item.kind,
                    item.symbol,
                    item.day.isoformat(),
                    values.stamp(item.at) if item.at else None,
                    values.amount(item.quantity),
                    values.amount(item.price),
                    values.amount(item.net_amount),
                    item.side,
                    item.order_id,
                    item.description,
                    values.stamp(at),
                ),
            )
    return added


def booked_ids(ledger: Ledger, first: date) -> frozenset[str]:
    """Return the ids of the booked activities of the days from `first` on."""
    return frozenset(values.text(row, "id") for row in ledger.rows("SELECT id FROM activities WHERE day >= ?", (first.isoformat(),)))


def since(ledger: Ledger, first: date) -> tuple[Activity, ...]:
    """Return the booked activities of the days from `first` on, by day and id."""
    found = ledger.rows("SELECT * FROM activities WHERE day >= ? ORDER BY day, at, id", (first.isoformat(),))
    return tuple(_activity(row) for row in found)


def _activity(row: Row) -> Activity:
    return Activity(
        id=values.text(row, "id"),
        kind=values.text(row, "kind"),
        symbol=values.text(row, "symbol"),
        day=values.day(row, "day"),
        at=values.optional_instant(row, "at"),
        quantity=values.optional_number(row, "quantity"),
        price=values.optional_number(row, "price"),
        net_amount=values.number(row, "net_amount"),
        side=values.text(row, "side"),
        order_id=values.text(row, "order_id"),
        description=values.text(row, "description"),
    )
