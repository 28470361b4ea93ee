"""Curation of a vendor's new bars on the device: audit, identities, returns and eligibility, as on the trainer.

Entry points: `stored_since` (reads the store), `fresh_actions`, `curated` (values in, values out).

Invariants
----------
1. Audit, identities, returns and eligibility are those of `trainer ingest`, by the same functions of `signals`.
2. Nothing of a held session changes: its status is the one that was published or stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from appliance.market.rows import action_of
from execution.brokers.reported import ReportedAction, ReportedBar
from signals.audit.defects import DefectConfig, Rows, find_defects
from signals.audit.delivered_rows import STOCK, DeliveredRows, events
from signals.audit.extremes import extremes
from signals.audit.session_audit import CoverageConfig, audit_rows, fixed_returns
from signals.market.actions import Action, ActionKind
from signals.market.bars import CLASSIFIED, GAP_FIELDS, Days, Floats, days_array
from signals.market.eligibility import mean_dollars, tradable
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.securities import Identities, identities
from signals.market.sessions import Calendar, SessionAudit, SessionStatus

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


FIGURES = ("open", "high", "low", "close", "volume")
HELD = f"SELECT session, symbol, security, {', '.join(FIGURES)}, eligible, undecided, kind, sector, {', '.join(CLASSIFIED)} FROM bars"
HELD += " WHERE session >= ?"


@dataclass(frozen=True, eq=False)
class StoredBars:
    """Stored bars of the last sessions, and the history of every security.

    Attributes
    ----------
    rows : dict of str to array, shape (R,)
        Columns of the bars, sorted by security and session.
    red : frozenset of date
        RED sessions among them.
    usable : dict of str to int
        Bars of every security.
    first_days : dict of str to date
        First session of every symbol.
    """

    rows: dict[str, NDArray[Any]]
    red: frozenset[date]
    usable: dict[str, int]
    first_days: dict[str, date]
    actions: tuple[Action, ...]

    @property
    def last_rows(self) -> NDArray[np.int64]:
        """Row of each security's newest bar."""
        return np.flatnonzero(np.append(self.rows["security"][1:] != self.rows["security"][:-1], True))

    def newest_symbols(self) -> set[str]:
        """Symbols under which the securities of the window traded last, those that a record has ended left out."""
        last = self.last_rows
        day = dict(zip(self.rows["symbol"][last], self.rows["session"][last], strict=True))
        ended = {a.symbol for a in self.actions if a.kind is ActionKind.DELISTING and _after(a, day.get(a.symbol))}
        return set(day) - ended


@dataclass(frozen=True, eq=False)
class Curated:
    """The new sessions.

    Attributes
    ----------
    audits : tuple of SessionAudit
        One a session, oldest first.
    columns : tuple of list
        One a column of the table `bars`, rows sorted by session and symbol.
    """

    audits: tuple[SessionAudit, ...]
    columns: tuple[list[Any], ...]


def _after(action: Action, day: np.datetime64 | None) -> bool:
    return day is not None and bool(np.datetime64(action.effective, "D") > day)


def stored_since(connection: DuckDBPyConnection, first: date) -> StoredBars:
    """Read the bars from the session `first` on, and of all bars what identities and ages need."""
    rows: dict[str, NDArray[Any]] = connection.execute(f"{HELD} ORDER BY security, session", [first]).fetchnumpy()  # type: ignore[assignment]  # numpy, not pandas
    classified = {name: np.ma.filled(rows[name].astype(np.float64), np.nan) for name in CLASSIFIED}
    rows = {**{name: np.ma.getdata(column) for name, column in rows.items()}, **classified}
    rows["session"] = rows["session"].astype("datetime64[D]")
    red = connection.execute(
        "SELECT session FROM audits WHERE session >= ? AND json_extract_string(body, '$.status') = 'RED'", [first]
    ).fetchall()
    usable = connection.execute("SELECT security, count(*) FROM bars GROUP BY security").fetchall()
    days = connection.execute("SELECT symbol, min(session) FROM bars GROUP BY symbol").fetchall()
    actions = connection.execute("SELECT kind, symbol, effective, known_at, ratio, cash, new_symbol, inferred FROM actions").fetchall()
    return StoredBars(rows, frozenset(day for (day,) in red), dict(usable), dict(days), tuple(action_of(row) for row in actions))


