"""The ledger's copy of broker orders: the latest report of each order, ours and foreign."""

from datetime import datetime

from appliance.ledger.database import Ledger, columns_of
from execution.orders import BrokerOrder

ORDERS = "SELECT *, tif AS time_in_force FROM broker_orders"
CHANGING = ("status", "raw_status", "quantity", "filled_quantity", "filled_average_price", "limit_price", "updated_at", "seen_at")
RENEW = "ON CONFLICT (id) DO UPDATE SET " + ", ".join(f"{column} = excluded.{column}" for column in CHANGING)


def save(ledger: Ledger, order: BrokerOrder, at: datetime) -> None:
    """Record the latest report of one order; it is foreign when no intent of ours has its client order id."""
    columns = columns_of(order)
    columns["tif"] = columns.pop("time_in_force")
    with ledger.transaction():
        ours = ledger.value("SELECT 1 FROM intents WHERE client_order_id = ?", (order.client_order_id,))
        ledger.insert("broker_orders", {**columns, "is_foreign": ours is None, "seen_at": at}, conflict=RENEW)


def of_client(ledger: Ledger, client_order_id: str) -> tuple[BrokerOrder, ...]:
    """Return every order that the broker reported under this client order id: one, unless something is very wrong."""
    return tuple(ledger.read(BrokerOrder, f"{ORDERS} WHERE client_order_id = ? ORDER BY submitted_at, id", (client_order_id,)))


def foreign(ledger: Ledger) -> tuple[BrokerOrder, ...]:
    """Return the orders that are not ours, oldest first."""
    return tuple(ledger.read(BrokerOrder, f"{ORDERS} WHERE is_foreign = 1 ORDER BY submitted_at, id"))


def since(ledger: Ledger, first: datetime) -> tuple[BrokerOrder, ...]:
    """Return the orders submitted at or after `first`, oldest first."""
    return tuple(ledger.read(BrokerOrder, f"{ORDERS} WHERE submitted_at >= ? ORDER BY submitted_at, id", (first,)))
