"""Sends closing orders first, and opening orders that depend on them once those are filled."""

from collections.abc import Callable

from appliance.ledger import intents
from appliance.ledger.intents import UNSENT, IntentState, JournalEntry
from appliance.orders.batch import SentBatch, send
from appliance.orders.order_path import OrderPath
from appliance.orders.pretrade_context import fetch_context
from appliance.orders.submission import deny
from appliance.orders.tracking import confirm_filled
from appliance.orders.unfilled_orders import settle_live
from execution.orders import Plan
from execution.planning.sending import is_filled

Chosen = Callable[[JournalEntry], bool]


def send_closings_first(path: OrderPath, plan: Plan, chosen: Chosen) -> SentBatch:
    """Send the unsent orders that are `chosen`: closings, and once those are filled the openings.

    The account is asked again between the two: what the closings freed is there for the openings. An opening half
    whose closing half is not filled is denied.

    Raises
    ------
    HaltDevice
        As `fetch_context` and `send` raise.
    """
    done: list[JournalEntry] = []
    closings = [entry for entry in _unsent(path, plan, chosen) if entry.intent.reduces]
    if closings:
        done += send(path, fetch_context(path, plan), closings).entries
        settle_live(path, plan.session)
    openings = [entry for entry in _unsent(path, plan, chosen) if not entry.intent.reduces and not path.paused(plan.session)]
    ready = [entry for entry in openings if _may_follow(path, plan, entry)]
    if ready:
        done += send(path, fetch_context(path, plan), ready).entries
    return SentBatch(tuple(intents.require(path.ledger, entry.client_order_id) for entry in done))


def _unsent(path: OrderPath, plan: Plan, chosen: Chosen) -> list[JournalEntry]:
    return [e for e in intents.of_session(path.ledger, plan.session) if e.state in UNSENT and chosen(e)]


def _may_follow(path: OrderPath, plan: Plan, entry: JournalEntry) -> bool:
    """Whether the order waits for nothing any more; an opening half whose closing half is not filled is denied."""
    leader = entry.intent.waits_for
    if leader is None:
        return True
    entries = intents.of_session(path.ledger, plan.session)
    if is_filled(plan, [(made.intent.key, made.filled_quantity) for made in entries], leader):
        for made in entries:
            if made.intent.key.symbol == leader.symbol and made.state is IntentState.FILLED:
                confirm_filled(path, made)
        return True
    deny(path, entry, "its closing half is not filled")
    return False
