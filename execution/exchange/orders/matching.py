"""Order matching against daily bars: when an order fills and at what price. Pure.

A session offers three moments at which something is known:

* OPEN: the opening print. Auction orders and queued orders meet it; nobody pays a spread.
* TOUCH: an order that arrives (or a name that resumes) during the session meets the newest known price, the open, plus
  or minus half the spread.
* CLOSE: the closing print and, for orders that have rested since before the open, the session's whole range. An order
  that arrived during the session sees the close only: the extremes may have been before it.

Within a range the price that is unfavourable to a stop is visited first: a trailing sell meets the low before the high
lifts its stop, and a stop-limit that was triggered inside the range is filled at its stop or, failing that, at the
close.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from execution.exchange.orders.order import Order
from execution.orders import OrderType, Side, TimeInForce, to_price

AUCTIONS = frozenset({TimeInForce.OPG, TimeInForce.CLS})


class Moment(StrEnum):
    """Kind of price at a moment."""

    OPEN = "open"
    TOUCH = "touch"
    CLOSE = "close"


@dataclass(frozen=True)
class Offer:
    """Prices that one order meets at a moment; USD.

    Attributes
    ----------
    price : Decimal
        The print.
    half_spread : Decimal
        Share of the price that a continuous order pays; 0 in an auction.
    low, high : Decimal
        Extremes that the order has lived through since the last moment; both are `price` where none are provable.
    """

    moment: Moment
    price: Decimal
    half_spread: Decimal
    low: Decimal
    high: Decimal

    def taken_by(self, side: Side) -> Decimal:
        """Price that a marketable order pays or gets."""
        return to_price(self.price * (1 + side.sign * self.half_spread))

    def favourable(self, side: Side) -> Decimal:
        """Best price for `side` within the range."""
        return self.low if side is Side.BUY else self.high

    def adverse(self, side: Side) -> Decimal:
        """Worst price for `side` within the range: what reaches a stop."""
        return self.high if side is Side.BUY else self.low


@dataclass(frozen=True)
class Match:
    """The order as the moment leaves it, and the price at which it fills, if it does."""

    order: Order
    price: Decimal | None = None


def match(order: Order, offer: Offer) -> Match:
    """Return what `offer` does to `order`."""
    if order.is_triggered:
        return _limit(order, offer) if order.type is OrderType.STOP_LIMIT else _market(order, offer)
    return MATCHERS[order.type](order, offer)


def _market(order: Order, offer: Offer) -> Match:
    return Match(order, offer.taken_by(order.side))


def _limit(order: Order, offer: Offer) -> Match:
    assert order.limit_price is not None
    taken = offer.taken_by(order.side)
    if _within(order.side, taken, order.limit_price):
        return Match(order, taken)
    if _within(order.side, offer.favourable(order.side), order.limit_price):
        return Match(order, order.limit_price)
    return Match(order)


def _stop(order: Order, offer: Offer) -> Match:
    assert order.stop_price is not None
    if not _reached(order.side, offer.adverse(order.side), order.stop_price):
        return Match(order)
    return Match(replace(order, is_triggered=True), _stopped_at(order.side, offer, order.stop_price))


def _stop_limit(order: Order, offer: Offer) -> Match:
    assert order.stop_price is not None and order.limit_price is not None
    if not _reached(order.side, offer.adverse(order.side), order.stop_price):
        return Match(order)
    triggered = replace(order, is_triggered=True)
    for price in (_stopped_at(order.side, offer, order.stop_price), offer.taken_by(order.side)):
        if _within(order.side, price, order.limit_price):
            return Match(triggered, price)
    return Match(triggered)


def _trailing(order: Order, offer: Offer) -> Match:
    water = order.high_water if order.high_water is not None else offer.price
    stop = _trailed(order, water)
    if _reached(order.side, offer.adverse(order.side), stop):
        fixed = replace(order, high_water=water, stop_price=stop, is_triggered=True)
        return Match(fixed, _stopped_at(order.side, offer, stop))
    best = min(water, offer.low) if order.side is Side.BUY else max(water, offer.high)
    stop = _trailed(order, best)
    moved = replace(order, high_water=best, stop_price=stop)
    if _reached(order.side, offer.price, stop):
        return Match(replace(moved, is_triggered=True), _stopped_at(order.side, offer, stop))
    return Match(moved)


MATCHERS: dict[OrderType, Callable[[Order, Offer], Match]] = {
    OrderType.MARKET: _market,
    OrderType.LIMIT: _limit,
    OrderType.STOP: _stop,
    OrderType.STOP_LIMIT: _stop_limit,
    OrderType.TRAILING_STOP: _trailing,
}


def _within(side: Side, price: Decimal, limit: Decimal) -> bool:
    return side.sign * (limit - price) >= 0


def _reached(side: Side, price: Decimal, stop: Decimal) -> bool:
    return side.sign * (price - stop) >= 0


def _stopped_at(side: Side, offer: Offer, stop: Decimal) -> Decimal:
    """Fill of a stop: at the print if the market gapped beyond it, else at the stop; the spread is paid on both."""
    gapped = offer.moment is not Moment.CLOSE and _reached(side, offer.price, stop)
    base = offer.price if gapped else stop
    return to_price(base * (1 + side.sign * offer.half_spread))


def _trailed(order: Order, water: Decimal) -> Decimal:
    if order.trail_price is not None:
        return to_price(water + order.side.sign * order.trail_price)
    assert order.trail_percent is not None
    return to_price(water * (1 + order.side.sign * order.trail_percent / 100))
