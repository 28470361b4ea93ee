"""Determines the outcome of an order request whose response was lost: proof or halt, never a blind resend.

Invariants
----------
1. An intent in doubt is looked up by its client order id at every instant of the configured schedule.
2. It is ABSENT only if every look-up was answered 404 and the list of all orders of its session does not hold it.
3. Any look-up that could not be answered leaves it UNKNOWN and raises `UnknownOrder`.
4. Nothing in this module sends an order.
"""

from appliance.ledger import intents
from appliance.ledger.intents import IntentState, JournalEntry
from appliance.orders.order_path import OrderPath
from appliance.orders.tracking import adopt
from execution.orders import BrokerOrder
from signals.errors import BrokerUnreachable, UnknownOrder


def resolve(path: OrderPath, entry: JournalEntry) -> JournalEntry:
    """Return the entry adopted (at the broker) or ABSENT (proven not to be there).

    Parameters
    ----------
    entry : JournalEntry
        UNKNOWN or ABSENT.

    Raises
    ------
    UnknownOrder
        The outcome could not be proven; the intent stays UNKNOWN.
    """
    cid = entry.client_order_id
    order = find_at_broker(path, entry)
    if order is not None:
        return adopt(path, entry, order, "found by look-up")
    if entry.state is IntentState.ABSENT:
        return entry
    return intents.move(path.ledger, cid, IntentState.ABSENT, path.clock.now(), "no look-up and no list holds it")


def find_at_broker(path: OrderPath, entry: JournalEntry) -> BrokerOrder | None:
    """Return the broker's order for the entry, or None once every look-up and the list have proven that it has none.

    Raises
    ------
    UnknownOrder
        A look-up or the list was not answered.
    """
    return _looked_up(path, entry.client_order_id) or _listed(path, entry)


def _looked_up(path: OrderPath, cid: str) -> BrokerOrder | None:
    started = path.clock.monotonic()
    for due in path.config.submission.lookup_seconds:
        waited = path.clock.monotonic() - started
        if due > waited:
            path.clock.sleep(due - waited)
        try:
            found = path.broker.order(cid)
        except BrokerUnreachable as error:
            raise _unproven(cid, error) from error
        if found is not None:
            return found
    return None


def _listed(path: OrderPath, entry: JournalEntry) -> BrokerOrder | None:
    try:
        orders = path.broker.orders(open_only=False, after=path.midnight(entry.intent.key.session))
    except BrokerUnreachable as error:
        raise _unproven(entry.client_order_id, error) from error
    return next((order for order in orders if order.client_order_id == entry.client_order_id), None)


def _unproven(cid: str, error: BrokerUnreachable) -> UnknownOrder:
    return UnknownOrder(
        "the outcome of an order cannot be proven: the look-up is not answered",
        where=f"{cid}: {error}",
        fix="When the broker answers again, re-arm: the order is looked up before anything else",
    )