def fresh_actions(reported: Sequence[ReportedAction], known: Sequence[Action], calendar: Calendar, asof: date) -> tuple[Action, ...]:
    """Actions that are not recorded yet; as in curation, one is known on the eve of its effective session."""
    days = days_array(calendar.days)
    found = {}
    for row in reported:
        place = int(np.searchsorted(days, np.datetime64(row.effective, "D")))
        effective, kind = calendar.days[place], ActionKind(row.kind)
        eve = calendar.days[max(0, place - 1)]
        if eve <= asof:
            found[kind, row.symbol, effective] = Action(
                kind, row.symbol, effective, eve, _decimal(row.ratio), _decimal(row.cash), row.new_symbol
            )
    return unrecorded([found[key] for key in sorted(found)], known)


def unrecorded(actions: Sequence[Action], known: Sequence[Action]) -> tuple[Action, ...]:
    """Those of which no action of the same kind, symbol and effective session is known."""
    recorded = {(action.kind, action.symbol, action.effective) for action in known}
    return tuple(a for a in actions if (a.kind, a.symbol, a.effective) not in recorded)


def _decimal(figure: float | None) -> Decimal | None:
    return None if figure is None else Decimal(format(Decimal(str(figure)).normalize(), "f"))


def curated(
    held: StoredBars, reported: Sequence[ReportedBar], actions: Sequence[Action], days: Sequence[date], sessions: Days, manifest: Manifest
) -> Curated:
    """Audit and complete the vendor's bars of `days`.

    Parameters
    ----------
    reported : sequence of ReportedBar
        Of `days` only.
    actions : sequence of Action
        Not among the held ones.
    days : sequence of date
        Follow the held sessions without a gap.
    sessions : datetime64[D], shape (T,)
        From the first held session to the last of `days`.
    manifest : Manifest
        Of the published dataset.
    """
    every = (*held.actions, *actions)
    first_days = {**{row.symbol: row.day for row in sorted(reported, reverse=True)}, **held.first_days}
    names = identities(every, first_days)
    data, is_new, was_eligible, was_undecided = _together(held, reported, names, sessions)
    recent = [action for action in every if np.datetime64(action.effective, "D") >= sessions[0]]
    recorded = events(data, recent, names, sessions, PriceBasis.RAW)
    defects = find_defects(data.rows, sessions, recorded.ratio, DefectConfig())
    usable = ~defects.quarantined
    nobody = np.zeros(len(usable), dtype=bool)  # what a person confirmed comes with the published rows
    waits = extremes(data, usable, recorded, nobody, len(sessions), DefectConfig(), (~is_new, was_undecided))
    stands = _Standing(~is_new & ~waits.waits, was_eligible)  # a row that waited does not say whether its name belongs
    eligible = _eligible(data, usable, is_new, stands, held.usable, manifest) & ~waits.waits
    ended = np.arange(len(sessions))[:, None] >= recorded.ended[None, :]
    audits, _ = audit_rows(data, defects, eligible, ended, sessions, CoverageConfig())
    fresh = tuple(audit for audit in audits if audit.session in set(days))
    # The status of a held session is the one that was published: its quarantined rows are not here to be audited.
    earlier = [_with_status(audit, held.red) for audit in audits[: len(audits) - len(fresh)]]
    figures = fixed_returns(data, usable, [*earlier, *fresh], recorded)
    figures = {**figures, **_classified(held, data, is_new, recorded.ratio)}
    return Curated(fresh, _columns(data, is_new & usable, figures, eligible, waits.undecided))


def _classified(held: StoredBars, data: DeliveredRows, is_new: NDArray[np.bool_], ratio: Floats) -> dict[str, Floats]:
    """Each name's sector and shares as its last stored row has them, the shares by every split since."""
    last, code = held.last_rows, data.rows.security
    known = {name: dict(zip(held.rows["security"][last], held.rows[name][last], strict=True)) for name in CLASSIFIED}
    carried = {name: np.array([known[name].get(one, np.nan) for one in data.securities])[code] for name in CLASSIFIED}
    growth = np.cumsum(np.log(np.where(is_new, ratio, 1.0)))
    return {**carried, "shares": carried["shares"] * np.exp(growth - growth[np.searchsorted(code, code)])}


def _with_status(audit: SessionAudit, red: frozenset[date]) -> SessionAudit:
    status = SessionStatus.RED if audit.session in red else SessionStatus.GREEN
    return SessionAudit(audit.session, status, (), audit.eligible, audit.usable, audit.rows, audit.quarantined)


