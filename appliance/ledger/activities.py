"""The ledger's dividends, interest, fees and transfers, as the broker reports them, each recorded once by its id."""

from collections.abc import Iterable
from datetime import date, datetime

from appliance.ledger.database import Ledger, columns_of
from execution.brokers.base import Activity


def book(ledger: Ledger, activities: Iterable[Activity], at: datetime) -> int:
    """Record the activities that are new; return how many."""
    with ledger.transaction():
        return sum(
            ledger.insert("activities", {**columns_of(item), "booked_at": at}, conflict="ON CONFLICT (id) DO NOTHING")
            for item in activities
        )


def booked_ids(ledger: Ledger, first: date) -> frozenset[str]:
    """Return the ids of the booked activities of the days from `first` on."""
    return frozenset(ledger.read(str, "SELECT id FROM activities WHERE day >= ?", (first,)))


def since(ledger: Ledger, first: date) -> tuple[Activity, ...]:
    """Return the booked activities of the days from `first` on, by day and id."""
    return tuple(ledger.read(Activity, "SELECT * FROM activities WHERE day >= ? ORDER BY day, at, id", (first,)))
