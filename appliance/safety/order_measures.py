"""Measures the orders sent in a session against the frozen plan."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from appliance.context import Deps
from appliance.controls.measures import rejected_share
from appliance.controls.tripwires import TripwireFigures
from appliance.ledger import intents, plans
from appliance.ledger.intents import JournalEntry
from appliance.ledger.states import IntentState
from execution.orders import Intent, IntentKey, Plan

REFUSED = (IntentState.REFUSED, IntentState.VENUE_REJECTED)


def order_figures(deps: Deps, session: date) -> TripwireFigures:
    """Measure the session's journal."""
    return figures_of(plans.load(deps.ledger, session), intents.of_session(deps.ledger, session))


def figures_of(plan: Plan | None, journal: Sequence[JournalEntry]) -> TripwireFigures:
    """Count what a plan did not ask for.

    A follow-up attempt of a planned intent is permitted, with the planned side and at most the planned quantity;
    anything else that was sent is an excess.
    """
    planned = {} if plan is None else {(i.key.symbol, i.key.slice): i for i in plan.intents}
    sent = [entry for entry in journal if entry.posts > 0]
    strangers = [entry for entry in sent if _place(entry.intent.key) not in planned]
    widened = [
        entry
        for entry in sent
        if (known := planned.get(_place(entry.intent.key))) is not None
        and (entry.intent.side is not known.side or entry.intent.quantity > known.quantity)
    ]
    overfilled = _overfilled(sent, planned)
    live = Counter(_place(e.intent.key) for e in sent if e.state.is_at_broker and not e.state.is_terminal)
    return TripwireFigures(
        excess_orders=float(len(strangers)),
        excess_plan=float(len(widened) + overfilled),
        duplicates=float(sum(count - 1 for count in live.values())),
        resends=float(sum(entry.posts - 1 for entry in sent)),
        rejected=rejected_share(sum(entry.state in REFUSED for entry in sent), len(sent)),
        unknown_orders=float(sum(entry.state.is_in_doubt for entry in journal)),
        oversized_orders=_refused_by("ORDER_NOTIONAL", plan, journal),
        collar_refusals=_refused_by("PRICE_COLLAR", plan, journal),
    )


def _refused_by(check: str, plan: Plan | None, journal: Sequence[JournalEntry]) -> float:
    """Count the orders that one pre-trade check kept back, when the plan was made and before they left."""
    planned = [] if plan is None else [name for _, name, _ in plan.refusals if name == check]
    kept = [e for e in journal if e.state is IntentState.DENIED and e.reason.startswith(f"{check}:")]
    return float(len(planned) + len(kept))


def _overfilled(sent: Sequence[JournalEntry], planned: Mapping[tuple[str, int], Intent]) -> int:
    filled: dict[tuple[str, int], Decimal] = {}
    for entry in sent:
        place = _place(entry.intent.key)
        filled[place] = filled.get(place, Decimal(0)) + entry.filled_quantity
    return sum(place in planned and quantity > planned[place].quantity for place, quantity in filled.items())


def _place(key: IntentKey) -> tuple[str, int]:
    return key.symbol, key.slice
