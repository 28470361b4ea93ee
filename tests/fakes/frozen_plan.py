"""A frozen plan of one name: a position is closed, and the order that turns it waits for that."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime
from decimal import Decimal

from execution.orders import Intent, IntentKey, OrderType, Plan, Provenance, Rounding, Side, TimeInForce

D, ASOF = date(2024, 3, 12), date(2024, 3, 11)
AT = datetime(2024, 3, 12, 12, 0, tzinfo=UTC)
KEY = IntentKey("PA1", D, "main", "AAPL")
CLOSING = Intent(KEY, Side.SELL, Decimal("12"), OrderType.MARKET, TimeInForce.OPG, Decimal("171.5100"), reduces=True)
OPENING = Intent(
    dataclasses.replace(KEY, slice=1),
    Side.SELL,
    Decimal(3),
    OrderType.LIMIT,
    TimeInForce.DAY,
    Decimal("171.5100"),
    limit_price=Decimal("170.25"),
    waits_for=KEY,
)
PLAN = Plan(
    D,
    ASOF,
    "PA1",
    Decimal("100000.10"),
    (CLOSING, OPENING),
    Provenance("b", "s", "c", "v"),
    (("Z", "ASSET", "gone"),),
    Rounding(0.02, 0.01, 0.015, 0.018, ("Y",)),
    {"AAPL": Decimal("171.5100")},
    {"AAPL": Decimal(10**9)},
    {"AAPL": Decimal("-3.400000"), "MSFT": Decimal("0.250000")},
)
CID = KEY.client_order_id
