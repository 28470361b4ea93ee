"""Follows up unfilled orders: expired auction orders as day orders, cancelled step orders as new attempts."""

from datetime import date

from appliance.ledger import intents
from appliance.ledger.intents import LIVE_AT_BROKER, IntentState, JournalEntry
from appliance.orders.order_path import OrderPath
from appliance.orders.recovery import refreshed
from appliance.orders.remainders import ENDED, Remainders, quantity_at_step, remainder_of
from execution.orders import Plan
from execution.planning.sending import follow_up, renewal, room


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
    """Cancel what left before `step` and still works, and journal new attempts of what our cancellations left unfilled.

    The answer to a cancel request proves nothing: the order itself is asked until it has ended, and only the rest of
    one that is cancelled at the broker is attempted again, as far as this step's own orders leave room below the
    participation cap; what finds no room waits for the next step. A crash anywhere in between changes nothing. What
    does not end in time is left as it is, and so is what somebody else cancelled.
    """
    session = plan.session
    rests = Remainders.read(path.ledger).of_session(path.ledger, session)
    stale = [
        entry for entry in intents.of_session(path.ledger, session) if entry.state in LIVE_AT_BROKER and 0 < rests.step_of(entry) < step
    ]
    if stale:
        rests = rests.wanting((entry.client_order_id for entry in stale), step)
        rests.write(path.ledger)
        for order_id in [entry.broker_order_id for entry in stale if entry.broker_order_id is not None]:
            path.broker.cancel(order_id)
        settle_live(path, session)
    for client_order_id in sorted(rests.wanted):  # whatever crash came between, the same rest comes first
        last = intents.require(path.ledger, client_order_id)
        if last.state in ENDED and last.intent.key.session == session:
            rests = _attempt_again(path, plan, step, last, rests)


def _attempt_again(path: OrderPath, plan: Plan, step: int, last: JournalEntry, rests: Remainders) -> Remainders:
    """Journal one more attempt of a planned order's rest, as large as there is room; return what is wanted then."""
    key = last.intent.key
    attempts = intents.of_symbol(path.ledger, key.session, key.symbol)
    rest = remainder_of(plan, attempts, last.intent)
    room_left = room(plan, path.config.entry, last.intent, step) - quantity_at_step(rests, attempts, step)
    shares = renewal(last.intent, rest, room_left, path.config.submission.min_residual_usd)
    with path.ledger.transaction():
        if shares is None:
            rests = rests.without(last.client_order_id)
        elif shares:
            following = last.intent.next_attempt(shares, last.intent.time_in_force)
            intents.add(path.ledger, following, path.clock.now())
            made = following.key.client_order_id
            rests = rests.without(last.client_order_id).made(made, step)
            rests = rests.wanting([made], step) if shares < rest else rests
        rests.write(path.ledger)
    return rests


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
