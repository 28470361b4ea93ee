"""The ordered events of a session: corporate actions at 04:00, open, the END of each minute bar where there are such, close.

Each event leaves the book as it is at that instant; the same events from the same book always leave the same one.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from execution.exchange.core.book import AccountMark
from execution.exchange.core.corporate_actions import apply_actions
from execution.exchange.core.groups import by_priority
from execution.exchange.core.minute_trading import end_minute, has_minutes
from execution.exchange.core.venue import ExchangeVenue
from execution.exchange.core.working import end, meet
from execution.exchange.market.market import ACTIONS_AT, MarketData
from execution.exchange.orders.matching import Moment, Offer
from execution.exchange.orders.order import Order
from execution.orders import CENT, OrderStatus, TimeInForce
from signals.market.sessions import Session

S = OrderStatus


@dataclass(frozen=True)
class TimelineEvent:
    """Something that happens to the account at an instant by itself."""

    at: datetime
    session: Session
    happen: Callable[[ExchangeVenue, Session], None]


def events(market: MarketData, after: datetime, until: datetime) -> Iterator[TimelineEvent]:
    """Yield the events with `after` < at <= `until`, oldest first."""
    days = market.scheduled.days
    for session in market.scheduled.sessions[bisect_left(days, after.date() - timedelta(days=1)) :]:
        within = [] if market.minutes is None else market.minutes.ends(session)
        trading = ((session.open, open_session), *((at, end_minute) for at in within), (session.close, close_session))
        happenings = ((session.at(ACTIONS_AT), start_day), *(() if session.day in market.closures else trading))
        for at, happen in happenings:
            if at > until:
                return
            if at > after:
                yield TimelineEvent(at, session, happen)


def start_day(venue: ExchangeVenue, session: Session) -> None:
    """Apply corporate actions and drop short sales of what has become hard to borrow overnight."""
    apply_actions(venue, session.day)
    for order in venue.book.open_orders():
        if order.position_intent == "sell_to_open" and order.symbol in venue.book.hard_to_borrow:
            end(venue, order, S.CANCELED)


def open_session(venue: ExchangeVenue, session: Session) -> None:
    """Cross queued orders at the opening print; auction orders that it did not fill expire."""
    for order in _due(venue, session):
        working = order
        if order.status is S.HELD:
            continue
        if order.status is S.ACCEPTED:
            working = venue.book.put(order.to(S.NEW, venue.book.stamp()))
            venue.notify("new", working)
        if order.time_in_force is TimeInForce.CLS:
            continue
        price = None if _is_halted(venue, order) else venue.market.opening(order.symbol, session.day, venue.now)
        if price is not None:
            spread = venue.half_spread * 0  # the auction has one price
            meet(venue, working, Offer(Moment.OPEN, price, spread, price, price))
        _expire(venue, order, TimeInForce.OPG)


def close_session(venue: ExchangeVenue, session: Session) -> None:
    """Cross at the closing print, let resting orders meet the day's range, expire what ends today, mark the account."""
    for order in by_priority(_due(venue, session), venue.book):
        left = venue.book.orders[order.id]
        is_there = left.is_open and order.status is not S.HELD and not _is_halted(venue, order)
        offer = _closing_offer(venue, left, session) if is_there else None
        if offer is not None:
            meet(venue, left, offer)
        _expire(venue, order, TimeInForce.CLS)
        _expire(venue, order, TimeInForce.DAY)
        if order.expires_at is not None and order.expires_at <= venue.now:
            _expire(venue, order, TimeInForce.GTC)
    worth = venue.worth()
    venue.book.mark(AccountMark(session.day, worth.equity.quantize(CENT), worth.cash))


def _due(venue: ExchangeVenue, session: Session) -> list[Order]:
    return [order for order in venue.book.open_orders() if order.session <= session.day]


def _is_halted(venue: ExchangeVenue, order: Order) -> bool:
    return order.symbol in venue.book.halted


def _closing_offer(venue: ExchangeVenue, order: Order, session: Session) -> Offer | None:
    bar = venue.market.day_bar(order.symbol, session.day, venue.now)
    if bar is None:
        return None
    if order.time_in_force is TimeInForce.CLS:
        return Offer(Moment.CLOSE, bar.close, venue.half_spread * 0, bar.close, bar.close)
    if has_minutes(venue, order.symbol, session):
        return None
    rested = order.in_market_since <= session.open
    low, high = (bar.low, bar.high) if rested else (bar.close, bar.close)
    return Offer(Moment.CLOSE, bar.close, venue.half_spread, low, high)


def _expire(venue: ExchangeVenue, order: Order, time_in_force: TimeInForce) -> None:
    left = venue.book.orders[order.id]
    if left.is_open and left.time_in_force is time_in_force:
        end(venue, left, S.EXPIRED)
