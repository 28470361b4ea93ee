"""Validates the fields of an order replacement. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from execution.exchange.orders.order import Order
from execution.exchange.protocol import refusals
from execution.exchange.protocol.draft import LEG_FIELDS, Draft, client_order_id, parse, refuse_unserved
from execution.exchange.protocol.refusals import RefusedByVenue
from signals.text.strict_json import Json, JsonObject

FIXED = (
    "symbol",
    "side",
    "type",
    "notional",
    "extended_hours",
    "order_class",
    "position_intent",
    *LEG_FIELDS,
    "trail_price",
    "trail_percent",
    "advanced_instructions",
)
CHANGEABLE = ("qty", "limit_price", "stop_price", "time_in_force")


def changed(order: Order, body: Mapping[str, Json]) -> Draft:
    """Return the draft of `order` with the changes of `body`; its quantity is what would still be to fill.

    Raises
    ------
    RefusedByVenue
        The order cannot be changed so, or nothing would change.
    """
    if order.notional is not None:
        raise RefusedByVenue(refusals.NOTIONAL_NOT_REPLACEABLE)
    refuse_unserved(body, *FIXED)
    wanted = {name: body[name] for name in (*CHANGEABLE, "trail") if body.get(name) is not None}
    if not wanted and not client_order_id(body):
        raise RefusedByVenue(refusals.NOTHING_TO_REPLACE)
    if order.order_class and not set(wanted) <= {"limit_price", "stop_price"}:
        raise RefusedByVenue(refusals.GROUP_FIXED, **{"class": order.order_class})
    trail = "trail_percent" if order.trail_percent is not None else "trail_price"
    fields: JsonObject = {
        "symbol": order.symbol,
        "side": order.side,
        "type": order.type,
        "time_in_force": order.time_in_force,
        "qty": order.quantity,
        "limit_price": order.limit_price,
        "extended_hours": order.extended_hours,
        "stop_price": None if order.trail_price or order.trail_percent else order.stop_price,
        "trail_price": order.trail_price,
        "trail_percent": order.trail_percent,
        "client_order_id": client_order_id(body),
    }
    fields |= {name if name != "trail" else trail: value for name, value in wanted.items()}
    draft = parse(fields)
    _check_quantity(order, draft)
    assert draft.quantity is not None
    return replace(draft, quantity=draft.quantity - order.filled_quantity)


def _check_quantity(order: Order, draft: Draft) -> None:
    assert order.quantity is not None and draft.quantity is not None
    if draft.quantity == order.quantity:
        return
    if order.quantity % 1 != 0 or draft.quantity % 1 != 0:
        raise RefusedByVenue(refusals.FRACTIONAL_QTY_FIXED)
    if draft.quantity <= order.filled_quantity:
        raise RefusedByVenue(refusals.QTY_BELOW_FILLED, filled_qty=str(order.filled_quantity))
