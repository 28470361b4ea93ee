"""The JSON body of an order request."""

from decimal import ROUND_DOWN, Decimal

from execution.orders import Intent

QUANTITY_STEP = Decimal("0.000000001")


def order_body(intent: Intent) -> dict[str, str | bool]:
    """Return the request body of an order; every number is a string, quantities cut off at nine decimals."""
    quantity = intent.quantity.quantize(QUANTITY_STEP, ROUND_DOWN).normalize()
    sent: dict[str, str | bool] = {
        "symbol": intent.key.symbol,
        "qty": format(quantity, "f"),
        "side": intent.side.value,
        "type": intent.type.value,
        "time_in_force": intent.time_in_force.value,
        "client_order_id": intent.key.client_order_id,
        "extended_hours": False,
    }
    if intent.limit_price is not None:
        sent["limit_price"] = format(intent.limit_price, "f")
    return sent
