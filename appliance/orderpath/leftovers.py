"""What an auction or a step left unfilled: what expired is followed up, what was cancelled is attempted again."""

from __future__ import annotations

from datetime import date

from appliance.ledger import intents
from appliance.ledger.intents import JournalEntry
from appliance.ledger.states import LIVE_AT_BROKER, IntentState
from appliance.orderpath.path import OrderPath
from appliance.orderpath.recovery import refreshed
from execution.orders import Plan
from execution.sending import follow_up, room


def add_follow_ups(path: OrderPath, session: date) -> tuple[JournalEntry, ...]:
    """Journal a `day` order for the rest of every auction order that expired; return all of the session's.

    Only an order that has ended at the broker is followed, by one of the unfilled rest, if that is worth an order. One
    that was cancelled or refused there is not: whoever cancelled it meant it.
    """
    entries = intents.of_session(path.ledger, session)
    keys = {entry.intent.key for entry in entries}
    found: list[JournalEntry] = []
    for entry in entries:
        if entry.state is not IntentState.EXPIRED:
            continue
        following = follow_up(entry.intent, entry.residual, path.config.submission.min_residual_usd)
        if following is None:
            continue
        if following.key not in keys:
            intents.add(path.ledger, following, path.clock.now())
        found.append(intents.require(path.ledger, following.key.client_order_id))
    return tuple(found)


def renew(path: OrderPath, plan: Plan, step: int) -> None:
    """Cancel what steps before `step` left working, and journal a new attempt of what their cancellation left unfilled.

    The answer to a cancel request proves nothing: the order itself is asked until it has ended, and only the rest of
    one that is cancelled at the broker is attempted again, as far as this step's own orders leave room below the
    participation cap. What does not end in time, or was cancelled before a crash, is left alone.
    """
    session = plan.session
    stale = [
        entry for entry in intents.of_session(path.ledger, session)
        if entry.state in LIVE_AT_BROKER and 0 < entry.intent.step < step
    ]  # fmt: skip
    for order_id in [entry.broker_order_id for entry in stale if entry.broker_order_id is not None]:
        path.broker.cancel(order_id)
    if not stale:
        return
    settle_live(path, session)
    for entry in stale:
        ended = intents.require(path.ledger, entry.client_order_id)
        shares = min(ended.residual, room(plan, path.config.entry, ended.intent, step))
        worth = shares * ended.intent.reference_price
        if ended.state is IntentState.CANCELED and shares > 0 and worth >= path.config.submission.min_residual_usd:
            intents.add(path.ledger, ended.intent.next_attempt(shares, ended.intent.time_in_force), path.clock.now())


def settle_live(path: OrderPath, session: date) -> tuple[JournalEntry, ...]:
    """Ask about the session's live orders, waiting as configured, until none is live or the waits are used up."""
    for wait in (0.0, *path.config.submission.settle_seconds):
        live = [entry for entry in intents.of_session(path.ledger, session) if entry.state in LIVE_AT_BROKER]
        if not live:
            break
        if wait:
            path.clock.sleep(wait)
        refreshed(path, live)
    return intents.of_session(path.ledger, session)
