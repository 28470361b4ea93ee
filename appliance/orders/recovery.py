"""Recovery at the start of every job: brings each unfinished intent to the state that the broker proves.

Invariants
----------
1. Running it again changes nothing.
2. After it no intent is in doubt, and every intent that the broker has is in the state that the broker last reported.
3. An intent that was never sent and whose window has closed is denied; the past is never traded.
4. What a cancelled step left unfilled and no attempt asked for has a denied row of its own once its window has closed.
5. No order of an earlier session works on: a plan is made of holdings, and would order the same shares again.
"""

from collections.abc import Sequence
from datetime import date

from appliance.ledger import intents
from appliance.ledger.intents import LIVE_AT_BROKER, UNSENT, IntentState, JournalEntry
from appliance.orders.order_path import OrderPath
from appliance.orders.remainders import record_lapsed
from appliance.orders.resolution import find_at_broker
from appliance.orders.submission import deny, is_past, settle
from appliance.orders.tracking import track
from execution.orders import BrokerOrder
from signals.errors import TryAgain, UnknownOrder


def recover(path: OrderPath) -> tuple[JournalEntry, ...]:
    """Resolve what an earlier run left unfinished; return the entries that changed.

    Raises
    ------
    UnknownOrder
        An outcome cannot be proven, or the broker lost an order that it had acknowledged.
    BrokerUnreachable
        An order that the broker has could not be asked for.
    """
    before = intents.unfinished(path.ledger)
    live = [entry for entry in before if entry.state in LIVE_AT_BROKER]
    after = [_recovered(path, entry) for entry in before if entry.state not in LIVE_AT_BROKER]
    known = set(before)
    changed = tuple(entry for entry in (*after, *refreshed(path, live)) if entry not in known)
    return (*changed, *record_lapsed(path))


def end_earlier(path: OrderPath, session: date) -> None:
    """Cancel what still works of the sessions before `session`, and return once the broker reports the end of each (invariant 5).

    The broker queues a day order for the next session that arrives after a close which the dataset does not know.

    Raises
    ------
    TryAgain
        One works on after all waits.
    BrokerUnreachable
        One could not be asked for.
    """
    left, waits = _earlier(path, session), iter((0.0, *path.config.submission.settle_seconds))
    for order_id in [entry.broker_order_id for entry in left if entry.broker_order_id is not None]:
        path.broker.cancel(order_id)
    while left:
        wait = next(waits, None)
        if wait is None:
            where = ", ".join(entry.client_order_id for entry in left)
            raise TryAgain("orders of an earlier session still work at the broker", where=where, fix="Cancel them at the broker")
        path.clock.sleep(wait)
        refreshed(path, left)
        left = _earlier(path, session)


def _earlier(path: OrderPath, session: date) -> list[JournalEntry]:
    return [e for e in intents.in_states(path.ledger, LIVE_AT_BROKER) if e.intent.key.session < session]


def _recovered(path: OrderPath, entry: JournalEntry) -> JournalEntry:
    if entry.state is IntentState.SENDING:
        entry = intents.move(path.ledger, entry.client_order_id, IntentState.UNKNOWN, path.clock.now(), "found SENDING at the start")
    if entry.state.is_in_doubt:
        return settle(path, entry)
    if entry.state in UNSENT and is_past(path, entry.intent):
        return deny(path, entry, "its window closed before it was sent")
    return entry


def refreshed(path: OrderPath, live: Sequence[JournalEntry]) -> tuple[JournalEntry, ...]:
    """Record what the broker says of orders that it has: one list for all, a search for what is not on it.

    A fresh order may not be listed yet: it is sought as patiently as one in doubt before it counts as lost.
    """
    if not live:
        return ()
    first = path.midnight(min(entry.intent.key.session for entry in live))
    listed = {order.client_order_id: order for order in path.broker.orders(open_only=False, after=first)}
    return tuple(track(path, entry, listed.get(entry.client_order_id) or _sought(path, entry)) for entry in live)


def _sought(path: OrderPath, entry: JournalEntry) -> BrokerOrder:
    order = find_at_broker(path, entry)
    if order is None:
        raise UnknownOrder(
            "the broker no longer knows an order that it acknowledged",
            where=entry.client_order_id,
            fix="Was the paper account reset? Look at it before you re-arm",
        )
    return order
