"""The ledger's order intents: one order that we mean to send, its state, and every state transition.

Permitted transitions:

    PLANNED -> JOURNALED -> SENDING -> ACKED -> WORKING -> PARTIAL -> FILLED, CANCELED, EXPIRED, REPLACED
                               |                                      or VENUE_REJECTED
                               |-> REFUSED
                               '-> UNKNOWN -> ACKED | ABSENT -> SENDING (once more) | LAPSED
    PLANNED or JOURNALED -> DENIED: a pre-trade check dropped it, or its window closed before it was sent

An order that turns up at the broker for an intent that never left, by our record, is adopted (-> ACKED): the broker's
book is the truth, and the halt that goes with it notifies a person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from appliance.ledger.database import Ledger, columns_of
from appliance.ledger.values import Storable, known
from execution.orders import Intent, IntentKey, OrderStatus, OrderType, Side, TimeInForce
from signals.errors import InvariantBroken


class IntentState(StrEnum):
    """The state of an intent."""

    PLANNED = "planned"
    JOURNALED = "journaled"
    SENDING = "sending"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    ACKED = "acked"
    WORKING = "working"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    VENUE_REJECTED = "venue_rejected"
    REPLACED = "replaced"
    REFUSED = "refused"
    DENIED = "denied"
    LAPSED = "lapsed"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing more can come of the intent."""
        return self in FINISHED

    @property
    def is_at_broker(self) -> bool:
        """Whether the broker is known to have an order for it, alive or done."""
        return self in AT_BROKER

    @property
    def is_in_doubt(self) -> bool:
        """Whether the broker may or may not have the order: to be resolved before anything else."""
        return self in (IntentState.SENDING, IntentState.UNKNOWN, IntentState.ABSENT)


_S = IntentState
UNSENT = frozenset({_S.PLANNED, _S.JOURNALED})
ENDED_AT_BROKER = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED, _S.VENUE_REJECTED, _S.REPLACED})
NEVER_AT_BROKER = frozenset({_S.REFUSED, _S.DENIED, _S.LAPSED})
FINISHED = ENDED_AT_BROKER | NEVER_AT_BROKER
LIVE_AT_BROKER = frozenset({_S.ACKED, _S.WORKING, _S.PARTIAL})
AT_BROKER = LIVE_AT_BROKER | ENDED_AT_BROKER

MOVES: dict[IntentState, frozenset[IntentState]] = {
    _S.PLANNED: frozenset({_S.JOURNALED, _S.DENIED, _S.ACKED}),
    _S.JOURNALED: frozenset({_S.SENDING, _S.DENIED, _S.ACKED}),
    _S.SENDING: frozenset({_S.ACKED, _S.REFUSED, _S.UNKNOWN}),
    _S.UNKNOWN: frozenset({_S.ACKED, _S.ABSENT}),
    _S.ABSENT: frozenset({_S.ACKED, _S.SENDING, _S.LAPSED}),
    _S.ACKED: frozenset({_S.WORKING, _S.PARTIAL}) | ENDED_AT_BROKER,
    _S.WORKING: frozenset({_S.PARTIAL}) | ENDED_AT_BROKER,
    _S.PARTIAL: ENDED_AT_BROKER,
    _S.REFUSED: frozenset({_S.ACKED}),
    _S.LAPSED: frozenset({_S.ACKED}),
    _S.DENIED: frozenset({_S.ACKED}),
    **{ended: frozenset() for ended in ENDED_AT_BROKER},
}

ENDINGS = {
    OrderStatus.FILLED: _S.FILLED,
    OrderStatus.CANCELED: _S.CANCELED,
    OrderStatus.EXPIRED: _S.EXPIRED,
    OrderStatus.REJECTED: _S.VENUE_REJECTED,
    OrderStatus.REPLACED: _S.REPLACED,
}


LEADER = ", ".join(f"leader.{part} AS waits_for_{part}" for part in ("account", "session", "book", "symbol", "slice", "attempt"))
ENTRIES = (
    f"SELECT intents.*, intents.tif AS time_in_force, {LEADER} FROM intents"
    " LEFT JOIN intents AS leader ON leader.client_order_id = intents.waits_for"
)
BY_KEY = "ORDER BY " + ", ".join(f"intents.{part}" for part in ("account", "session", "book", "symbol", "slice", "attempt"))
StoredKey = tuple[str, date, str, str, int, int]


