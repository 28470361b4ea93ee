"""Intents: one order that we mean to send, its state, and every transition that led there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from appliance.ledger import values
from appliance.ledger.database import Ledger, Value
from appliance.ledger.states import FINISHED, MOVES, IntentState
from appliance.ledger.values import Row
from execution.orders import Intent, IntentKey, OrderType, Side, TimeInForce
from signals.errors import InvariantBroken


@dataclass(frozen=True)
class JournalEntry:
    """An intent with where it stands.

    Attributes
    ----------
    broker_order_id : str or None
        None until the broker is known to have it.
    posts : int
        Requests sent, each counted on disk before it leaves; never more than two.
    filled_quantity : Decimal
        Shares, as the broker last reported.
    """

    intent: Intent
    state: IntentState
    broker_order_id: str | None
    posts: int
    filled_quantity: Decimal
    reason: str
    refusal: tuple[int, int] | None
    updated_at: datetime

    @property
    def client_order_id(self) -> str:
        """The id under which the broker knows it, or would."""
        return self.intent.key.client_order_id

    @property
    def residual(self) -> Decimal:
        """Shares not filled."""
        return self.intent.quantity - self.filled_quantity


@dataclass(frozen=True)
class IntentEvent:
    """One transition; `origin` is None for the first."""

    client_order_id: str
    at: datetime
    origin: IntentState | None
    to: IntentState
    reason: str


def add(ledger: Ledger, intent: Intent, at: datetime) -> None:
    """Record a new intent as PLANNED; raise `InvariantBroken` when its key is already taken."""
    key = intent.key
    with ledger.transaction():
        if find(ledger, key.client_order_id) is not None:
            raise InvariantBroken("an intent of this key is already in the ledger", where=key.client_order_id)
        ledger.execute(
            "INSERT INTO intents (client_order_id, account, session, book, symbol, slice, attempt, side, quantity,"
            " type, tif, reference_price, limit_price, reduces, waits_for, state, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key.client_order_id,
                key.account,
                key.session.isoformat(),
                key.book,
                key.symbol,
                key.slice,
                key.attempt,
                intent.side.value,
                values.amount(intent.quantity),
                intent.type.value,
                intent.time_in_force.value,
                values.amount(intent.reference_price),
                values.amount(intent.limit_price),
                int(intent.reduces),
                intent.waits_for.client_order_id if intent.waits_for else None,
                IntentState.PLANNED.value,
                values.stamp(at),
            ),
        )
        _record(ledger, key.client_order_id, None, IntentState.PLANNED, at, "")


def move(
    ledger: Ledger,
    client_order_id: str,
    to: IntentState,
    at: datetime,
    reason: str = "",
    *,
    broker_order_id: str | None = None,
    filled_quantity: Decimal | None = None,
    refusal: tuple[int, int] | None = None,
) -> JournalEntry:
    """Take one step of the state machine, durably, and return the entry as it now stands.

    A step to SENDING counts one more post. Raise `InvariantBroken` for a step that the machine does not have, a third
    post, or a fall in the filled quantity.
    """
    with ledger.transaction():
        entry = require(ledger, client_order_id)
        if to not in MOVES[entry.state]:
            raise InvariantBroken(f"an intent does not go from {entry.state} to {to}", where=client_order_id)
        _write(ledger, entry, to, at, reason, broker_order_id, filled_quantity, refusal)
        _record(ledger, client_order_id, entry.state, to, at, reason)
        return require(ledger, client_order_id)


def note_filled(ledger: Ledger, client_order_id: str, filled_quantity: Decimal, at: datetime) -> None:
    """Record a larger filled quantity of an intent that stays in its state."""
    with ledger.transaction():
        entry = require(ledger, client_order_id)
        _write(ledger, entry, entry.state, at, entry.reason, None, filled_quantity, None)


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
            (to.value, broker_order_id, values.amount(filled_quantity), reason, values.stamp(at), client_order_id),
        )
        _record(ledger, client_order_id, entry.state, to, at, reason)


def _write(
    ledger: Ledger,
    entry: JournalEntry,
    to: IntentState,
    at: datetime,
    reason: str,
    broker_order_id: str | None,
    filled_quantity: Decimal | None,
    refusal: tuple[int, int] | None,
) -> None:
    filled = entry.filled_quantity if filled_quantity is None else filled_quantity
    posts = entry.posts + (to is IntentState.SENDING)
    if filled < entry.filled_quantity:
        raise InvariantBroken(f"filled fell from {entry.filled_quantity} to {filled} shares", where=entry.client_order_id)
    if posts > 2:
        raise InvariantBroken("an intent is posted at most twice", where=entry.client_order_id)
    status, code = refusal or entry.refusal or (None, None)
    ledger.execute(
        "UPDATE intents SET state = ?, broker_order_id = ?, posts = ?, filled_quantity = ?, reason = ?,"
        " refusal_status = ?, refusal_code = ?, updated_at = ? WHERE client_order_id = ?",
        (
            to.value,
            broker_order_id or entry.broker_order_id,
            posts,
            values.amount(filled),
            reason,
            status,
            code,
            values.stamp(at),
            entry.client_order_id,
        ),
    )


def _record(ledger: Ledger, client_order_id: str, origin: IntentState | None, to: IntentState, at: datetime, reason: str) -> None:
    ledger.execute(
        "INSERT INTO intent_events (client_order_id, at, from_state, to_state, reason) VALUES (?, ?, ?, ?, ?)",
        (client_order_id, values.stamp(at), origin.value if origin else None, to.value, reason),
    )


def find(ledger: Ledger, client_order_id: str) -> JournalEntry | None:
    """Return the entry of `client_order_id`, or None."""
    row = ledger.row("SELECT * FROM intents WHERE client_order_id = ?", (client_order_id,))
    return None if row is None else _entry(ledger, row)


def require(ledger: Ledger, client_order_id: str) -> JournalEntry:
    """Return the entry of an intent that must exist."""
    entry = find(ledger, client_order_id)
    if entry is None:
        raise InvariantBroken("no such intent in the ledger", where=client_order_id)
    return entry


def of_session(ledger: Ledger, session: date) -> tuple[JournalEntry, ...]:
    """Return the session's entries, follow-up attempts included, by key."""
    found = ledger.rows(
        "SELECT * FROM intents WHERE session = ? ORDER BY account, session, book, symbol, slice, attempt", (session.isoformat(),)
    )
    return tuple(_entry(ledger, row) for row in found)


