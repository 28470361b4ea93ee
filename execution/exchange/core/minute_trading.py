"""Continuous orders in the market of their minute.

An order meets the open of the bar that it arrives in and of each bar after it, and at a bar's END the range that it has worked
through. In each bar all own orders together take at most `volume_share` of the volume, in the order of arrival, in whole
shares. The price of what is taken is

    price x (1 + side x (half spread + impact))        impact = max(0, side x Y sigma sign(F) sqrt(|F| / ADV))

where F is the USD that own orders traded, this one included, signed, each fading with the half-life `impact_half_life` in minutes
(`execution.costs.impact`); what own sales pressed is no gift to a purchase. A name whose volatility or volume is not known yet pays
`UNKNOWN_IMPACT`. A bar without volume, a halted name and the auctions trade nothing here.
"""

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal

from execution.costs.impact import faded, signed_impact
from execution.exchange.core.book import OwnFlow
from execution.exchange.core.groups import by_priority
from execution.exchange.core.venue import ExchangeVenue
from execution.exchange.core.working import meet
from execution.exchange.market.minutes import MinuteBar
from execution.exchange.orders.matching import AUCTIONS, Moment, Offer
from execution.exchange.orders.order import Order
from execution.orders import OrderStatus
from signals.market.sessions import Session

UNKNOWN_IMPACT = Decimal("0.05")
ZERO = Decimal(0)


def has_minutes(venue: ExchangeVenue, symbol: str, session: Session) -> bool:
    """Whether orders of `symbol` meet minutes in this session; else they meet the three moments of its daily bar."""
    return venue.market.minutes is not None and venue.market.minutes.rows.has(symbol, session.day)


def arrive(venue: ExchangeVenue, order: Order, session: Session, *, in_full: bool = False) -> None:
    """Let a working order meet the bar in progress."""
    assert venue.market.minutes is not None
    bar = venue.market.minutes.in_progress(order.symbol, session, venue.now)
    if bar is not None:
        _take(venue, order, bar, Offer(Moment.TOUCH, bar.open, ZERO, bar.open, bar.open), in_full=in_full)


def end_minute(venue: ExchangeVenue, session: Session) -> None:
    """Let working orders meet the range of the bar that ends now, then the open of the next one."""
    assert venue.market.minutes is not None
    for waiting in by_priority(venue.book.open_orders(), venue.book):
        order = venue.book.orders[waiting.id]
        if not _works(venue, order, session):
            continue
        bar = venue.market.minutes.ended(order.symbol, session, venue.now)
        if bar is not None:
            low, high = (bar.low, bar.high) if order.in_market_since <= bar.start else (bar.close, bar.close)
            _take(venue, order, bar, Offer(Moment.CLOSE, bar.close, ZERO, low, high))
        left = venue.book.orders[order.id]
        if left.is_open and venue.now < session.close:
            arrive(venue, left, session)


def _works(venue: ExchangeVenue, order: Order, session: Session) -> bool:
    return (
        order.is_open
        and order.status is not OrderStatus.HELD
        and order.session <= session.day
        and order.time_in_force not in AUCTIONS
        and order.symbol not in venue.book.halted
        and has_minutes(venue, order.symbol, session)
    )


def _take(venue: ExchangeVenue, order: Order, bar: MinuteBar, offer: Offer, *, in_full: bool = False) -> None:
    """Fill what the bar's volume has left for own orders, at the price that this moves the market to."""
    if bar.volume <= 0:
        return
    book = venue.book
    flow = book.flows.get(order.symbol) or OwnFlow(venue.now, 0.0, bar.end, ZERO)
    taken = flow.taken if flow.minute == bar.end else ZERO
    room = max(ZERO, (venue.config.volume_share * bar.volume - taken).quantize(Decimal(1), ROUND_DOWN))
    wanted = order.remaining if order.notional is None else order.notional / offer.price
    before = flow.usd * float(faded((venue.now - flow.at).total_seconds() / 60.0, venue.config.impact_half_life))
    signed = before + order.side.sign * float(min(wanted, room) * offer.price)
    half = venue.half_spread if bar.half_spread is None else bar.half_spread
    priced = replace(offer, half_spread=half + _impact(venue, order, signed))
    filled = meet(venue, order, priced, in_full=in_full, most=room)
    if filled:
        usd = before + order.side.sign * float(filled * offer.price)
        book.set_fact("flows", {**book.flows, order.symbol: OwnFlow(venue.now, usd, bar.end, taken + filled)})


def _impact(venue: ExchangeVenue, order: Order, signed_usd: float) -> Decimal:
    """Share of the price by which own trading has moved the market against `order`."""
    sigma, adv = venue.market.usual(order.symbol, venue.now)
    if not venue.config.impact:
        return ZERO
    if not (sigma >= 0 and adv > 0):
        return UNKNOWN_IMPACT
    moved = order.side.sign * signed_impact(signed_usd, sigma, adv, venue.config.impact)
    return Decimal(repr(max(0.0, moved)))
