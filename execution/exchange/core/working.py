"""Working orders: how they meet an offer, fill and end, and how that moves the other orders of their group."""

import hashlib
from dataclasses import replace
from datetime import datetime
from decimal import ROUND_DOWN, Decimal

from execution.exchange.core.accounts import settle
from execution.exchange.core.venue import ExchangeVenue
from execution.exchange.orders.matching import Offer, match
from execution.exchange.orders.order import OCO, Order
from execution.orders import Fill, OrderStatus
from signals.market.sessions import NEW_YORK

S = OrderStatus
SHARE_STEP = Decimal("0.000000001")
ENDED = {S.CANCELED: "canceled", S.EXPIRED: "expired", S.REJECTED: "rejected"}


def meet(venue: ExchangeVenue, order: Order, offer: Offer, *, in_full: bool = False, most: Decimal | None = None) -> Decimal:
    """Match one order with one offer, book what comes of it and return the shares filled.

    Parameters
    ----------
    in_full : bool
        All of it or nothing.
    most : Decimal, optional
        Shares on offer; an order by notional takes all that it wants or nothing.
    """
    outcome = match(order, offer)
    if outcome.order is not order:
        venue.book.put(outcome.order)
    if outcome.price is None:
        return Decimal(0)
    wanted = outcome.order.remaining
    if outcome.order.notional is not None:
        wanted, in_full = (outcome.order.notional / outcome.price).quantize(SHARE_STEP, ROUND_DOWN), True
    quantity = wanted if most is None else min(wanted, most)
    if in_full and quantity < wanted:
        return Decimal(0)
    if not in_full:
        quantity = _drawn(venue, outcome.order, quantity)
    if quantity > 0:
        _fill(venue, outcome.order, quantity, outcome.price)
    return quantity


def _fill(venue: ExchangeVenue, order: Order, quantity: Decimal, price: Decimal) -> None:
    at = venue.book.stamp()
    filled = venue.book.put(order.filled(quantity, price, at))
    fill = Fill(entry_id(venue, at), order.id, order.symbol, order.side, quantity, price, at)
    settle(venue.book, fill, filled)
    venue.notify("fill" if filled.status is S.FILLED else "partial_fill", filled, venue.book.entries[-1])
    if filled.order_class:
        _tell_group(venue, filled)


def _tell_group(venue: ExchangeVenue, filled: Order) -> None:
    """Let held legs work once their entry is filled, and other exits ask for what this one has left."""
    others = [order for order in venue.book.group(filled) if order.id != filled.id and order.is_open]
    if filled.parent is None and filled.order_class != OCO:
        for leg in others if filled.status is S.FILLED else ():
            venue.notify("new", venue.book.put(leg.to(S.NEW, venue.book.stamp(), works_since=venue.now)))
        return
    for other in others:
        if filled.status is S.FILLED:
            end(venue, other, S.CANCELED)
        else:
            venue.book.put(replace(other, quantity=other.filled_quantity + filled.remaining))


def _drawn(venue: ExchangeVenue, order: Order, quantity: Decimal) -> Decimal:
    """Whole or, by the seeded chance of the paper account, a part in whole shares."""
    chance = venue.config.partial_fill_probability
    if not chance or quantity <= 1:
        return quantity
    text = f"{venue.book.seed}|partial|{order.id}|{order.filled_quantity}"
    digest = hashlib.sha256(text.encode()).digest()
    first, second = (int.from_bytes(digest[i : i + 8], "big") / 2**64 for i in (0, 8))
    if first >= chance:
        return quantity
    return max(Decimal(1), (quantity * Decimal(str(second))).quantize(Decimal(1), ROUND_DOWN))


def entry_id(venue: ExchangeVenue, at: datetime) -> str:
    """Return an activity id as Alpaca forms it: New York time to the millisecond, then a UUID."""
    local = at.astimezone(NEW_YORK)
    return f"{local:%Y%m%d%H%M%S}{local.microsecond // 1000:03d}::{venue.book.new_id('entry')}"


def end(venue: ExchangeVenue, order: Order, status: OrderStatus) -> Order:
    """End an order without a fill; one that has ended already stays as it is."""
    left = venue.book.orders[order.id]
    if not left.is_open:
        return left
    ended = venue.book.put(left.to(status, venue.book.stamp()))
    venue.notify(ENDED[status], ended)
    if ended.order_class and status is not S.EXPIRED:
        for other in venue.book.group(ended):
            end(venue, other, status)
    return ended
