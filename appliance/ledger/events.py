"""The ledger's events and their outcomes, and its rows of a bank of analogs: ended events as the net of one bundle sees them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from itertools import groupby
from math import sqrt
from statistics import mean, stdev

from appliance.ledger.database import Ledger, columns_of
from signals.events.recorded import RULES, DailyEvent, DailyOutcome


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


TABLES: dict[type, str] = {EventRow: "events", OutcomeRow: "outcomes", BankRow: "bank_rows"}


def save(ledger: Ledger, rows: Iterable[EventRow | OutcomeRow | BankRow]) -> int:
    """Record rows, once each, but for outcomes, which replace those that were not final; return how many were written.

    The ledger refuses a row of the bank whose outcome was not known before the evening.
    """
    once, renewed = "DO NOTHING", ", ".join(f"{one.name} = excluded.{one.name}" for one in fields(OutcomeRow))
    conflict = {"outcomes": f"(asof, symbol) DO UPDATE SET {renewed}"}
    with ledger.transaction():
        tables = ((TABLES[type(row)], row) for row in rows)
        return sum(ledger.insert(table, columns_of(row), conflict=f"ON CONFLICT {conflict.get(table, once)}") for table, row in tables)


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


Labelled = Sequence[tuple[EventRow, OutcomeRow | None]]  # newest session first


def labelled(ledger: Ledger, first: date, last: date) -> Labelled:
    """Return the events of a range of sessions, newest first, each with its outcome where there is one."""
    span = (first, last)
    events = ledger.read(EventRow, "SELECT * FROM events WHERE asof BETWEEN ? AND ? ORDER BY asof DESC, symbol", span)
    made = {(row.asof, row.symbol): row for row in ledger.read(OutcomeRow, "SELECT * FROM outcomes WHERE asof BETWEEN ? AND ?", span)}
    return [(row, made.get((row.asof, row.symbol))) for row in events]


@dataclass(frozen=True)
class EventSummary:
    """Counts of some events since a session, and their mean R before costs; its error takes those of one session together."""

    kind: str
    since: date
    events: int
    ended: int
    targets: int
    stops: int
    ties: int
    mean_r: float | None
    error: float | None


def summaries(ledger: Ledger, pairs: Labelled) -> tuple[EventSummary, ...]:
    """Sum up labelled events by kind; and those that a gate judged, and let through: whose probability paid the costs of their trade."""
    if not pairs:
        return ()
    query = "SELECT asof, symbol, probability FROM scores WHERE sleeve = 'event_gate' AND asof BETWEEN ? AND ? AND probability IS NOT NULL"
    rows = ledger.read(tuple[date, str, float], query, (pairs[-1][0].asof, pairs[0][0].asof))
    said = {(asof, symbol): probability for asof, symbol, probability in rows}
    judged = [pair for pair in pairs if (pair[0].asof, pair[0].symbol) in said]
    paid = [(one, made) for one, made in judged if said[one.asof, one.symbol] > RULES.least_probability(RULES.cost_r(one.atr))]
    by_kind = groupby(sorted(pairs, key=lambda pair: pair[0].kind), key=lambda pair: pair[0].kind)
    kinds = tuple(_summary(kind, list(rows), pairs[-1][0].asof) for kind, rows in by_kind)
    of_gate = (("judged by the gate", judged), ("let through by the gate", paid)) if judged else ()
    return (*kinds, *(_summary(what, some, judged[-1][0].asof) for what, some in of_gate))


def _summary(kind: str, pairs: Labelled, since: date) -> EventSummary:
    ended = [(event.asof, made.realised_r, made) for event, made in pairs if made is not None and made.realised_r is not None]
    found = mean([r for _, r, _ in ended]) if ended else None
    sums = [sum(r - (found or 0.0) for _, r, _ in group) for _, group in groupby(sorted(ended, key=lambda x: x[0]), key=lambda x: x[0])]
    error = stdev(sums) * sqrt(len(sums)) / len(ended) if len(sums) > 1 else None
    targets, stops = (sum(made.exit == how for _, _, made in ended) for how in ("target", "stop"))
    return EventSummary(kind, since, len(pairs), len(ended), targets, stops, sum(made.is_tie for _, _, made in ended), found, error)


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
