"""An order and its seventeen-state machine.

Invariants
----------
1. A status changes only along `LEGAL`; anything else raises `InvariantBroken`.
2. The filled quantity never falls and never exceeds the quantity.
3. A terminal order never changes again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from execution.orders import OrderStatus, OrderType, Side, TimeInForce
from signals.errors import InvariantBroken

S = OrderStatus
ENDINGS = frozenset({S.FILLED, S.CANCELED, S.EXPIRED})
LEGAL: dict[OrderStatus, frozenset[OrderStatus]] = {
    S.PENDING_NEW: frozenset({S.NEW, S.ACCEPTED, S.REJECTED, S.CANCELED}),
    S.ACCEPTED: frozenset({S.NEW, S.PENDING_NEW, S.PENDING_CANCEL, S.CANCELED, S.EXPIRED, S.REJECTED, S.HELD}),
    S.ACCEPTED_FOR_BIDDING: frozenset({S.NEW, S.CANCELED, S.EXPIRED, S.REJECTED}),
    S.HELD: frozenset({S.NEW, S.CANCELED, S.EXPIRED, S.PENDING_CANCEL, S.REJECTED}),
    S.NEW: ENDINGS
    | {
        S.PARTIALLY_FILLED,
        S.PENDING_CANCEL,
        S.PENDING_REPLACE,
        S.REPLACED,
        S.DONE_FOR_DAY,
        S.STOPPED,
        S.SUSPENDED,
        S.CALCULATED,
        S.REJECTED,
        S.HELD,
    },
    S.PARTIALLY_FILLED: ENDINGS
    | {S.PARTIALLY_FILLED, S.PENDING_CANCEL, S.PENDING_REPLACE, S.REPLACED, S.DONE_FOR_DAY, S.STOPPED, S.SUSPENDED, S.CALCULATED},
    S.DONE_FOR_DAY: frozenset({S.NEW, S.PARTIALLY_FILLED, S.CANCELED, S.EXPIRED, S.PENDING_CANCEL}),
    S.PENDING_CANCEL: frozenset({S.CANCELED, S.FILLED, S.PARTIALLY_FILLED, S.NEW, S.EXPIRED}),
    S.PENDING_REPLACE: frozenset({S.REPLACED, S.NEW, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED}),
    S.STOPPED: ENDINGS | {S.PARTIALLY_FILLED},
    S.SUSPENDED: ENDINGS | {S.NEW, S.PARTIALLY_FILLED},
    S.CALCULATED: ENDINGS,
    S.FILLED: frozenset(),
    S.CANCELED: frozenset(),
    S.EXPIRED: frozenset(),
    S.REPLACED: frozenset(),
    S.REJECTED: frozenset(),
}
BRACKET, OTO, OCO = "bracket", "oto", "oco"
STAMPED = {S.FILLED: "filled_at", S.CANCELED: "canceled_at", S.EXPIRED: "expired_at", S.REJECTED: "failed_at", S.REPLACED: "replaced_at"}


@dataclass(frozen=True, slots=True)
class Order:
    """An order at the venue.

    Attributes
    ----------
    seq : int
        Position in the order of arrival, over all orders that ever were.
    quantity : Decimal or None
        Shares; None for an order by notional until it is filled.
    session : date
        The session in which it is first due.
    filled_value : Decimal
        Sum over fills of quantity x price; USD.
    hold_price : Decimal
        USD per share held against buying power while an order that opens a position is open.
    is_triggered : bool
        The stop has been reached: the order now works as a market or limit order.
    order_class, parent : str, str or None
        `bracket`, `oto` or `oco` of an order of a group, and the group's first order if it is a leg.
    works_since : datetime or None
        When a leg that was held began to work.
    high_water : Decimal or None
        Best price since a trailing stop began to follow.
    """

    id: str
    seq: int
    client_order_id: str
    asset_id: str
    symbol: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal | None
    notional: Decimal | None
    status: OrderStatus
    session: date
    created_at: datetime
    updated_at: datetime
    submitted_at: datetime
    position_intent: str
    hold_price: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    high_water: Decimal | None = None
    extended_hours: bool = False
    is_triggered: bool = False
    filled_quantity: Decimal = Decimal(0)
    filled_value: Decimal = Decimal(0)
    filled_at: datetime | None = None
    expired_at: datetime | None = None
    expires_at: datetime | None = None
    canceled_at: datetime | None = None
    failed_at: datetime | None = None
    replaced_at: datetime | None = None
    replaced_by: str | None = None
    replaces: str | None = None
    order_class: str = ""
    parent: str | None = None
    works_since: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the order may still fill."""
        return not self.status.is_terminal

    @property
    def root(self) -> str:
        """Id of the group's first order; its own where it is that, or in none."""
        return self.parent or self.id

    @property
    def in_market_since(self) -> datetime:
        """From when on the market may have reached it."""
        return self.works_since or self.submitted_at

    @property
    def opens(self) -> bool:
        """Whether it opens or enlarges a position."""
        return self.position_intent.endswith("to_open")

    @property
    def remaining(self) -> Decimal:
        """Shares still to be filled; 0 for an order by notional, whose shares are not known yet."""
        return Decimal(0) if self.quantity is None else self.quantity - self.filled_quantity

    @property
    def reserved(self) -> Decimal:
        """Buying power that the order holds back, USD; 0 unless it is open and opens a position."""
        if not (self.is_open and self.opens):
            return Decimal(0)
        return self.remaining * self.hold_price if self.notional is None else self.notional

    @property
    def average_price(self) -> Decimal | None:
        """Mean price of the fills so far, USD, unrounded."""
        return self.filled_value / self.filled_quantity if self.filled_quantity else None

    def to(self, status: OrderStatus, at: datetime, **changes: Any) -> Order:
        """Return the order in `status`.

        Raises
        ------
        InvariantBroken
            The transition is not legal.
        """
        if status not in LEGAL[self.status]:
            raise InvariantBroken(f"an order cannot go from {self.status} to {status}", where=self.id)
        stamp: dict[str, Any] = {STAMPED[status]: at} if status in STAMPED else {}
        return replace(self, status=status, updated_at=at, **stamp, **changes)

    def filled(self, quantity: Decimal, price: Decimal, at: datetime) -> Order:
        """Return the order after one more fill."""
        total = self.filled_quantity + quantity
        ordered = self.quantity if self.quantity is not None else total
        if quantity <= 0 or total > ordered:
            raise InvariantBroken(f"a fill of {quantity} after {self.filled_quantity} of {ordered}", where=self.id)
        status = S.FILLED if total == ordered else S.PARTIALLY_FILLED
        value = self.filled_value + quantity * price
        return self.to(status, at, filled_quantity=total, filled_value=value)