def of_symbol(ledger: Ledger, session: date, symbol: str) -> tuple[JournalEntry, ...]:
    """Return the session's entries of one symbol, by key."""
    found = ledger.rows(
        "SELECT * FROM intents WHERE session = ? AND symbol = ? ORDER BY account, book, slice, attempt", (session.isoformat(), symbol)
    )
    return tuple(_entry(ledger, row) for row in found)


def resent(ledger: Ledger, session: date) -> int:
    """Count the session's orders that were posted a second time."""
    found = ledger.value("SELECT count(*) FROM intents WHERE session = ? AND posts > 1", (session.isoformat(),))
    return found if isinstance(found, int) else 0


def since(ledger: Ledger, first: date) -> tuple[JournalEntry, ...]:
    """Return the entries of the sessions from `first` on, by key."""
    found = ledger.rows(
        "SELECT * FROM intents WHERE session >= ? ORDER BY account, session, book, symbol, slice, attempt", (first.isoformat(),)
    )
    return tuple(_entry(ledger, row) for row in found)


def in_states(ledger: Ledger, states: Iterable[IntentState]) -> tuple[JournalEntry, ...]:
    """Return the entries of every session that stand in one of `states`, by key."""
    wanted = sorted(state.value for state in states)
    marks = ", ".join("?" for _ in wanted)
    found = ledger.rows(f"SELECT * FROM intents WHERE state IN ({marks}) ORDER BY account, session, book, symbol, slice, attempt", wanted)
    return tuple(_entry(ledger, row) for row in found)


