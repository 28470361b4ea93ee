"""Fills as the broker reports them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from execution.orders import Side

PRICE_STEP = Decimal("0.0001")
CENT = Decimal("0.01")
TICK, SUB_DOLLAR_TICK, DOLLAR = Decimal("0.01"), Decimal("0.0001"), Decimal(1)
"""Least price increments from 1 USD, and below it (Regulation NMS, rule 612)."""


@dataclass(frozen=True)
class Fill:
    """One execution.

    Attributes
    ----------
    id : str
        The broker's activity id: the same fill never counts twice.
    quantity : Decimal
        Shares, positive.
    price : Decimal
        USD, 4 decimals.
    """

    id: str
    order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    at: datetime

    @property
    def cash(self) -> Decimal:
        """Signed USD that the fill adds to the account, to the cent, half-even."""
        return (-self.side.sign * self.quantity * self.price).quantize(CENT, ROUND_HALF_EVEN)


def to_price(value: Decimal) -> Decimal:
    """Round a price to the 4 decimals at which fills are booked, half-even."""
    return value.quantize(PRICE_STEP, ROUND_HALF_EVEN)


def tick_of(price: Decimal) -> Decimal:
    """One tick at `price` USD as traded, USD."""
    return TICK if price >= DOLLAR else SUB_DOLLAR_TICK
