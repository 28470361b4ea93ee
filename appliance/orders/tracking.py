"""Applies the broker's reports of our orders to the journal.

Invariants
----------
1. The broker's report is recorded before anything is concluded from it.
2. A filled quantity never falls and never exceeds what was asked for; an order that has ended does not change again.
3. A status that we do not know is recorded and raised, never guessed.
4. No order has ended by one word: an ending must be possible by the clock and by its own figures, and one that leaves
   shares unfilled must be what the broker says when it is asked again by its own id and by ours. Until then the order
   counts as working, so that nothing can follow it.
"""

from collections.abc import Iterator

from appliance.ledger import broker_orders, intents
from appliance.ledger.intents import ENDED_AT_BROKER, ENDINGS, FINISHED, LIVE_AT_BROKER, IntentState, JournalEntry, OrderFacts
from appliance.orders.order_path import OrderPath
from execution.orders import BrokerOrder, Intent, OrderStatus, TimeInForce
from signals.errors import BrokerUnreachable, ReconBreak, UnknownBrokerState, UnknownOrder


def adopt(path: OrderPath, entry: JournalEntry, order: BrokerOrder, reason: str) -> JournalEntry:
    """Take the broker's order for one of our intents: acknowledged, then whatever it has become since.

    Raises
    ------
    UnknownOrder
        The order under our id does not ask for what the intent asks for; it is recorded as ours all the same.
    """
    at = path.clock.now()
    with path.ledger.transaction():
        broker_orders.save(path.ledger, order, at)
        entry = intents.move(path.ledger, entry.client_order_id, IntentState.ACKED, at, reason, OrderFacts(order.id))
    if not agrees(entry.intent, order):
        raise UnknownOrder(
            "the broker's order under our id is not the one that we meant",
            where=f"{entry.client_order_id}: {order.side} {order.quantity} {order.symbol} {order.time_in_force}",
            fix="Look at the account's orders before anything is sent again",
        )
    return track(path, entry, order)


def agrees(intent: Intent, order: BrokerOrder) -> bool:
    """Whether the broker's order asks for exactly what the intent asks for."""
    asked = (intent.key.symbol, intent.side, intent.quantity, intent.type, intent.time_in_force, intent.limit_price)
    return asked == (order.symbol, order.side, order.quantity, order.type, order.time_in_force, order.limit_price)


def differs(entry: JournalEntry, order: BrokerOrder) -> bool:
    """Whether the journal has an order otherwise than the broker: another id, end or filled quantity."""
    is_over = entry.state in FINISHED
    ours = (entry.broker_order_id, is_over, entry.filled_quantity)
    return ours != (order.id, order.status.is_terminal, order.filled_quantity) or not entry.state.is_at_broker


def track(path: OrderPath, entry: JournalEntry, order: BrokerOrder) -> JournalEntry:
    """Record the latest report of an order that the broker has, and move its intent along.

    Raises
    ------
    UnknownBrokerState
        A status that we do not know.
    UnknownOrder
        The client order id answers with another broker order than before.
    ReconBreak
        More is filled than was asked for, less than before, or an order changed after it had ended.
    """
    at, cid = path.clock.now(), entry.client_order_id
    broker_orders.save(path.ledger, order, at)
    if order.id != entry.broker_order_id:
        raise UnknownOrder(
            "two broker orders have one id of ours",
            where=f"{cid}: {entry.broker_order_id} and {order.id}",
            fix="Cancel the newest and look at the account",
        )
    if order.status is OrderStatus.UNKNOWN:
        raise UnknownBrokerState(f"order status is {order.raw_status!r}, a word that we do not know", where=cid, fix="Look at the order")
    if order.filled_quantity > entry.intent.quantity:
        raise _break(f"{order.filled_quantity} of {entry.intent.quantity} shares are filled", cid)
    if order.filled_quantity < entry.filled_quantity:
        raise _break(f"filled fell from {entry.filled_quantity} to {order.filled_quantity} shares", cid)
    to = _state(order)
    if to in ENDED_AT_BROKER and entry.state in LIVE_AT_BROKER and not _has_ended(path, entry, order):
        return intents.require(path.ledger, cid)
    if to is entry.state:
        if entry.state in LIVE_AT_BROKER and order.filled_quantity > entry.filled_quantity:
            intents.record_filled(path.ledger, cid, order.filled_quantity, at)
        elif order.filled_quantity != entry.filled_quantity:
            raise _break(f"an order that had ended filled on, to {order.filled_quantity} shares", cid)
        return intents.require(path.ledger, cid)
    if entry.state not in LIVE_AT_BROKER or (entry.state is IntentState.PARTIAL and to is IntentState.WORKING):
        raise _break(f"an order that was {entry.state} is reported {to}", cid)
    return intents.move(path.ledger, cid, to, at, order.raw_status, OrderFacts(filled_quantity=order.filled_quantity))


def confirm_filled(path: OrderPath, entry: JournalEntry) -> None:
    """Ask again about an order that counts as filled, before another one follows it.

    Raises
    ------
    ReconBreak
        Asked by its own id or by ours, the broker does not say so.
    BrokerUnreachable
        It could not be asked.
    """
    for order in _asked_again(path, entry):
        if order is None or (order.id, _state(order), order.filled_quantity) != (entry.broker_order_id, entry.state, entry.filled_quantity):
            raise _break(f"an order that was {entry.state} is not when the broker is asked again", entry.client_order_id)


def _has_ended(path: OrderPath, entry: JournalEntry, order: BrokerOrder) -> bool:
    """Whether a report of an ending may be believed (invariant 4); in a session that was struck there is no open to wait for."""
    session = path.hours(entry.intent.key.session)
    opens, closes = (session.open, session.close) if session else (path.midnight(entry.intent.key.session),) * 2
    if order.status is OrderStatus.FILLED:
        opened = closes if order.time_in_force is TimeInForce.CLS else opens
        return order.filled_quantity == entry.intent.quantity and path.clock.now() >= opened
    over = opens if order.time_in_force is TimeInForce.OPG else closes
    if order.status is OrderStatus.EXPIRED and path.clock.now() < over:
        return False
    try:
        return all(again is not None and _same(again, order) for again in _asked_again(path, entry))
    except BrokerUnreachable:
        return False


def _asked_again(path: OrderPath, entry: JournalEntry) -> Iterator[BrokerOrder | None]:
    yield path.broker.order_of_id(entry.broker_order_id or "")
    yield path.broker.order(entry.client_order_id)


def _same(one: BrokerOrder, other: BrokerOrder) -> bool:
    return (one.id, one.status, one.filled_quantity) == (other.id, other.status, other.filled_quantity)


def _state(order: BrokerOrder) -> IntentState:
    ending = ENDINGS.get(order.status)
    if ending is not None:
        return ending
    return IntentState.PARTIAL if order.filled_quantity > 0 else IntentState.WORKING


def _break(what: str, client_order_id: str) -> ReconBreak:
    return ReconBreak(what, where=client_order_id, fix="Compare the order at the broker with the ledger's events")