@dataclass(frozen=True)
class JournalEntry:
    """An intent with its state.

    Attributes
    ----------
    broker_order_id : str or None
        None until the broker is known to have it.
    posts : int
        Requests sent, each counted on disk before it leaves; never more than two.
    filled_quantity : Decimal
        Shares, as the broker last reported.
    refusal_status, refusal_code : int or None
        HTTP status and code of a definitive refusal.
    """

    intent: Intent
    state: IntentState
    broker_order_id: str | None
    posts: int
    filled_quantity: Decimal
    reason: str
    refusal_status: int | None
    refusal_code: int | None
    updated_at: datetime

    @property
    def client_order_id(self) -> str:
        """The id under which the broker knows it, or would."""
        return self.intent.key.client_order_id

    @property
    def refusal(self) -> tuple[int, int] | None:
        """Status and code of a definitive refusal, or None."""
        both = self.refusal_status, self.refusal_code
        return None if both[0] is None or both[1] is None else (both[0], both[1])

    @property
    def residual(self) -> Decimal:
        """Shares not filled."""
        return self.intent.quantity - self.filled_quantity


@dataclass(frozen=True)
class IntentEvent:
    """One transition; `from_state` is None for the first."""

    client_order_id: str
    at: datetime
    from_state: IntentState | None
    to_state: IntentState
    reason: str


def add(ledger: Ledger, intent: Intent, at: datetime) -> None:
    """Record a new intent as PLANNED; raise `InvariantBroken` when its key is already taken."""
    key = intent.key
    with ledger.transaction():
        if ledger.value("SELECT 1 FROM intents WHERE client_order_id = ?", (key.client_order_id,)):
            raise InvariantBroken("an intent of this key is already in the ledger", where=key.client_order_id)
        ledger.insert(
            "intents",
            {
                "client_order_id": key.client_order_id,
                **columns_of(key),
                "side": intent.side,
                "quantity": intent.quantity,
                "type": intent.type,
                "tif": intent.time_in_force,
                "reference_price": intent.reference_price,
                "limit_price": intent.limit_price,
                "reduces": intent.reduces,
                "waits_for": intent.waits_for.client_order_id if intent.waits_for else None,
                "state": IntentState.PLANNED,
                "updated_at": at,
            },
        )
        _record(ledger, key.client_order_id, None, IntentState.PLANNED, at, "")


@dataclass(frozen=True)
class OrderFacts:
    """Facts of an order at the broker: its id, shares filled, HTTP status and code of a refusal.

    None keeps what is recorded.
    """

    broker_order_id: str | None = None
    filled_quantity: Decimal | None = None
    refusal: tuple[int, int] | None = None


NOTHING_NEW = OrderFacts()


def move(
    ledger: Ledger, client_order_id: str, to: IntentState, at: datetime, reason: str = "", learned: OrderFacts = NOTHING_NEW
) -> JournalEntry:
    """Take one step of the state machine, durably, and return the entry in its new state.

    A step to SENDING counts one more post. Raise `InvariantBroken` for a step that the machine does not have, a third
    post, or a fall in the filled quantity.
    """
    with ledger.transaction():
        entry = require(ledger, client_order_id)
        if to not in MOVES[entry.state]:
            raise InvariantBroken(f"an intent does not go from {entry.state} to {to}", where=client_order_id)
        _write(ledger, entry, to, at, reason, learned)
        _record(ledger, client_order_id, entry.state, to, at, reason)
        return require(ledger, client_order_id)


def record_filled(ledger: Ledger, client_order_id: str, filled_quantity: Decimal, at: datetime) -> None:
    """Record a larger filled quantity of an intent that stays in its state."""
    with ledger.transaction():
        entry = require(ledger, client_order_id)
        _write(ledger, entry, entry.state, at, entry.reason, OrderFacts(filled_quantity=filled_quantity))


def correct(
    ledger: Ledger,
    client_order_id: str,
    to: IntentState,
    at: datetime,
    reason: str,
    *,
    broker_order_id: str | None,
    filled_quantity: Decimal,
) -> None:
    """Record what the broker has in place of what we had: a person's decision, which no rule of the machine binds."""
    with ledger.transaction():
        entry = require(ledger, client_order_id)
        ledger.execute(
            "UPDATE intents SET state = ?, broker_order_id = ?, filled_quantity = ?, reason = ?, updated_at = ? WHERE client_order_id = ?",
            (to, broker_order_id, filled_quantity, reason, at, client_order_id),
        )
        _record(ledger, client_order_id, entry.state, to, at, reason)


