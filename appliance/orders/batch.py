"""Sends a batch of a session's orders in order, each checked together with all the others."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from appliance.ledger import intents
from appliance.ledger.intents import UNSENT, IntentState, JournalEntry
from appliance.orders.order_path import OrderPath
from appliance.orders.pretrade_context import PretradeContext
from appliance.orders.submission import COLLAR, submit
from execution.orders import IntentKey
from execution.planning.plan import sending_order
from execution.planning.pretrade import reserved
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