def unfinished(ledger: Ledger) -> tuple[JournalEntry, ...]:
    """Return every entry that can still change, by key."""
    return in_states(ledger, frozenset(IntentState) - FINISHED)


def events(ledger: Ledger, client_order_id: str) -> tuple[IntentEvent, ...]:
    """Return the transitions of one intent, oldest first."""
    found = ledger.rows("SELECT * FROM intent_events WHERE client_order_id = ? ORDER BY id", (client_order_id,))
    return tuple(_event(row) for row in found)


def _event(row: Row) -> IntentEvent:
    origin = values.optional_text(row, "from_state")
    return IntentEvent(
        client_order_id=values.text(row, "client_order_id"),
        at=values.instant(row, "at"),
        origin=IntentState(origin) if origin else None,
        to=IntentState(values.text(row, "to_state")),
        reason=values.text(row, "reason"),
    )


def _entry(ledger: Ledger, row: Row) -> JournalEntry:
    waits_for = values.optional_text(row, "waits_for")
    leader: Row | None = None
    if waits_for:
        leader = ledger.row("SELECT * FROM intents WHERE client_order_id = ?", (waits_for,))
    code: Value = row["refusal_code"]
    return JournalEntry(
        intent=Intent(
            key=_key(row),
            side=Side(values.text(row, "side")),
            quantity=values.number(row, "quantity"),
            type=OrderType(values.text(row, "type")),
            time_in_force=TimeInForce(values.text(row, "tif")),
            reference_price=values.number(row, "reference_price"),
            limit_price=values.optional_number(row, "limit_price"),
            reduces=bool(values.integer(row, "reduces")),
            waits_for=_key(leader) if leader else None,
        ),
        state=IntentState(values.text(row, "state")),
        broker_order_id=values.optional_text(row, "broker_order_id"),
        posts=values.integer(row, "posts"),
        filled_quantity=values.number(row, "filled_quantity"),
        reason=values.text(row, "reason"),
        refusal=None if code is None else (values.integer(row, "refusal_status"), values.integer(row, "refusal_code")),
        updated_at=values.instant(row, "updated_at"),
    )


def _key(row: Row) -> IntentKey:
    return IntentKey(
        account=values.text(row, "account"),
        session=values.day(row, "session"),
        book=values.text(row, "book"),
        symbol=values.text(row, "symbol"),
        slice=values.integer(row, "slice"),
        attempt=values.integer(row, "attempt"),
    )


def to_json(intent: Intent) -> dict[str, Any]:
    """The intent as the plan's body keeps it."""
    return {
        "key": _key_to_json(intent.key),
        "side": intent.side.value,
        "quantity": str(intent.quantity),
        "type": intent.type.value,
        "tif": intent.time_in_force.value,
        "reference_price": str(intent.reference_price),
        "limit_price": None if intent.limit_price is None else str(intent.limit_price),
        "reduces": intent.reduces,
        "waits_for": None if intent.waits_for is None else _key_to_json(intent.waits_for),
    }


def from_json(item: dict[str, Any]) -> Intent:
    """Read back what `to_json` wrote."""
    return Intent(
        key=_key_from_json(item["key"]),
        side=Side(item["side"]),
        quantity=Decimal(item["quantity"]),
        type=OrderType(item["type"]),
        time_in_force=TimeInForce(item["tif"]),
        reference_price=Decimal(item["reference_price"]),
        limit_price=None if item["limit_price"] is None else Decimal(item["limit_price"]),
        reduces=item["reduces"],
        waits_for=None if item["waits_for"] is None else _key_from_json(item["waits_for"]),
    )


def _key_to_json(key: IntentKey) -> list[Any]:
    return [key.account, key.session.isoformat(), key.book, key.symbol, key.slice, key.attempt]


def _key_from_json(parts: list[Any]) -> IntentKey:
    account, session, book, symbol, order_slice, attempt = parts
    return IntentKey(account, date.fromisoformat(session), book, symbol, order_slice, attempt)