def _together(
    held: StoredBars, reported: Sequence[ReportedBar], names: Identities, sessions: Days
) -> tuple[DeliveredRows, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return stored and reported rows in one order, which of them are new, and which stored ones were eligible, and undecided."""
    day = np.array([row.day for row in reported], dtype="datetime64[D]")
    symbol = np.array([row.symbol for row in reported], dtype=object)
    security = np.concatenate([held.rows["security"], names.of_rows(symbol, day)]).astype(object)
    securities, codes = np.unique(security.astype(str), return_inverse=True)
    last = held.last_rows
    words = {name: dict(zip(held.rows["security"][last], held.rows[name][last], strict=True)) for name in ("kind", "sector")}
    fresh = security[len(held.rows["security"]) :]
    kind = np.array([*held.rows["kind"], *(words["kind"].get(name, STOCK) for name in fresh)], dtype=object)
    sector = np.array([*held.rows["sector"], *(words["sector"].get(name, "") for name in fresh)], dtype=object)
    figures = {
        name: np.concatenate([held.rows[name], np.array([getattr(row, name) for row in reported], dtype=np.float64)]) for name in FIGURES
    }
    when = np.concatenate([held.rows["session"], day])
    order = np.lexsort((*reversed(list(figures.values())), when, codes))
    rows = Rows(
        day=when[order],
        security=codes[order].astype(np.int64),
        adj_close=np.full(len(order), np.nan),
        has_adjusted=False,
        **{name: figure[order] for name, figure in figures.items()},
    )
    symbols = np.concatenate([held.rows["symbol"], symbol])[order]
    is_new = order >= len(held.rows["session"])
    was, doubt = (
        np.concatenate([held.rows[name].astype(bool), np.zeros(len(reported), dtype=bool)])[order] for name in ("eligible", "undecided")
    )
    data = DeliveredRows(
        rows,
        symbols,
        kind[order],
        sector[order],
        tuple(str(name) for name in securities),
        np.searchsorted(sessions, rows.day).astype(np.int64),
        np.zeros(len(order), dtype=bool),
    )
    return data, is_new, was, doubt


@dataclass(frozen=True, eq=False)
class _Standing:
    """Stored rows whose eligibility is decided, shape (R,), and that eligibility."""

    is_decided: NDArray[np.bool_]
    was: NDArray[np.bool_]


def _eligible(
    data: DeliveredRows, usable: NDArray[np.bool_], is_new: NDArray[np.bool_], stands: _Standing, counts: dict[str, int], manifest: Manifest
) -> NDArray[np.bool_]:
    """Rows of names that belong to the universe: those that did, and without a table of members those old enough.

    New ones among them must be dear and traded enough by the dataset's own rule; raw closes are prices as traded.
    """
    code = data.rows.security
    earlier = np.zeros(len(data.securities), dtype=bool)
    held = np.flatnonzero(stands.is_decided)
    earlier[code[held]] = stands.was[held]  # rows are in order: the last one of each security decides
    result = np.where(stands.is_decided, stands.was, usable & earlier[code])
    if not manifest.of_role(FileRole.UNIVERSE):
        fresh = np.cumsum(usable & is_new)
        first = np.searchsorted(code, code)
        before = np.array([counts.get(name, 0) for name in data.securities])[code]
        history = before + fresh - fresh[first] + (usable & is_new)[first]
        result |= is_new & usable & (history >= manifest.min_history) & (data.kind == STOCK)
    kept = np.flatnonzero(usable | ~is_new)
    close, code = data.rows.close[kept], code[kept]
    dollars = mean_dollars(code, data.session[kept], close * data.rows.volume[kept])
    belongs = result.astype(bool)
    belongs[kept] = tradable(code, belongs[kept], close, dollars, manifest.eligibility, stands.is_decided[kept], stands.was[kept])
    return belongs


def _columns(
    data: DeliveredRows, chosen: NDArray[np.bool_], figures: Mapping[str, Floats], eligible: NDArray[np.bool_], undecided: NDArray[np.bool_]
) -> tuple[list[Any], ...]:
    rows = np.flatnonzero(chosen)
    rows = rows[np.lexsort((data.symbol[rows].astype(str), data.rows.day[rows]))]
    security = np.array(data.securities, dtype=object)[data.rows.security[rows]]
    known = {name: [None if np.isnan(x) else float(x) for x in figure[rows].tolist()] for name, figure in figures.items()}
    return (
        data.rows.day[rows].astype(object).tolist(),
        data.symbol[rows].tolist(),
        security.tolist(),
        *(getattr(data.rows, name)[rows].tolist() for name in FIGURES),
        known["total_return"],
        known["overnight_return"],
        eligible[rows].tolist(),
        data.kind[rows].tolist(),
        data.sector[rows].tolist(),
        *(known[name] for name in GAP_FIELDS),
        undecided[rows].tolist(),
        *(known[name] for name in CLASSIFIED),
    )
