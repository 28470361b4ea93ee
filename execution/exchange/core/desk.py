"""Order operations of the venue: accept, touch, cancel, replace.

Every function checks first and writes last, so that a refusal leaves nothing behind.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

from execution.exchange.core.assets import asset_id
from execution.exchange.core.book import fixed_id
from execution.exchange.core.checks import CheckContext, check, hold_price_of, intent_of
from execution.exchange.core.groups import legs
from execution.exchange.core.minute_trading import arrive, has_minutes
from execution.exchange.core.venue import ExchangeVenue
from execution.exchange.core.working import end, meet
from execution.exchange.orders.matching import AUCTIONS, Moment, Offer
from execution.exchange.orders.order import OCO, Order
from execution.exchange.orders.replacement import changed
from execution.exchange.orders.windows import due_session
from execution.exchange.protocol import refusals
from execution.exchange.protocol.draft import Draft
from execution.exchange.protocol.refusals import RefusedByVenue
from execution.orders import OrderStatus, TimeInForce
from signals.text.strict_json import Json

S = OrderStatus
GTC_LIFE = timedelta(days=90)
NOT_CANCELABLE = frozenset({S.PENDING_REPLACE, S.PENDING_CANCEL})
NOT_REPLACEABLE = frozenset({S.HELD, S.ACCEPTED, S.PENDING_NEW, S.PENDING_CANCEL, S.PENDING_REPLACE})
IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})


def place(venue: ExchangeVenue, draft: Draft) -> Order:
    """Take an order and return it as it is acknowledged; a running session matches it right behind the answer.

    Raises
    ------
    RefusedByVenue
        Its window is closed or a rule of `checks` forbids it.
    """
    session = due_session(draft.time_in_force, venue.now, venue.market)
    context = CheckContext(venue.book, venue.market, venue.config, venue.now)
    check(draft, context)
    order = _new_order(venue, draft, context, session)
    if draft.order_class == "simple":
        return _acknowledge(venue, order)
    order = venue.book.put(replace(order, order_class=draft.order_class))
    beside = list(legs(order, draft, venue.book))
    taken = _acknowledge(venue, order)
    for leg in beside:
        left = venue.book.orders[leg.id]
        if left.status not in (S.HELD, S.CANCELED) and draft.order_class == OCO:
            _acknowledge(venue, left)
    return taken


def _new_order(venue: ExchangeVenue, draft: Draft, context: CheckContext, session: date) -> Order:
    book, at = venue.book, venue.book.stamp()
    id_ = book.new_id("order")
    gtc = draft.time_in_force is TimeInForce.GTC
    return Order(
        id=id_,
        seq=len(book.orders),
        client_order_id=draft.client_order_id or fixed_id("client", id_),
        asset_id=asset_id(draft.symbol),
        symbol=draft.symbol,
        side=draft.side,
        type=draft.type,
        time_in_force=draft.time_in_force,
        quantity=draft.quantity,
        notional=draft.notional,
        status=S.PENDING_NEW if venue.market.session_now(venue.now) else S.ACCEPTED,
        session=session,
        created_at=at,
        updated_at=at,
        submitted_at=at,
        position_intent=intent_of(draft, book),
        hold_price=hold_price_of(draft, context),
        limit_price=draft.limit_price,
        stop_price=draft.stop_price,
        trail_price=draft.trail_price,
        trail_percent=draft.trail_percent,
        extended_hours=draft.extended_hours,
        expires_at=at + GTC_LIFE if gtc else venue.market.calendar.session(session).close,
    )


def _acknowledge(venue: ExchangeVenue, order: Order) -> Order:
    venue.book.put(order)
    if order.status is S.ACCEPTED:
        venue.notify("accepted", order)
        return order
    working = venue.book.put(order.to(S.NEW, venue.book.stamp()))
    venue.notify("new", working)
    touch(venue, working)
    return order


def touch(venue: ExchangeVenue, order: Order) -> None:
    """Let a working order meet the running session's newest price; what must be immediate ends here."""
    running = venue.market.session_now(venue.now)
    if running is None or order.status is S.HELD or order.time_in_force in AUCTIONS or order.symbol in venue.book.halted:
        return
    whole = order.time_in_force is TimeInForce.FOK
    if has_minutes(venue, order.symbol, running):
        arrive(venue, order, running, in_full=whole)
    elif (price := venue.market.opening(order.symbol, running.day, venue.now)) is not None:
        meet(venue, order, Offer(Moment.TOUCH, price, venue.half_spread, price, price), in_full=whole)
    left = venue.book.orders[order.id]
    if left.is_open and left.time_in_force in IMMEDIATE:
        end(venue, left, S.CANCELED)


def end_struck(venue: ExchangeVenue, day: date) -> list[Order]:
    """Cancel what waited for the session `day`, which will not be, and for no other; return those orders."""
    waiting = [order for order in venue.book.open_orders() if order.session == day]
    return [end(venue, order, S.CANCELED) for order in waiting if order.time_in_force is not TimeInForce.GTC]


def cancel(venue: ExchangeVenue, order: Order) -> Order:
    """Cancel an open order at once.

    Raises
    ------
    RefusedByVenue
        It is over, or a replacement or cancellation is under way.
    """
    if not order.is_open or order.status in NOT_CANCELABLE:
        raise RefusedByVenue(refusals.NOT_CANCELABLE, _status=order.status.value)
    return end(venue, order, S.CANCELED)


def replace_order(venue: ExchangeVenue, order: Order, body: Mapping[str, Json]) -> Order:
    """Replace `order` by a new one that differs in what `body` names, and return the new one.

    Raises
    ------
    RefusedByVenue
        Its status forbids it, nothing would change, or the new order would not be taken.
    """
    if not order.is_open or order.status in NOT_REPLACEABLE:
        raise RefusedByVenue(refusals.NOT_REPLACEABLE, _status=order.status.value)
    draft = changed(order, body)
    session = due_session(draft.time_in_force, venue.now, venue.market)
    context = CheckContext(venue.book, venue.market, venue.config, venue.now, replacing=order)
    check(draft, context)
    beside = venue.book.group(order) if order.order_class and order.parent is None else []
    new = _new_order(venue, draft, context, session)
    new = replace(new, replaces=order.id, order_class=order.order_class, parent=order.parent)
    old = venue.book.put(order.to(S.REPLACED, new.created_at, replaced_by=new.id))
    venue.notify("replaced", old)
    for leg in beside[1:]:
        venue.book.put(replace(leg, parent=new.id))
    return _acknowledge(venue, new)
