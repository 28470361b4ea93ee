"""Orders sent never exceed the frozen plan: by name, side, price, count and quantity. Pure.

Invariants
----------
1. Every order that leaves follows one planned order: same symbol, slice, side and reference price.
2. The quantities that may still fill or have filled, over all attempts of a planned order, never exceed its quantity.
3. At most one attempt of a planned order is alive; a new one follows an attempt that has ended at the broker.
"""

from collections.abc import Iterable
from decimal import Decimal

from appliance.ledger.intents import ENDED_AT_BROKER, NEVER_AT_BROKER, UNSENT, JournalEntry
from execution.orders import Intent, Plan
from signals.errors import TripwireHalt

ZERO = Decimal(0)


def conserve(plan: Plan, entries: Iterable[JournalEntry], leaving: Intent) -> None:
    """Raise `TripwireHalt` when sending `leaving` would exceed the plan.

    Parameters
    ----------
    plan : Plan
        The frozen plan of the intent's session.
    entries : iterable of JournalEntry
        Every intent of that session and symbol at least, `leaving` included.
    """
    key = leaving.key
    planned = [i for i in plan.intents if (i.key.symbol, i.key.slice) == (key.symbol, key.slice)]
    if len(planned) != 1 or (plan.account, plan.session) != (key.account, key.session):
        raise _excess("it belongs to no planned order", leaving)
    origin = planned[0]
    if (leaving.side, leaving.reference_price, leaving.type) != (origin.side, origin.reference_price, origin.type):
        raise _excess("its side, type or price is not the planned order's", leaving)
    attempts = [e for e in entries if (e.intent.key.symbol, e.intent.key.slice) == (key.symbol, key.slice)]
    others = [entry for entry in attempts if entry.intent.key != key]
    committed = sum((exposed(entry) for entry in others), ZERO)
    if committed + leaving.quantity > origin.quantity:
        raise _excess(f"{committed} of {origin.quantity} shares are filled or may fill", leaving)
    if any(entry.state not in UNSENT | ENDED_AT_BROKER | NEVER_AT_BROKER for entry in others):
        raise _excess("another attempt is alive", leaving)


def exposed(entry: JournalEntry) -> Decimal:
    """Shares of an attempt that have filled or may still fill."""
    if entry.state in UNSENT:
        return ZERO
    has_ended = entry.state in ENDED_AT_BROKER | NEVER_AT_BROKER
    return entry.filled_quantity if has_ended else entry.intent.quantity


def _excess(what: str, intent: Intent) -> TripwireHalt:
    return TripwireHalt(
        f"order {intent.key.client_order_id} would exceed the frozen plan: {what}",
        where="PLAN_CONSERVATION",
        fix="Find out what produced it before you re-arm",
    )
