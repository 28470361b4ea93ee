"""The ledger's events and their outcomes, and its rows of a bank of analogs: ended events as the net of one bundle sees them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from appliance.ledger.database import Ledger
from appliance.ledger.values import columns_of
from signals.events.daily import DailyEvent, DailyOutcome


@dataclass(frozen=True)
class EventRow(DailyEvent):
    """One event as it was found at `asof` and recorded at `at`."""

    at: datetime


@dataclass(frozen=True)
class OutcomeRow(DailyOutcome):
    """What became of an event, as it was computed at `at`."""

    at: datetime


@dataclass(frozen=True)
class EndedEvent:
    """An event whose trade is over: what it realised, and the session that knew it."""

    asof: date
    symbol: str
    realised_r: float
    known: date


@dataclass(frozen=True)
class BankRow(EndedEvent):
    """An event in the bank: bundle whose net saw it, evening that took it in; no quality and vector (float32) without a picture."""

    bundle: str
    quality: float | None
    vector: bytes | None
    evening: date
    at: datetime


def save(ledger: Ledger, rows: Iterable[EventRow]) -> int:
    """Record the events that are not recorded yet; return how many."""
    with ledger.transaction():
        return sum(ledger.insert("events", columns_of(row), conflict="ON CONFLICT DO NOTHING") for row in rows)


def save_in_bank(ledger: Ledger, rows: Iterable[BankRow]) -> None:
    """Add rows of the bank, once each; the ledger refuses one whose outcome was not known before the evening."""
    with ledger.transaction():
        for row in rows:
            ledger.insert("bank_rows", columns_of(row), conflict="ON CONFLICT DO NOTHING")


def save_outcomes(ledger: Ledger, rows: Sequence[OutcomeRow]) -> None:
    """Record outcomes, in the place of earlier ones that were not final."""
    with ledger.transaction():
        for row in rows:
            columns = columns_of(row)
            renewed = ", ".join(f"{name} = excluded.{name}" for name in columns)
            ledger.insert("outcomes", columns, conflict=f"ON CONFLICT (asof, symbol) DO UPDATE SET {renewed}")


def newest(ledger: Ledger, until: date) -> date | None:
    """Return the newest session with a recorded event up to `until`."""
    return ledger.first(date, "SELECT asof FROM events WHERE asof <= ? ORDER BY asof DESC LIMIT 1", (until,))


def of_session(ledger: Ledger, asof: date) -> tuple[EventRow, ...]:
    """Return the events of a session by symbol."""
    return tuple(ledger.read(EventRow, "SELECT * FROM events WHERE asof = ? ORDER BY symbol", (asof,)))


def open_events(ledger: Ledger, before: date) -> tuple[EventRow, ...]:
    """Return the events of sessions before `before` whose outcome is not final, oldest first."""
    query = """SELECT events.* FROM events LEFT JOIN outcomes USING (asof, symbol)
    WHERE events.asof < ? AND coalesce(outcomes.is_final, 0) = 0 ORDER BY events.asof, events.symbol"""
    return tuple(ledger.read(EventRow, query, (before,)))


def of_open_draws(ledger: Ledger, before: date) -> tuple[EventRow, ...]:
    """Return the events of sessions before `before` whose drawn arm's trade has not ended, oldest first; their own may have."""
    query = """SELECT events.* FROM events JOIN draws USING (asof, symbol)
    WHERE events.asof < ? AND draws.exit IS NULL ORDER BY events.asof, events.symbol"""
    return tuple(ledger.read(EventRow, query, (before,)))


def labelled(ledger: Ledger, first: date, last: date) -> list[tuple[EventRow, OutcomeRow | None]]:
    """Return the events of a range of sessions, newest first, each with its outcome where there is one."""
    span = (first, last)
    events = ledger.read(EventRow, "SELECT * FROM events WHERE asof BETWEEN ? AND ? ORDER BY asof DESC, symbol", span)
    made = {(row.asof, row.symbol): row for row in ledger.read(OutcomeRow, "SELECT * FROM outcomes WHERE asof BETWEEN ? AND ?", span)}
    return [(row, made.get((row.asof, row.symbol))) for row in events]


def not_in_bank(ledger: Ledger, bundle: str, since: tuple[date, date, date], most: int) -> tuple[EndedEvent, ...]:
    """Return ended events that a bundle's net has not seen, oldest outcome first; with those that the evening took in, `most`.

    `since` are the first session of an event, the session after which its outcome was known, and the evening, before which it was.
    """
    query = """SELECT asof, symbol, realised_r, known FROM outcomes
    WHERE realised_r IS NOT NULL AND asof >= ? AND known > ? AND known < ?
    AND (asof, symbol) NOT IN (SELECT asof, symbol FROM bank_rows WHERE bundle = ?)
    ORDER BY known, asof, symbol LIMIT max(0, ? - (SELECT count(*) FROM bank_rows WHERE bundle = ? AND evening = ?))"""
    return tuple(ledger.read(EndedEvent, query, (*since, bundle, most, bundle, since[2])))


def in_bank(ledger: Ledger, bundle: str, asof: date, most: int) -> list[BankRow]:
    """Return the newest `most` rows of a bundle with a picture, known before `asof` and taken in by then, oldest outcome first."""
    query = """SELECT * FROM bank_rows WHERE bundle = ? AND vector IS NOT NULL AND known < ? AND evening <= ?
    ORDER BY known DESC, asof DESC, symbol DESC LIMIT ?"""
    return ledger.read(BankRow, query, (bundle, asof, asof, most))[::-1]
