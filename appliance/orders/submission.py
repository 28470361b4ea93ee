"""Submits one order: checked, journaled, sent once, its outcome proven.

Invariants
----------
1. The row that says SENDING is on disk before the broker's socket sees the request; so is the count of posts.
2. An order is posted once; a second time, with the same id and body, only after it was proven absent, inside its
   window, and at most `max_resends` times a session over all orders.
3. The latch is read before every post; a closed latch, a pause, a closed window, a failed check or an excess over the frozen
   plan means no post.
4. Every exit leaves the intent in a state from which `recover` goes on.
"""

from datetime import timedelta

from appliance.ledger import broker_orders, intents, plans
from appliance.ledger.intents import UNSENT, IntentState, JournalEntry, OrderFacts
from appliance.orders import sending_windows
from appliance.orders.conservation import conserve
from appliance.orders.order_path import OrderPath, another_device
from appliance.orders.resolution import find_at_broker, resolve
from appliance.orders.tracking import adopt
from execution.brokers.base import Acked, Refused
from execution.orders import Intent, Plan
from execution.planning.pretrade import Circumstances, refusal
from signals.errors import InvariantBroken, TripwireHalt, UnknownOrder

COLLAR = "PRICE_COLLAR"


def submit(path: OrderPath, plan: Plan, entry: JournalEntry, now: Circumstances) -> JournalEntry:
    """Take one planned order as far as it can be taken, and return its new state.

    Parameters
    ----------
    plan : Plan
        The frozen plan of the entry's session.
    entry : JournalEntry
        PLANNED or JOURNALED.
    now : Circumstances
        Inputs of its checks, with every other open and unsent order pending.

    Returns
    -------
    JournalEntry
        At the broker, REFUSED, DENIED or LAPSED.

    Raises
    ------
    DeviceHalted
        The latch is closed.
    TripwireHalt
        The order would exceed the frozen plan, or too many orders had to be sent again.
    UnknownOrder
        The outcome could not be proven.
    """
    if entry.state not in UNSENT:
        raise InvariantBroken(f"an order that is {entry.state} is not submitted", where=entry.client_order_id)
    if not is_open(path, entry.intent):
        return deny(path, entry, "its window is closed")
    found = refusal(entry.intent, now, path.config.pretrade)
    if found is not None:
        return deny(path, entry, f"{found.check}: {found.reason}")
    path.latch.require_armed()
    _conserve(path, plan, entry.intent)
    if entry.state is IntentState.PLANNED:
        entry = intents.move(path.ledger, entry.client_order_id, IntentState.JOURNALED, path.clock.now())
    return settle(path, _post(path, entry))


def settle(path: OrderPath, entry: JournalEntry) -> JournalEntry:
    """Resolve an intent in doubt to its end: adopted, refused, sent once more and adopted, or lapsed.

    Raises
    ------
    UnknownOrder
        The outcome could not be proven, or the order is absent after its one resend.
    """
    while entry.state.is_in_doubt:
        entry = resolve(path, entry)
        if entry.state is IntentState.ABSENT:
            entry = _after_absence(path, entry)
    return entry


def deny(path: OrderPath, entry: JournalEntry, reason: str) -> JournalEntry:
    """Record that an order that never left will not leave."""
    return intents.move(path.ledger, entry.client_order_id, IntentState.DENIED, path.clock.now(), reason)


def is_open(path: OrderPath, intent: Intent) -> bool:
    """Whether the order may be posted now, by its session and time in force."""
    session = path.hours(intent.key.session)
    return session is not None and sending_windows.is_open(intent.time_in_force, session, _margin(path), path.clock.now())


def is_past(path: OrderPath, intent: Intent) -> bool:
    """Whether the order can never be posted any more; one of a session that was struck from the calendar cannot."""
    session = path.hours(intent.key.session)
    return session is None or sending_windows.is_past(intent.time_in_force, session, _margin(path), path.clock.now())


def _margin(path: OrderPath) -> timedelta:
    return timedelta(minutes=path.config.submission.send_until_minutes)


def _conserve(path: OrderPath, plan: Plan, intent: Intent) -> None:
    conserve(plan, intents.of_symbol(path.ledger, intent.key.session, intent.key.symbol), intent)


def _post(path: OrderPath, entry: JournalEntry) -> JournalEntry:
    """Journal SENDING, post once, and record what is known of the outcome."""
    ledger, cid = path.ledger, entry.client_order_id
    entry = intents.move(ledger, cid, IntentState.SENDING, path.clock.now())
    path.latch.require_armed()  # it may have closed while the row went to disk
    try:
        outcome = path.broker.submit(entry.intent)
    except UnknownOrder as error:
        intents.move(ledger, cid, IntentState.UNKNOWN, path.clock.now(), str(error))
        raise
    at = path.clock.now()
    if isinstance(outcome, Acked):
        return adopt(path, entry, outcome.order, "acknowledged")
    if isinstance(outcome, Refused):
        refused = (outcome.status, outcome.code)
        return intents.move(ledger, cid, IntentState.REFUSED, at, outcome.message, OrderFacts(refusal=refused))
    entry = intents.move(ledger, cid, IntentState.UNKNOWN, at, outcome.reason)
    if outcome.is_taken and entry.posts == 1:
        _refuse_anothers(path, entry)
    return entry


def _refuse_anothers(path: OrderPath, entry: JournalEntry) -> None:
    """Raise when an order of this id was at the broker before this ledger first sent one.

    A person who re-arms nevertheless has seen it: it is looked up then like any other in doubt.
    """
    order = find_at_broker(path, entry)
    if order is None or broker_orders.of_client(path.ledger, entry.client_order_id):
        return
    broker_orders.save(path.ledger, order, path.clock.now())
    raise another_device("an order was at the broker before this device first sent it", entry.client_order_id)


def _after_absence(path: OrderPath, entry: JournalEntry) -> JournalEntry:
    """Decide about an order that is proven absent: send it once more, let it lapse, or halt (invariant 2)."""
    cid = entry.client_order_id
    if not is_open(path, entry.intent):
        return _lapse(path, entry, "absent, and its window is closed")
    if not path.latch.read().is_armed:
        return _lapse(path, entry, "absent, and the device is halted")
    if path.paused(entry.intent.key.session):
        return _lapse(path, entry, "absent, and the device is paused")
    if entry.posts > 1:
        raise UnknownOrder("an order is absent after it was sent again", where=cid, fix="Look at the broker before you re-arm")
    if intents.resent(path.ledger, entry.intent.key.session) >= path.config.submission.max_resends:
        raise TripwireHalt(
            f"more than {path.config.submission.max_resends} orders had to be sent again",
            where="RESENDS",
            fix="Look at the broker before you re-arm",
        )
    _conserve(path, plans.require(path.ledger, entry.intent.key.session), entry.intent)
    return _post(path, entry)


def _lapse(path: OrderPath, entry: JournalEntry, reason: str) -> JournalEntry:
    return intents.move(path.ledger, entry.client_order_id, IntentState.LAPSED, path.clock.now(), reason)
