"""Unfilled remainders of orders that we cancelled between steps: recorded until attempted again or denied.

Invariants
----------
1. That a rest is wanted is on disk before the cancel request leaves: whoever comes back after a crash knows that the
   cancellation was ours, and one that somebody else asked for is followed by nothing.
2. A rest ends in one transaction with what becomes of it: the journal's next attempt, or one that is denied.
3. No rest ends without a row: what could not be attempted before its window closed is journaled and denied.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from appliance.ledger import intents, plans
from appliance.ledger.database import Ledger
from appliance.ledger.intents import UNSENT, IntentState, JournalEntry
from appliance.orders.conservation import exposed
from appliance.orders.order_path import OrderPath
from appliance.orders.submission import deny, is_past
from execution.orders import Intent, Plan
from execution.planning.sending import remainder

KEY = "rests"
ENDED = (IntentState.CANCELED, IntentState.FILLED)
ZERO = Decimal(0)


@dataclass(frozen=True)
class Remainders:
    """The rests that are wanted, and the attempts that were made of earlier ones.

    Attributes
    ----------
    wanted : mapping of client order id to step
        The newest attempt of each planned order whose rest may leave again, and the step that asked for it.
    leaving : mapping of client order id to step
        New attempts, and the step with which each leaves.
    """

    wanted: Mapping[str, int]
    leaving: Mapping[str, int]

    @classmethod
    def read(cls, ledger: Ledger) -> Remainders:
        """Read the record."""
        body = json.loads(ledger.read_meta(KEY) or "{}")
        return cls(dict(body.get("wanted", {})), dict(body.get("leaving", {})))

    def write(self, ledger: Ledger) -> None:
        """Make the record durable."""
        ledger.write_meta(KEY, json.dumps({"wanted": self.wanted, "leaving": self.leaving}, sort_keys=True))

    def of_session(self, ledger: Ledger, session: date) -> Remainders:
        """Return the record without the attempts of earlier sessions; what is still wanted of those stays on it."""
        own = {cid: n for cid, n in self.leaving.items() if intents.require(ledger, cid).intent.key.session == session}
        return replace(self, leaving=own)

    def wanting(self, client_order_ids: Iterable[str], step: int) -> Remainders:
        """Return the record in which the rests of these attempts are wanted, too."""
        return replace(self, wanted={**self.wanted, **dict.fromkeys(client_order_ids, step)})

    def without(self, client_order_id: str) -> Remainders:
        """Return the record in which the rest of this attempt is wanted no more."""
        return replace(self, wanted={cid: step for cid, step in self.wanted.items() if cid != client_order_id})

    def made(self, following: str, step: int) -> Remainders:
        """Return the record with a new attempt that leaves with `step`."""
        return replace(self, leaving={**self.leaving, following: step})

    def step_of(self, entry: JournalEntry) -> int:
        """The step with which an attempt leaves."""
        return self.leaving.get(entry.client_order_id, entry.intent.step)


def remainder_of(plan: Plan, attempts: Iterable[JournalEntry], intent: Intent) -> Decimal:
    """Shares of the planned order behind `intent` that none of its attempts has filled or may still fill."""
    return remainder(plan, intent, ((entry.intent.key, exposed(entry)) for entry in attempts))


def quantity_at_step(rests: Remainders, attempts: Iterable[JournalEntry], step: int) -> Decimal:
    """Shares of a name's new attempts that leave with `step`, or have yet to leave."""
    return sum(
        (
            entry.intent.quantity
            for entry in attempts
            if entry.intent.key.attempt > 0 and (entry.state in UNSENT or rests.leaving.get(entry.client_order_id) == step)
        ),
        ZERO,
    )


def record_lapsed(path: OrderPath) -> tuple[JournalEntry, ...]:
    """Journal and deny what was never attempted of the rests whose window has closed; return those rows."""
    rests = Remainders.read(path.ledger)
    rows = [intents.require(path.ledger, cid) for cid in rests.wanted]
    over = [entry for entry in rows if entry.state.is_terminal and is_past(path, entry.intent)]
    lost: list[JournalEntry] = []
    for last in over:
        rests = rests.without(last.client_order_id)
        with path.ledger.transaction():
            rests.write(path.ledger)
            shares = _unattempted(path, last)
            if shares * last.intent.reference_price >= path.config.submission.min_residual_usd:
                lost.append(_denied(path, last, shares))
    return tuple(lost)


def _unattempted(path: OrderPath, last: JournalEntry) -> Decimal:
    """Shares of the rest that no attempt has asked for; what an attempt asked for has that attempt's row."""
    key = last.intent.key
    rest = remainder_of(plans.require(path.ledger, key.session), intents.of_symbol(path.ledger, key.session, key.symbol), last.intent)
    return rest if last.state in ENDED else rest - last.residual


def _denied(path: OrderPath, last: JournalEntry, shares: Decimal) -> JournalEntry:
    following = last.intent.next_attempt(shares, last.intent.time_in_force)
    intents.add(path.ledger, following, path.clock.now())
    entry = intents.require(path.ledger, following.key.client_order_id)
    return deny(path, entry, f"what step {last.intent.step} left unfilled: its window closed before it could be sent")
