"""Broker orders: the broker's latest report of each order, ours and foreign."""

from __future__ import annotations

from datetime import datetime

from appliance.ledger import values
from appliance.ledger.database import Ledger
from appliance.ledger.values import Row
from execution.orders import BrokerOrder, OrderStatus, OrderType, Side, TimeInForce


def save(ledger: Ledger, order: BrokerOrder, at: datetime) -> None:
    """Record the latest report of one order; it is foreign when no intent of ours has its client order id."""
    with ledger.transaction():
        ledger.execute(
            "INSERT INTO broker_orders (id, client_order_id, symbol, side, type, tif, status, raw_status, quantity,"
            " filled_quantity, filled_average_price, limit_price, submitted_at, updated_at, is_foreign, seen_at)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,"
            " NOT EXISTS (SELECT 1 FROM intents WHERE client_order_id = ?2), ?15)"
            " ON CONFLICT (id) DO UPDATE SET status = excluded.status, raw_status = excluded.raw_status,"
            " quantity = excluded.quantity, filled_quantity = excluded.filled_quantity,"
            " filled_average_price = excluded.filled_average_price, limit_price = excluded.limit_price,"
            " updated_at = excluded.updated_at, seen_at = excluded.seen_at",
            (
                order.id,
                order.client_order_id,
                order.symbol,
                order.side.value,
                order.type.value,
                order.time_in_force.value,
                order.status.value,
                order.raw_status,
                values.amount(order.quantity),
                values.amount(order.filled_quantity),
                values.amount(order.filled_average_price),
                values.amount(order.limit_price),
                values.stamp(order.submitted_at),
                values.stamp(order.updated_at),
                values.stamp(at),
            ),
        )


def of_client(ledger: Ledger, client_order_id: str) -> tuple[BrokerOrder, ...]:
    """Return every order that the broker reported under this client order id: one, unless something is very wrong."""
    found = ledger.rows("SELECT * FROM broker_orders WHERE client_order_id = ? ORDER BY submitted_at, id", (client_order_id,))
    return tuple(_order(row) for row in found)


def foreign(ledger: Ledger) -> tuple[BrokerOrder, ...]:
    """Return the orders that are not ours, oldest first."""
    return tuple(_order(row) for row in ledger.rows("SELECT * FROM broker_orders WHERE is_foreign = 1 ORDER BY submitted_at, id"))


def since(ledger: Ledger, first: datetime) -> tuple[BrokerOrder, ...]:
    """Return the orders submitted at or after `first`, oldest first."""
    found = ledger.rows("SELECT * FROM broker_orders WHERE submitted_at >= ? ORDER BY submitted_at, id", (values.stamp(first),))
    return tuple(_order(row) for row in found)


def _order(row: Row) -> BrokerOrder:
    return BrokerOrder(
        id=values.text(row, "id"),
        client_order_id=values.text(row, "client_order_id"),
        symbol=values.text(row, "symbol"),
        side=Side(values.text(row, "side")),
        type=OrderType(values.text(row, "type")),
        time_in_force=TimeInForce(values.text(row, "tif")),
        status=OrderStatus(values.text(row, "status")),
        raw_status=values.text(row, "raw_status"),
        quantity=values.number(row, "quantity"),
        filled_quantity=values.number(row, "filled_quantity"),
        filled_average_price=values.optional_number(row, "filled_average_price"),
        limit_price=values.optional_number(row, "limit_price"),
        submitted_at=values.instant(row, "submitted_at"),
        updated_at=values.instant(row, "updated_at"),
    )
