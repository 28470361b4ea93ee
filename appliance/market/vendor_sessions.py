"""Completes sessions that the published dataset does not hold yet, from a vendor's bars audited on the device.

Entry point: `complete`. The published dataset gives the history, the calendar, the names and who is eligible; the
vendor gives raw bars and corporate actions of the sessions after it. When a newer dataset is published, its sessions
take the place of these, and those after its last one are rebuilt over it from their vendor records.

Invariants
----------
1. Audit, identities, returns and eligibility are those of curation: what is stored equals, to the bit, what the
   trainer makes of the same rows. (Where the dataset has a table of members, a name stays the member that it was.)
2. A session is stored whole, with its audit and the SHA-256 of its vendor record, in one transaction,
   or not at all; the record is on disk before.
3. asof is not stored while it is RED: the evening asks again until its deadline. An earlier RED session stays RED.
4. A row that the audit quarantines is counted in its session's reasons and never stored.
5. A session whose record is gone or changed, or which is RED or worse than it was over the newer dataset, is not
   rebuilt: the vendor is asked for it and for all after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.market.bar_columns import COLUMNS
from appliance.market.rows import action_row, audit_body
from appliance.market.snapshot import CompletedSession
from appliance.market.store import MarketStore
from appliance.market.vendor_curation import FIGURES, Curated, StoredBars, curated, fresh_actions, stored_since, unrecorded
from appliance.market.vendor_record import VendorRecord, read_record, store_record
from appliance.system.ports import Fs
from execution.brokers.reported import ReportedBar
from signals.errors import BadConfig, FixInput, InvariantBroken, StoreUnreachable
from signals.market.actions import Action
from signals.market.bars import days_array
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import Calendar, SessionAudit, SessionStatus

if TYPE_CHECKING:
    from appliance.market.vendor_record import BarSource

WINDOW_SESSIONS = 60  # of held bars, for the audit's comparisons: three times its longest
WORSE = (SessionStatus.GREEN, SessionStatus.AMBER, SessionStatus.RED)
APPEND = f"""
INSERT INTO bars ({COLUMNS})
SELECT unnest(?::DATE[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::DOUBLE[]),
    unnest(?::DOUBLE[]), unnest(?::DOUBLE[]), unnest(?::DOUBLE[]), unnest(?::DOUBLE[]), unnest(?::DOUBLE[]),
    unnest(?::DOUBLE[]), unnest(?::BOOLEAN[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::DOUBLE[]),
    unnest(?::DOUBLE[]), unnest(?::BOOLEAN[]), unnest(?::DOUBLE[]), unnest(?::DOUBLE[])
"""
UNVOUCHED = """
SELECT min(session) FROM audits ANTI JOIN completed USING (session) WHERE session > (SELECT max(through) FROM snapshot)
"""


@dataclass(frozen=True)
class CompletionResult:
    """The sessions added to the published ones.

    Attributes
    ----------
    sessions : tuple of date
        Asked for and stored now, oldest first.
    derived : tuple of date
        Rebuilt over a newer dataset from their vendor records, oldest first.
    rows, quarantined : int
        Bars of `sessions` stored, and reported bars that the audit refused.
    unsupported : tuple of str
        Corporate actions that we cannot represent, for a person.
    """

    sessions: tuple[date, ...] = ()
    derived: tuple[date, ...] = ()
    rows: int = 0
    quarantined: int = 0
    unsupported: tuple[str, ...] = ()


def complete(
    market: MarketStore, source: BarSource, manifest: Manifest, calendar: Calendar, asof: date, fs: Fs, folder: Path
) -> CompletionResult:
    """Bring the market store from its newest session up to `asof`.

    Parameters
    ----------
    market : MarketStore
        Holds the published dataset.
    manifest : Manifest
        Of the published dataset.
    asof : date
        A session that has closed.
    folder : Path
        Of the vendor records.

    Raises
    ------
    BadConfig
        The dataset's prices are not raw, as the vendor's are.
    StoreUnreachable
        The vendor cannot be asked for asof yet, or its data of asof are RED; sessions before it are stored.
    BrokerUnreachable, BadBars
        The vendor does not answer, or not in the shape of bars; earlier records remain.
    """
    _require_raw(manifest)
    _drop_unverified_sessions(market)
    derived = _rebuild_from_records(market, manifest, calendar, folder)
    newest = _newest(market)
    days = calendar.between(calendar.next(newest), asof) if newest < asof else ()
    if not days:
        return CompletionResult(derived=derived)
    if asof not in source.final(days[0], asof, calendar):
        raise StoreUnreachable(
            f"the bars of {asof} are not final yet",
            where="stores.bars: alpaca",
            fix="They are 16 minutes after the close; pull tries again until its deadline",
        )
    window = _window(calendar, newest)
    held = stored_since(market.connection(), window)
    answer = _asked(source, held, newest, days, calendar)
    found = curated(held, answer.rows, answer.actions, days, days_array(calendar.between(window, asof)), manifest)
    is_red = found.audits[-1].status is SessionStatus.RED
    kept = found.audits[:-1] if is_red else found.audits
    if kept:
        records = _vendor_records(answer.rows, answer.actions, held.actions, [audit.session for audit in kept])
        _store(market, found, kept, answer.actions, [store_record(fs, folder, one) for one in records])
    if is_red:
        raise _red(found.audits[-1])
    return CompletionResult(
        tuple(audit.session for audit in kept),
        derived,
        sum(audit.usable for audit in kept),
        sum(audit.quarantined for audit in kept),
        answer.unsupported,
    )


@dataclass(frozen=True)
class _VendorAnswer:
    """Bars of the sessions asked for, actions that are not recorded yet, and those that we cannot represent."""

    rows: list[ReportedBar]
    actions: tuple[Action, ...]
    unsupported: tuple[str, ...]


def _asked(source: BarSource, held: StoredBars, newest: date, days: Sequence[date], calendar: Calendar) -> _VendorAnswer:
    """Ask the vendor for the sessions `days`, under every name that what is held has or gets."""
    asof, symbols = days[-1], tuple(sorted(held.newest_symbols()))
    reported, unsupported = source.actions(symbols, newest, calendar.next(asof))
    actions = fresh_actions(reported, held.actions, calendar, asof)
    renamed = {a.new_symbol for a in (*held.actions, *actions) if a.new_symbol and a.effective > newest}
    asked, wanted = {*symbols, *renamed}, set(days)
    rows = [_bar(row) for row in source.bars(sorted(asked), days[0], asof, calendar) if row.symbol in asked and row.day in wanted]
    return _VendorAnswer(rows, actions, tuple(unsupported))


def _require_raw(manifest: Manifest) -> None:
    if manifest.basis is not PriceBasis.RAW:
        raise BadConfig(
            f"a vendor's raw bars do not continue {manifest.basis} ones",
            where=f"stores.bars, {manifest.name}",
            fix="Publish a dataset of raw prices, or set stores.bars to published",
        )


def _drop_unverified_sessions(market: MarketStore) -> None:
    """Drop the first session without an intact record, and all after it, with every action that was known with it."""
    connection = market.connection()
    row = connection.execute(UNVOUCHED).fetchone()
    if row is None or row[0] is None:
        return
    with market.transaction():
        for table in ("bars", "audits", "completed"):
            connection.execute(f"DELETE FROM {table} WHERE session >= ?", [row[0]])
        connection.execute("DELETE FROM actions WHERE known_at >= ?", [row[0]])


def _rebuild_from_records(market: MarketStore, manifest: Manifest, calendar: Calendar, folder: Path) -> tuple[date, ...]:
    """Store the sessions that follow the newest one from their records, one by one, as far as that goes."""
    newest, done = _newest(market), []
    recorded = (
        market.connection().execute("SELECT session, sha256, status FROM completed WHERE session > ? ORDER BY session", [newest]).fetchall()
    )
    for session, digest, status in recorded:
        if session != calendar.next(newest):
            break
        part = CompletedSession(session, digest)
        try:
            reported = read_record(folder, part)
        except FixInput:
            break
        window = _window(calendar, newest)
        held = stored_since(market.connection(), window)
        actions = unrecorded(reported.actions, held.actions)
        sessions = days_array(calendar.between(window, session))
        found = curated(held, reported.bars, actions, (session,), sessions, manifest)
        if _is_worse(found.audits[-1].status, SessionStatus(status)):
            break
        _store(market, found, found.audits, actions, [part])
        newest = session
        done.append(session)
    # What is asked for again is never derived from the older answer, whatever comes of asking.
    market.connection().execute("DELETE FROM completed WHERE session > ?", [newest])
    return tuple(done)


def _newest(market: MarketStore) -> date:
    newest = market.connection().execute("SELECT max(session) FROM audits").fetchone()
    if newest is None or newest[0] is None:
        raise InvariantBroken("a market store is completed after what is published was taken over")
    day: date = newest[0]
    return day


def _window(calendar: Calendar, newest: date) -> date:
    return calendar.days[max(0, calendar.index(newest) - WINDOW_SESSIONS + 1)]


def _is_worse(status: SessionStatus, was: SessionStatus) -> bool:
    return status is SessionStatus.RED or WORSE.index(status) > WORSE.index(was)


def _bar(row: ReportedBar) -> ReportedBar:
    figures = (getattr(row, name) for name in FIGURES)
    return ReportedBar(row.day, row.symbol, *(figure if math.isfinite(figure) else math.nan for figure in figures))


def _vendor_records(
    rows: Sequence[ReportedBar], fresh: Sequence[Action], held: Sequence[Action], days: Sequence[date]
) -> list[VendorRecord]:
    """Split the vendor's answer by session, each with every action that its bars and the next morning depend on."""
    return [
        VendorRecord(
            day,
            tuple(row for row in rows if row.day == day),
            (
                *(action for action in held if action.effective == day),
                *(a for a in fresh if a.effective == day or max(a.known_at, days[0]) == day),
            ),
        )
        for day in days
    ]


def _store(
    market: MarketStore, found: Curated, kept: Sequence[SessionAudit], actions: Sequence[Action], parts: Sequence[CompletedSession]
) -> None:
    last = kept[-1].session
    many = sum(day <= last for day in found.columns[0])
    known = [action_row(action) for action in actions if action.known_at <= last]
    connection = market.connection()
    with market.transaction():
        if many:
            connection.execute(APPEND, [column[:many] for column in found.columns])
        for audit, part in zip(kept, parts, strict=True):
            connection.execute("INSERT INTO audits VALUES (?, ?)", [audit.session, audit_body(audit)])
            connection.execute("DELETE FROM completed WHERE session = ?", [part.session])
            connection.execute("INSERT INTO completed VALUES (?, ?, ?)", [part.session, part.sha256, audit.status])
        for row in known:
            connection.execute("INSERT INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", list(row))


def _red(audit: SessionAudit) -> StoreUnreachable:
    return StoreUnreachable(
        f"the vendor's data of {audit.session} are RED: {'; '.join(audit.reasons)}",
        where="stores.bars: alpaca",
        fix="pull asks again until its deadline; the session is skipped where it stays so",
    )
