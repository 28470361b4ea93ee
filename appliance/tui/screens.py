"""The screens as a table: each row is a key, a name, its columns, its query and what is said above and below it.

Every grid here shows the rows of one command of `appliance`; `Screen.command` names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from appliance.ledger import Ledger
from appliance.tui import charts, heads, words
from appliance.tui.columns import Column
from appliance.tui.heads import Detail, Head, no_detail, no_head
from appliance.tui.plot import Chart
from appliance.tui.source import Answer, Context, Query
from appliance.views import View, agreement, attribution, bundle, checks, data, logs, orders, performance, runs, signals, trace, watching
from appliance.views import positions as holdings

SESSIONS = 90
LOG_LINES = 500
CALENDAR_SESSIONS = 30
ATTRIBUTED_SESSIONS = 20


@dataclass(frozen=True)
class Screen:
    """One screen with a grid.

    Attributes
    ----------
    name : str
        Of the pane; lower case.
    key : str
        That a person presses.
    title, short : str
        In the bar of screens, wide and narrow.
    command : str
        The command of `appliance` that prints the same rows; also the key of the grid's view.
    columns : tuple of Column
    query : Query or None
        None for the overview, which every answer carries.
    head, detail : callable
        Lines above the grid, and lines about the row under the cursor.
    group : str
        Column whose repeats are left blank.
    charts : tuple of callable
        Drawn above the grid, side by side.
    above : str
        The screen that it belongs to and that escape leads back to; empty for those in the bar.
    """

    name: str
    key: str
    title: str
    short: str
    command: str = ""
    columns: tuple[Column, ...] = ()
    query: Query | None = None
    head: Head = no_head
    detail: Detail = no_detail
    group: str = ""
    charts: tuple[Callable[[Answer], Chart], ...] = ()
    above: str = ""


def _positions(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"positions": holdings.positions(ledger, context.session)}


def _blotter(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"blotter": orders.blotter(ledger, context.session)}


def _signals(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"signals": signals.signals(ledger, context.session)}


def _risk(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"tripwires": checks.checks(ledger, context.session), "halts": logs.halts_view(ledger, 5)}


def _jobs(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"jobs": runs.jobs(ledger, context.session), "runs": runs.calendar(ledger, context.session, CALENDAR_SESSIONS)}


def _data(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"data": data.data(ledger, context.session, SESSIONS)}


def _bundle(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"bundle": bundle.bundle(context.folder.bundles, bundle.last_use(ledger), ledger)}


def _logs(ledger: Ledger, _context: Context) -> Mapping[str, View]:
    return {"logs": logs.logs(ledger, LOG_LINES)}


def _reconciliation(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"reconciliation": agreement.reconciliation(ledger, context.session, CALENDAR_SESSIONS)}


def _performance(ledger: Ledger, context: Context) -> Mapping[str, View]:
    facts = bundle.read(context.folder.bundles)
    expected = facts.annual_at_gross_1 if facts else None
    return {"performance": performance.performance(ledger, context.session, SESSIONS, expected)}


def _attribution(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"attribution": attribution.attribution(ledger, context.session, ATTRIBUTED_SESSIONS)}


def _life(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"expectation": watching.expectation(ledger, context.session)}


def _drift(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"drift": watching.drift(ledger, context.session)}


def _trace(ledger: Ledger, context: Context) -> Mapping[str, View]:
    return {"trace": trace.trace(ledger, context.folder, context.order)}


FACTS = (Column("section", "about", 9, tone=words.dim), Column("fact", "fact", 17), Column("value", "value", 30, fills=True))

OVERVIEW = Screen("overview", "1", "Overview", "Over")
SCREENS: tuple[Screen, ...] = (
    OVERVIEW,
    Screen("positions", "2", "Positions", "Pos", "positions", (
        Column("symbol", "symbol", 7), Column("side", "side", 5, tone=words.tone_of_side),
        Column("quantity", "shares", 8, right=True), Column("value", "value USD", 11, right=True, text=words.money),
        Column("weight", "held", 7, right=True), Column("target", "target", 7, right=True),
        Column("drift", "drift", 7, right=True, tone=words.dim),
        Column("pnl", "gain USD", 10, right=True, text=words.money, tone=words.tone_of_sign),
        Column("entry", "entry", 11, right=True, rank=2), Column("price", "price", 9, right=True, rank=1),
        Column("sector", "sector", 12, rank=1, tone=words.dim, fills=True),
    ), _positions, heads.positions, heads.position),
    Screen("blotter", "3", "Blotter", "Blot", "blotter", (
        Column("symbol", "symbol", 7), Column("side", "side", 4, tone=words.tone_of_side),
        Column("quantity", "shares", 7, right=True), Column("when", "tif", 3, rank=1),
        Column("reference", "reference", 10, right=True), Column("filled", "filled", 7, right=True),
        Column("price", "price", 10, right=True),
        Column("against_bps", "bps", 7, right=True),
        Column("state", "state", 11, text=words.marked, tone=words.tone_of_word),
        Column("notional_usd", "notional USD", 13, right=True, rank=2, text=words.money),
        Column("reason", "reason", 10, rank=1, fills=True),
    ), _blotter, heads.blotter, heads.order),
    Screen("signals", "4", "Signals", "Sig", "signals", (
        Column("rank", "rank", 5, right=True), Column("symbol", "symbol", 7),
        Column("score", "score", 11, right=True), Column("z", "z", 7, right=True, text=words.z),
        Column("change", "change", 7, right=True, text=words.z), Column("held", "held", 7, right=True),
        Column("target", "target", 7, right=True),
        Column("sleeve", "sleeve", 12), Column("contribution", "in blend", 8, right=True, rank=1, text=words.z),
        Column("sector", "sector", 12, rank=1, tone=words.dim, fills=True),
    ), _signals, heads.signals, heads.signal),
    Screen("risk", "5", "Risk", "Risk", "tripwires", (
        Column("name", "check", 17), Column("tripped", "state", 9, text=words.marked, tone=words.tone_of_word),
        Column("value", "value", 10, right=True, text=words.figure),
        Column("limit", "limit", 7, right=True),
        Column("used", "of the limit", 15, text=words.used, tone=words.tone_of_used),
        Column("action", "does", 6), Column("last_trip", "last trip", 10, rank=1),
        Column("detail", "what", 20, rank=1, fills=True, tone=words.dim),
    ), _risk, heads.risk, heads.check),
    Screen("jobs", "6", "Jobs", "Jobs", "jobs", (
        Column("job", "job", 17), Column("status", "status", 11, text=words.marked, tone=words.tone_of_word),
        Column("started", "at UTC", 8, text=words.clock_time), Column("seconds", "seconds", 7, right=True),
        Column("attempts", "tries", 5, right=True, rank=1), Column("summary", "what it said", 20, fills=True),
    ), _jobs, heads.jobs, heads.job),
    Screen("data", "7", "Data", "Data", "data", (
        Column("asof", "asof", 10), Column("status", "status", 8, text=words.marked, tone=words.tone_of_word),
        Column("names", "scored", 6, right=True), Column("expected", "of", 6, right=True),
        Column("snapshot", "snapshot", 12, text=words.short_hash, tone=words.dim),
        Column("version", "version", 7, right=True, rank=1), Column("reasons", "why", 14, fills=True),
    ), _data, heads.data),
    Screen("bundle", "8", "Bundle", "Bund", "bundle", FACTS, _bundle, heads.bundle, heads.fact_in_full, "section"),
    Screen("logs", "9", "Logs", "Logs", "logs", (
        Column("at", "at UTC", 14, text=words.day_and_time), Column("level", "level", 6, text=words.marked,
                                                                    tone=words.tone_of_word),
        Column("source", "source", 17), Column("text", "what", 30, fills=True),
    ), _logs, heads.logs, heads.log_line),
    Screen("reconciliation", "0", "Reconcile", "Rec", "reconciliation", (
        Column("session", "session", 10), Column("job", "when", 17),
        Column("status", "result", 10, text=words.marked, tone=words.tone_of_word),
        Column("positions", "positions", 9, right=True, rank=2),
        Column("cash", "cash USD", 13, right=True, text=words.money),
        Column("equity", "equity USD", 13, right=True, rank=1, text=words.money),
        Column("notes", "differences", 11, fills=True),
    ), _reconciliation, heads.reconciliation, heads.notes),
    Screen("performance", "p", "Performance", "Perf", "performance", (
        Column("session", "session", 10), Column("paper_nav", "paper NAV", 12, right=True, text=words.money),
        Column("real_nav", "real NAV", 12, right=True, text=words.money),
        Column("restated_nav", "restated", 12, right=True, rank=2, text=words.money),
        Column("pnl", "gain USD", 11, right=True, text=words.money, tone=words.tone_of_sign),
        Column("return", "return", 7, right=True, tone=words.tone_of_sign),
        Column("drawdown", "below top", 9, right=True, tone=words.dim),
        Column("gross", "gross", 8, right=True, rank=1), Column("net", "net", 7, right=True, rank=1),
        Column("costs", "real costs", 10, right=True, rank=1),
    ), _performance, heads.performance, charts=(charts.value, charts.drawdown)),
)  # fmt: skip


def _usd(key: str, rank: int = 0, title: str = "") -> Column:
    return Column(key, title or key, 10, right=True, rank=rank, text=words.gain, tone=words.tone_of_gain)


TRACE = Screen("trace", "t", "Why this order?", "Why?", "trace", FACTS, _trace, heads.trace, heads.fact_in_full, "section", above="blotter")
DEEPER: tuple[Screen, ...] = (
    TRACE,
    Screen("attribution", "a", "Attribution", "Attr", "attribution", (
        Column("session", "session", 10), _usd("total"), _usd("market"), _usd("selection"), _usd("style"),
        _usd("sector", 1), _usd("costs"), _usd("rounding", 2), _usd("refused orders", 2, "refused"), _usd("skips", 2),
    ), _attribution, heads.attribution, heads.attributed, charts=(charts.parts,), above="performance"),
    Screen("life", "m", "The model's life", "Life", "expectation", (
        Column("figure", "figure", 9), Column("sessions", "sessions", 8, right=True),
        *(Column(key, title, 9, right=True, text=words.figure) for key, title in (
            ("live", "lived"), ("low", "low 5 %"), ("median", "median"), ("high", "high 95 %"))),
        Column("verdict", "verdict", 9, text=words.marked, tone=words.tone_of_word, fills=True),
    ), _life, heads.life, charts=(charts.rank_ic, charts.cost), above="performance"),
    Screen("drift", "d", "Drift", "Drift", "drift", (
        Column("name", "what", 30, fills=True), Column("psi", "PSI", 9, right=True, text=words.figure),
        Column("limit", "limit", 9, right=True, text=words.figure),
        Column("used", "of the limit", 15, text=words.used, tone=words.tone_of_used),
        Column("verdict", "verdict", 12, text=words.marked, tone=words.tone_of_word),
    ), _drift, heads.drift, above="performance"),
)  # fmt: skip

BY_NAME = {screen.name: screen for screen in (*SCREENS, *DEEPER)}
