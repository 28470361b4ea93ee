"""Sends a batch of a session's orders in order, each checked together with all the others; openings that wait for closings last."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal

from appliance.ledger import intents
from appliance.ledger.intents import UNSENT, IntentState, JournalEntry
from appliance.orders.order_path import OrderPath
from appliance.orders.pretrade_context import PretradeContext, fetch_context
from appliance.orders.submission import COLLAR, deny, submit
from appliance.orders.tracking import confirm_filled
from appliance.orders.unfilled_orders import settle_live
from execution.orders import IntentKey, Plan
from execution.planning.plan import sending_order
from execution.planning.pretrade import reserved
from execution.planning.sending import is_filled
from signals.errors import TripwireHalt


@dataclass(frozen=True)
class SentBatch:
    """A batch after it was sent: its entries in their new states."""

    entries: tuple[JournalEntry, ...]

    def count(self, *states: IntentState) -> int:
        """Number of entries that are in one of `states`."""
        return sum(entry.state in states for entry in self.entries)

    @property
    def at_broker(self) -> int:
        """Number of entries that the broker has."""
        return sum(entry.state.is_at_broker for entry in self.entries)


def send(path: OrderPath, desk: PretradeContext, batch: Iterable[JournalEntry]) -> SentBatch:
    """Send what of `batch` has not been sent, what lowers risk first; what a pause that begins meanwhile finds stays unsent.

    Raises
    ------
    TripwireHalt
        More orders were refused for their price than a job may refuse; or as `submit` raises.
    """
    by_key = {entry.intent.key: entry for entry in batch}
    entries = {entry.intent.key: entry for entry in intents.of_session(path.ledger, desk.plan.session)}
    spent = Decimal(0)
    sent: set[IntentKey] = set()
    done: list[JournalEntry] = []
    for intent in sending_order([entry.intent for entry in by_key.values()]):
        if path.paused(desk.plan.session):
            break
        entry = by_key[intent.key]
        if entry.state in UNSENT:
            now = desk.circumstances(entries.values(), intent, spent, sent)
            entry = entries[intent.key] = submit(path, desk.plan, entry, now)
            sent.add(intent.key)
            if entry.state.is_at_broker:
                spent += reserved(intent, now.held(intent.key.symbol), path.config.pretrade)
        done.append(entry)
        _limit_collar(path, done)
    return SentBatch(tuple(done))


def _limit_collar(path: OrderPath, done: list[JournalEntry]) -> None:
    refused = sum(e.state is IntentState.DENIED and e.reason.startswith(COLLAR) for e in done)
    if refused > path.config.submission.max_collar_refusals:
        raise TripwireHalt(
            f"{refused} orders are too far from the market's price",
            where=COLLAR,
            fix="Compare the reference prices with the market before you re-arm",
        )


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
