"""Sessions that the published dataset does not hold yet: a vendor's bars, audited on this device, then stored.

Entry point: `complete`. The published dataset gives the history, the calendar, the names and who is eligible; the
vendor gives raw bars and corporate actions of the sessions after it. When a newer dataset is published, its sessions
take the place of these.

Invariants
----------
1. Audit, identities, returns and eligibility are those of curation: what is stored equals, to the bit, what the
   trainer makes of the same rows. (Where the dataset has a table of members, a name stays the member that it was.)
2. A session is stored whole, with its audit, in one transaction, or not at all.
3. asof is not stored while it is RED: the evening asks again until its deadline. An earlier RED session stays RED.
4. A row that the audit quarantines is counted in its session's reasons and never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from appliance.market import Market
from appliance.market_rows import action_of, action_row, audit_body
from signals.actions import Action, ActionKind
from signals.auditing import audit_rows, touches_red
from signals.bars import Days, Floats, days_array
from signals.defects import DefectConfig, Rows, find_defects
from signals.delivered_rows import Delivered, events
from signals.errors import BadConfig, InvariantBroken, StoreUnreachable
from signals.manifest import FileRole, Manifest, PriceBasis
from signals.quality import CoverageConfig, SessionAudit, SessionStatus
from signals.returns import returns, steps
from signals.securities import Identities, identities
from signals.sessions import Calendar

if TYPE_CHECKING:
    from appliance.bar_source import BarSource
    from execution.brokers.market_data import DailyBar, ToldAction

WINDOW_SESSIONS = 60  # of held bars, for the audit's comparisons: three times its longest
FIGURES = ("open", "high", "low", "close", "volume")
ETF = "etf"
HELD = f"SELECT session, symbol, security, {', '.join(FIGURES)}, eligible, kind, sector FROM bars WHERE session >= ?"
APPEND = """
INSERT INTO bars SELECT unnest(?::DATE[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::DOUBLE[]),
    unnest(?::DOUBLE[]), unnest(?::DOUBLE[]), unnest(?::DOUBLE[]), unnest(?::DOUBLE[]), unnest(?::DOUBLE[]),
    unnest(?::DOUBLE[]), unnest(?::BOOLEAN[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[])
"""


@dataclass(frozen=True)
class Completed:
    """What was added to the published sessions.

    Attributes
    ----------
    sessions : tuple of date
        Stored now, oldest first.
    rows, quarantined : int
        Bars stored, and bars told but not believed.
    untold : tuple of str
        Corporate actions that we cannot represent, for a person.
    """

    sessions: tuple[date, ...] = ()
    rows: int = 0
    quarantined: int = 0
    untold: tuple[str, ...] = ()


def complete(market: Market, source: BarSource, manifest: Manifest, calendar: Calendar, asof: date) -> Completed:
    """Bring the market store from its newest session up to `asof`.

    Parameters
    ----------
    market : Market
        Holds the published dataset.
    source : BarSource
    manifest : Manifest
        Of the published dataset.
    calendar : Calendar
    asof : date
        A session that has closed.

    Raises
    ------
    BadConfig
        The dataset's prices are not raw, as the vendor's are.
    StoreUnreachable
        The vendor cannot be asked for asof yet, or what it tells of it is RED; sessions before it are stored.
    BrokerUnreachable, BadBars
        The vendor does not answer, or not in the shape of bars; the store is as it was.
    """
    if manifest.basis is not PriceBasis.RAW:
        raise BadConfig(
            f"a vendor's raw bars do not continue {manifest.basis} ones", where=f"stores.bars, {manifest.name}",
            mend="Publish a dataset of raw prices, or set stores.bars to published",
        )  # fmt: skip
    newest = market.connection().execute("SELECT max(session) FROM audits").fetchone()
    if newest is None or newest[0] is None:
        raise InvariantBroken("a market store is completed after what is published was taken over")
    days = calendar.between(calendar.next(newest[0]), asof) if newest[0] < asof else ()
    if not days:
        return Completed()
    if asof not in source.final(days[0], asof, calendar):
        raise StoreUnreachable(
            f"the bars of {asof} are not final yet", where="stores.bars: alpaca",
            mend="They are 16 minutes after the close; pull tries again until its deadline",
        )  # fmt: skip
    window = calendar.days[max(0, calendar.index(newest[0]) - WINDOW_SESSIONS + 1)]
    held = _held(market, window)
    symbols = tuple(sorted(held.newest_symbols()))
    told, untold = source.actions(symbols, newest[0], calendar.next(asof))
    actions = _fresh(told, held.actions, calendar, asof)
    renamed = {a.new_symbol for a in (*held.actions, *actions) if a.new_symbol and a.effective > newest[0]}
    asked = {*symbols, *renamed}
    rows = [row for row in source.bars(sorted(asked), days[0], asof, calendar) if row.symbol in asked]
    curated = _curated(held, rows, actions, days, days_array(calendar.between(window, asof)), manifest)
    kept = _stored(market, curated, actions)
    _require_usable(curated.audits[-1])
    return Completed(
        tuple(audit.session for audit in kept), sum(audit.usable for audit in kept),
        sum(audit.quarantined for audit in kept), tuple(untold),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Held:
    """What the store holds of the last sessions, sorted by security and session, and of every security in all."""

    rows: dict[str, NDArray[Any]]
    red: frozenset[date]
    usable: dict[str, int]
    first_days: dict[str, date]
    actions: tuple[Action, ...]

    def newest_symbols(self) -> set[str]:
        """Symbols under which the securities of the window traded last, those that a record has ended left out."""
        last = np.flatnonzero(np.append(self.rows["security"][1:] != self.rows["security"][:-1], True))
        day = dict(zip(self.rows["symbol"][last], self.rows["session"][last], strict=True))
        ended = {a.symbol for a in self.actions if a.kind is ActionKind.DELISTING and _after(a, day.get(a.symbol))}
        return set(day) - ended


@dataclass(frozen=True, eq=False)
class _Curated:
    """The new sessions: their audits, and one list a column of `bars`, sorted by session and symbol."""

    audits: tuple[SessionAudit, ...]
    columns: tuple[list[Any], ...]


def _after(action: Action, day: np.datetime64 | None) -> bool:
    return day is not None and bool(np.datetime64(action.effective, "D") > day)


def _held(market: Market, first: date) -> _Held:
    connection = market.connection()
    rows: dict[str, NDArray[Any]] = connection.execute(f"{HELD} ORDER BY security, session", [first]).fetchnumpy()  # type: ignore[assignment]  # numpy, not pandas
    rows = {name: np.ma.getdata(column) for name, column in rows.items()}
    rows["session"] = rows["session"].astype("datetime64[D]")
    red = connection.execute(
        "SELECT session FROM audits WHERE session >= ? AND json_extract_string(body, '$.status') = 'RED'", [first]
    ).fetchall()
    usable = connection.execute("SELECT security, count(*) FROM bars GROUP BY security").fetchall()
    days = connection.execute("SELECT symbol, min(session) FROM bars GROUP BY symbol").fetchall()
    actions = connection.execute(
        "SELECT kind, symbol, effective, known_at, ratio, cash, new_symbol, inferred FROM actions"
    ).fetchall()
    return _Held(
        rows, frozenset(day for (day,) in red), dict(usable), dict(days), tuple(action_of(row) for row in actions)
    )


def _fresh(told: Sequence[ToldAction], known: Sequence[Action], calendar: Calendar, asof: date) -> tuple[Action, ...]:
    """Actions that are not recorded yet; as in curation, one is known on the eve of its effective session."""
    recorded = {(action.kind, action.symbol, action.effective) for action in known}
    days = days_array(calendar.days)
    found = {}
    for row in told:
        place = int(np.searchsorted(days, np.datetime64(row.effective, "D")))
        effective, kind = calendar.days[place], ActionKind(row.kind)
        eve = calendar.days[max(0, place - 1)]
        if (kind, row.symbol, effective) not in recorded and eve <= asof:
            found[kind, row.symbol, effective] = Action(
                kind, row.symbol, effective, eve, _decimal(row.ratio), _decimal(row.cash), row.new_symbol
            )
    return tuple(found[key] for key in sorted(found))


def _decimal(figure: float | None) -> Decimal | None:
    return None if figure is None else Decimal(format(Decimal(str(figure)).normalize(), "f"))


def _curated(
    held: _Held, told: Sequence[DailyBar], actions: Sequence[Action], days: Sequence[date], sessions: Days,
    manifest: Manifest,
) -> _Curated:  # fmt: skip
    every = (*held.actions, *actions)
    first_days = {**{row.symbol: row.day for row in sorted(told, reverse=True)}, **held.first_days}
    names = identities(every, first_days)
    data, is_new, was_eligible = _together(held, told, names, sessions)
    recent = [action for action in every if np.datetime64(action.effective, "D") >= sessions[0]]
    recorded = events(data, recent, names, sessions, PriceBasis.RAW)
    defects = find_defects(data.rows, sessions, recorded.ratio, DefectConfig())
    usable = ~defects.quarantined
    eligible = _eligible(data, usable, is_new, was_eligible, held.usable, manifest)
    ended = np.arange(len(sessions))[:, None] >= recorded.ended[None, :]
    audits, _ = audit_rows(data, defects, eligible, ended, sessions, CoverageConfig())
    fresh = tuple(audit for audit in audits if audit.session in set(days))
    # The status of a held session is the one that was published: its quarantined rows are not here to be audited.
    standing = [_with_status(audit, held.red) for audit in audits[: len(audits) - len(fresh)]]
    total, overnight = returns(data.rows, steps(data.rows, usable, data.session), recorded.ratio, recorded.cash)
    blank = touches_red([*standing, *fresh], data.session)
    total[blank], overnight[blank] = np.nan, np.nan
    return _Curated(fresh, _columns(data, is_new & usable, total, overnight, eligible))


def _with_status(audit: SessionAudit, red: frozenset[date]) -> SessionAudit:
    status = SessionStatus.RED if audit.session in red else SessionStatus.GREEN
    return SessionAudit(audit.session, status, (), audit.eligible, audit.usable, audit.rows, audit.quarantined)


def _together(
    held: _Held, told: Sequence[DailyBar], names: Identities, sessions: Days
) -> tuple[Delivered, NDArray[np.bool_], NDArray[np.bool_]]:
    """Held and told rows in one order, which of them are new, and which held ones were eligible."""
    day = np.array([row.day for row in told], dtype="datetime64[D]")
    symbol = np.array([row.symbol for row in told], dtype=object)
    security = np.concatenate([held.rows["security"], names.of_rows(symbol, day)]).astype(object)
    securities, codes = np.unique(security.astype(str), return_inverse=True)
    last = np.flatnonzero(np.append(held.rows["security"][1:] != held.rows["security"][:-1], True))
    words = {
        name: dict(zip(held.rows["security"][last], held.rows[name][last], strict=True)) for name in ("kind", "sector")
    }
    fresh = security[len(held.rows["security"]) :]
    kind = np.array([*held.rows["kind"], *(words["kind"].get(name, "stock") for name in fresh)], dtype=object)
    sector = np.array([*held.rows["sector"], *(words["sector"].get(name, "") for name in fresh)], dtype=object)
    figures = {
        name: np.concatenate([held.rows[name], np.array([getattr(row, name) for row in told], dtype=np.float64)])
        for name in FIGURES
    }
    when = np.concatenate([held.rows["session"], day])
    order = np.lexsort((*reversed(list(figures.values())), when, codes))
    rows = Rows(
        day=when[order], security=codes[order].astype(np.int64), adj_close=np.full(len(order), np.nan),
        has_adjusted=False, **{name: figure[order] for name, figure in figures.items()},
    )  # fmt: skip
    symbols = np.concatenate([held.rows["symbol"], symbol])[order]
    is_new = order >= len(held.rows["session"])
    was = np.concatenate([held.rows["eligible"].astype(bool), np.zeros(len(told), dtype=bool)])[order]
    data = Delivered(
        rows, symbols, kind[order], sector[order], tuple(str(name) for name in securities),
        np.searchsorted(sessions, rows.day).astype(np.int64), np.zeros(len(order), dtype=bool),
    )  # fmt: skip
    return data, is_new, was


def _eligible(
    data: Delivered, usable: NDArray[np.bool_], is_new: NDArray[np.bool_], was: NDArray[np.bool_],
    counts: dict[str, int], manifest: Manifest,
) -> NDArray[np.bool_]:  # fmt: skip
    """Rows of names that belong to the universe: those that did, and without a table of members those old enough."""
    code = data.rows.security
    standing = np.zeros(len(data.securities), dtype=bool)
    held = np.flatnonzero(~is_new)
    standing[code[held]] = was[held]  # rows are in order: the last one of each security decides
    result = np.where(is_new, usable & standing[code], was)
    if not manifest.of_role(FileRole.UNIVERSE):
        fresh = np.cumsum(usable & is_new)
        first = np.searchsorted(code, code)
        before = np.array([counts.get(name, 0) for name in data.securities])[code]
        history = before + fresh - fresh[first] + (usable & is_new)[first]
        result |= is_new & usable & (history >= manifest.min_history) & (data.kind != ETF)
    found: NDArray[np.bool_] = result.astype(bool)
    return found


def _columns(
    data: Delivered, chosen: NDArray[np.bool_], total: Floats, overnight: Floats, eligible: NDArray[np.bool_]
) -> tuple[list[Any], ...]:
    rows = np.flatnonzero(chosen)
    rows = rows[np.lexsort((data.symbol[rows].astype(str), data.rows.day[rows]))]
    security = np.array(data.securities, dtype=object)[data.rows.security[rows]]
    blank = [[None if np.isnan(x) else float(x) for x in figure[rows]] for figure in (total, overnight)]
    return (
        data.rows.day[rows].astype(object).tolist(), data.symbol[rows].tolist(), security.tolist(),
        *(getattr(data.rows, name)[rows].tolist() for name in FIGURES), *blank, eligible[rows].tolist(),
        data.kind[rows].tolist(), data.sector[rows].tolist(),
    )  # fmt: skip


def _stored(market: Market, curated: _Curated, actions: Sequence[Action]) -> tuple[SessionAudit, ...]:
    """Store the sessions, asof only when it is not RED; return the audits of those that were."""
    kept = curated.audits if curated.audits[-1].status is not SessionStatus.RED else curated.audits[:-1]
    if not kept:
        return ()
    last = kept[-1].session
    many = sum(day <= last for day in curated.columns[0])
    known = [action_row(action) for action in actions if action.known_at <= last]
    connection = market.connection()
    connection.execute("BEGIN")
    try:
        if many:
            connection.execute(APPEND, [column[:many] for column in curated.columns])
        for audit in kept:
            connection.execute("INSERT INTO audits VALUES (?, ?)", [audit.session, audit_body(audit)])
        for row in known:
            connection.execute("INSERT INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", list(row))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return kept


def _require_usable(audit: SessionAudit) -> None:
    if audit.status is SessionStatus.RED:
        raise StoreUnreachable(
            f"what the vendor tells of {audit.session} is RED: {'; '.join(audit.reasons)}", where="stores.bars: alpaca",
            mend="pull asks again until its deadline; the session is skipped where it stays so",
        )  # fmt: skip