def _write(ledger: Ledger, entry: JournalEntry, to: IntentState, at: datetime, reason: str, learned: OrderFacts) -> None:
    filled = entry.filled_quantity if learned.filled_quantity is None else learned.filled_quantity
    posts = entry.posts + (to is IntentState.SENDING)
    if filled < entry.filled_quantity:
        raise InvariantBroken(f"filled fell from {entry.filled_quantity} to {filled} shares", where=entry.client_order_id)
    if posts > 2:
        raise InvariantBroken("an intent is posted at most twice", where=entry.client_order_id)
    status, code = learned.refusal or entry.refusal or (None, None)
    ledger.execute(
        "UPDATE intents SET state = ?, broker_order_id = ?, posts = ?, filled_quantity = ?, reason = ?,"
        " refusal_status = ?, refusal_code = ?, updated_at = ? WHERE client_order_id = ?",
        (to, learned.broker_order_id or entry.broker_order_id, posts, filled, reason, status, code, at, entry.client_order_id),
    )


def _record(ledger: Ledger, client_order_id: str, origin: IntentState | None, to: IntentState, at: datetime, reason: str) -> None:
    ledger.insert("intent_events", columns_of(IntentEvent(client_order_id, at, origin, to, reason)))


def find(ledger: Ledger, client_order_id: str) -> JournalEntry | None:
    """Return the entry of `client_order_id`, or None."""
    return ledger.first(JournalEntry, f"{ENTRIES} WHERE intents.client_order_id = ?", (client_order_id,))


def require(ledger: Ledger, client_order_id: str) -> JournalEntry:
    """Return the entry of an intent that must exist."""
    return known(find(ledger, client_order_id), "intent", client_order_id)


def of_session(ledger: Ledger, session: date) -> tuple[JournalEntry, ...]:
    """Return the session's entries, follow-up attempts included, by key."""
    return _entries(ledger, "WHERE intents.session = ?", session)


def of_symbol(ledger: Ledger, session: date, symbol: str) -> tuple[JournalEntry, ...]:
    """Return the session's entries of one symbol, by key."""
    return _entries(ledger, "WHERE intents.session = ? AND intents.symbol = ?", session, symbol)


def resent(ledger: Ledger, session: date) -> int:
    """Count the session's orders that were posted a second time."""
    found = ledger.value("SELECT count(*) FROM intents WHERE session = ? AND posts > 1", (session,))
    return found if isinstance(found, int) else 0


def since(ledger: Ledger, first: date) -> tuple[JournalEntry, ...]:
    """Return the entries of the sessions from `first` on, by key."""
    return _entries(ledger, "WHERE intents.session >= ?", first)


def in_states(ledger: Ledger, states: Iterable[IntentState]) -> tuple[JournalEntry, ...]:
    """Return the entries of every session that are in one of `states`, by key."""
    wanted = sorted(states)
    return _entries(ledger, f"WHERE intents.state IN ({', '.join('?' * len(wanted))})", *wanted)


def unfinished(ledger: Ledger) -> tuple[JournalEntry, ...]:
    """Return every entry that can still change, by key."""
    return in_states(ledger, frozenset(IntentState) - FINISHED)


def events(ledger: Ledger, client_order_id: str) -> tuple[IntentEvent, ...]:
    """Return the transitions of one intent, oldest first."""
    return tuple(ledger.read(IntentEvent, "SELECT * FROM intent_events WHERE client_order_id = ? ORDER BY id", (client_order_id,)))


def _entries(ledger: Ledger, which: str, *values: Storable) -> tuple[JournalEntry, ...]:
    return tuple(ledger.read(JournalEntry, f"{ENTRIES} {which} {BY_KEY}", values))


@dataclass(frozen=True)
class StoredIntent:
    """An intent as the plan's body keeps it; keys are account, session, book, symbol, slice and attempt."""

    key: StoredKey
    side: Side
    quantity: Decimal
    type: OrderType
    tif: TimeInForce
    reference_price: Decimal
    limit_price: Decimal | None
    reduces: bool
    waits_for: StoredKey | None

    @classmethod
    def of(cls, intent: Intent) -> StoredIntent:
        """Return how an intent is kept."""
        return cls(
            key=_stored_key(intent.key),
            side=intent.side,
            quantity=intent.quantity,
            type=intent.type,
            tif=intent.time_in_force,
            reference_price=intent.reference_price,
            limit_price=intent.limit_price,
            reduces=intent.reduces,
            waits_for=None if intent.waits_for is None else _stored_key(intent.waits_for),
        )

    @property
    def intent(self) -> Intent:
        """The intent that is kept."""
        return Intent(
            key=IntentKey(*self.key),
            side=self.side,
            quantity=self.quantity,
            type=self.type,
            time_in_force=self.tif,
            reference_price=self.reference_price,
            limit_price=self.limit_price,
            reduces=self.reduces,
            waits_for=None if self.waits_for is None else IntentKey(*self.waits_for),
        )


def _stored_key(key: IntentKey) -> StoredKey:
    return key.account, key.session, key.book, key.symbol, key.slice, key.attempt
