"""The table of all screens: key, name, columns, query and captions of each.

Every grid here shows the rows of one command of `appliance`; `Screen.command` names it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from appliance.ledger import Ledger
from appliance.ledger import events as recorded
from appliance.tui import captions, charts, events, formatting
from appliance.tui.captions import Detail, Head, no_detail, no_head
from appliance.tui.columns import Column
from appliance.tui.ledger_source import Query, QueryContext, ScreenAnswer
from appliance.tui.plot import Chart
from appliance.views import (
    View,
    blotter,
    bundle_facts,
    closed_trades,
    event_log,
    monitoring,
    order_trace,
    performance,
    runs,
    signal_table,
    symbol_history,
    tripwire_checks,
)
from appliance.views import events as found_events
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
    head: Head = no_head
    detail: Detail = no_detail
    group: str = ""
    charts: tuple[Callable[[ScreenAnswer], Chart], ...] = ()
    above: str = ""

    @property
    def query(self) -> Query | None:
        """What fetches its rows; None for the overview, which every answer carries."""
        return QUERIES.get(self.name)


def _events(ledger: Ledger, context: QueryContext) -> Mapping[str, View]:
    asof = recorded.newest(ledger, context.session - timedelta(days=1)) or date.min
    found, made = found_events.events_of(ledger, context.folder, asof), found_events.outcomes_of(ledger, asof, SESSIONS)
    return {"events": found, "outcomes": made}


def _performance(ledger: Ledger, context: QueryContext) -> Mapping[str, View]:
    expected = bundle_facts.annual_at_gross_1(context.folder.bundles)
    return {"performance": performance.performance(ledger, context.session, SESSIONS, expected)}


QUERIES: dict[str, Query] = {
    "positions": lambda ledger, at: {"positions": holdings.positions(ledger, at.session)},
    "blotter": lambda ledger, at: {"blotter": blotter.blotter(ledger, at.session)},
    "signals": lambda ledger, at: {"signals": signal_table.signals(ledger, at.session)},
    "risk": lambda ledger, at: {"tripwires": tripwire_checks.checks(ledger, at.session), "halts": event_log.halts_view(ledger, 5)},
    "jobs": lambda ledger, at: {"jobs": runs.jobs(ledger, at.session), "runs": runs.calendar(ledger, at.session, CALENDAR_SESSIONS)},
    "data": lambda ledger, at: {"data": monitoring.data(ledger, at.session, SESSIONS)},
    "bundle": lambda ledger, at: {"bundle": bundle_facts.bundle(at.folder.bundles, ledger)},
    "logs": lambda ledger, at: {"logs": event_log.logs(ledger, LOG_LINES)},
    "reconciliation": lambda ledger, at: {"reconciliation": runs.reconciliation(ledger, at.session, CALENDAR_SESSIONS)},
    "symbol": lambda ledger, at: {"symbol": symbol_history.symbol_history(ledger, at.symbol, at.session, SESSIONS)},
    "orders": lambda ledger, at: {"orders": blotter.history(ledger, at.session, SESSIONS)},
    "trades": lambda ledger, at: {"trades": closed_trades.closed_trades(ledger, at.session, SESSIONS)},
    "attribution": lambda ledger, at: {"attribution": monitoring.attribution(ledger, at.session, ATTRIBUTED_SESSIONS)},
    "life": lambda ledger, at: {"expectation": monitoring.expectation(ledger, at.session)},
    "drift": lambda ledger, at: {"drift": monitoring.drift(ledger, at.session)},
    "trace": lambda ledger, at: {"trace": order_trace.trace(ledger, at.folder, at.order)},
    "events": _events,
    "outcomes": _events,
    "performance": _performance,
}
FACTS = (Column("section", "about", 9, tone=formatting.dim), Column("fact", "fact", 17), Column("value", "value", 30, fills=True))

OVERVIEW = Screen("overview", "1", "Overview", "Over")
SCREENS: tuple[Screen, ...] = (
    OVERVIEW,
    Screen("positions", "2", "Positions", "Pos", "positions", (
        Column("symbol", "symbol", 7), Column("side", "side", 5, tone=formatting.tone_of_side),
        Column("quantity", "shares", 8, right=True), Column("value", "value USD", 11, right=True, text=formatting.money),
        Column("weight", "held", 7, right=True), Column("target", "target", 7, right=True),
        Column("drift", "drift", 7, right=True, tone=formatting.dim),
        Column("pnl", "gain USD", 10, right=True, text=formatting.money, tone=formatting.tone_of_sign),
        Column("entry", "entry", 11, right=True, rank=2), Column("price", "price", 9, right=True, rank=1),
        Column("sector", "sector", 12, rank=1, tone=formatting.dim, fills=True),
    ), captions.positions, captions.position),
    Screen("blotter", "3", "Blotter", "Blot", "blotter", (
        Column("symbol", "symbol", 7), Column("side", "side", 4, tone=formatting.tone_of_side),
        Column("quantity", "shares", 7, right=True), Column("when", "tif", 3, rank=1),
        Column("reference", "reference", 10, right=True), Column("filled", "filled", 7, right=True),
        Column("price", "price", 10, right=True),
        Column("against_bps", "bps", 7, right=True), Column("filled_at", "at UTC", 8, rank=2, text=formatting.clock_time),
        Column("state", "state", 11, text=formatting.marked, tone=formatting.tone_of_word),
        Column("notional_usd", "notional USD", 13, right=True, rank=2, text=formatting.money),
        Column("reason", "reason", 10, rank=1, fills=True),
    ), captions.blotter, captions.order),
    Screen("signals", "4", "Signals", "Sig", "signals", (
        Column("rank", "rank", 5, right=True), Column("symbol", "symbol", 7),
        Column("score", "score", 11, right=True), Column("z", "z", 7, right=True, text=formatting.z),
        Column("probability", "P", 6, right=True, rank=1, text=formatting.figure),
        Column("change", "change", 7, right=True, text=formatting.z), Column("held", "held", 7, right=True),
        Column("target", "target", 7, right=True),
        Column("sleeve", "sleeve", 12), Column("contribution", "in blend", 8, right=True, rank=1, text=formatting.z),
        Column("sector", "sector", 12, rank=1, tone=formatting.dim, fills=True),
    ), captions.signals, captions.signal, charts=(charts.distribution,)),
    Screen("risk", "5", "Risk", "Risk", "tripwires", (
        Column("name", "check", 17), Column("tripped", "state", 9, text=formatting.marked, tone=formatting.tone_of_word),
        Column("value", "value", 10, right=True, text=formatting.figure),
        Column("limit", "limit", 7, right=True),
        Column("used", "of the limit", 15, text=formatting.used, tone=formatting.tone_of_used),
        Column("action", "does", 6), Column("last_trip", "last trip", 10, rank=1),
        Column("detail", "what", 20, rank=1, fills=True, tone=formatting.dim),
    ), captions.risk, captions.check),
    Screen("jobs", "6", "Jobs", "Jobs", "jobs", (
        Column("job", "job", 17), Column("status", "status", 11, text=formatting.marked, tone=formatting.tone_of_word),
        Column("started", "at UTC", 8, text=formatting.clock_time), Column("seconds", "seconds", 7, right=True),
        Column("attempts", "tries", 5, right=True, rank=1), Column("summary", "what it said", 20, fills=True),
    ), captions.jobs, captions.job),
    Screen("data", "7", "Data", "Data", "data", (
        Column("asof", "asof", 10), Column("status", "status", 8, text=formatting.marked, tone=formatting.tone_of_word),
        Column("names", "scored", 6, right=True), Column("expected", "of", 6, right=True),
        Column("snapshot", "snapshot", 12, text=formatting.short_hash, tone=formatting.dim),
        Column("version", "version", 7, right=True, rank=1), Column("reasons", "why", 14, fills=True),
    ), captions.data),
    Screen("bundle", "8", "Bundle", "Bund", "bundle", FACTS, captions.bundle, captions.fact_in_full, "section"),
    Screen("logs", "9", "Logs", "Logs", "logs", (
        Column("at", "at UTC", 14, text=formatting.day_and_time), Column("level", "level", 6, text=formatting.marked,
                                                                    tone=formatting.tone_of_word),
        Column("source", "source", 17), Column("text", "what", 30, fills=True),
    ), captions.logs, captions.log_line),
    Screen("reconciliation", "0", "Reconcile", "Rec", "reconciliation", (
        Column("session", "session", 10), Column("job", "when", 17),
        Column("status", "result", 10, text=formatting.marked, tone=formatting.tone_of_word),
        Column("positions", "positions", 9, right=True, rank=2),
        Column("cash", "cash USD", 13, right=True, text=formatting.money),
        Column("equity", "equity USD", 13, right=True, rank=1, text=formatting.money),
        Column("notes", "differences", 11, fills=True),
    ), captions.reconciliation, captions.notes),
    Screen("performance", "p", "Performance", "Perf", "performance", (
        Column("session", "session", 10), Column("paper_nav", "paper NAV", 12, right=True, text=formatting.money),
        Column("real_nav", "real NAV", 12, right=True, text=formatting.money),
        Column("restated_nav", "restated", 12, right=True, rank=2, text=formatting.money),
        Column("pnl", "gain USD", 11, right=True, text=formatting.money, tone=formatting.tone_of_sign),
        Column("return", "return", 7, right=True, tone=formatting.tone_of_sign),
        Column("drawdown", "below top", 9, right=True, tone=formatting.dim),
        Column("benchmark", "universe", 12, right=True, rank=2, text=formatting.money),
        Column("gross", "gross", 8, right=True, rank=1), Column("net", "net", 7, right=True, rank=1),
        Column("costs", "real costs", 10, right=True, rank=1),
    ), captions.performance, charts=(charts.value, charts.drawdown)),
)  # fmt: skip


def _usd(key: str, rank: int = 0, title: str = "") -> Column:
    return Column(key, title or key, 10, right=True, rank=rank, text=formatting.gain, tone=formatting.tone_of_gain)


SYMBOL = Screen("symbol", "y", "Symbol", "Symb", "symbol", (
    Column("session", "session", 10), Column("price", "price", 10, right=True), Column("quantity", "shares", 8, right=True),
    Column("weight", "target", 8, right=True), Column("z", "z", 7, right=True, text=formatting.z), Column("rank", "rank", 5, right=True),
    Column("fill", "filled", 20, fills=True),
), captions.symbol, charts=(charts.price, charts.z_of_symbol), above="positions")  # fmt: skip
TRACE = Screen("trace", "t", "Why this order?", "Why?", "trace", FACTS, captions.trace, captions.fact_in_full, "section", above="blotter")
DEEPER: tuple[Screen, ...] = (
    TRACE,
    SYMBOL,
    Screen("orders", "b", "Orders of all sessions", "Ords", "orders", (
        Column("session", "session", 10), Column("symbol", "symbol", 7), Column("side", "side", 4, tone=formatting.tone_of_side),
        Column("quantity", "shares", 7, right=True), Column("filled", "filled", 7, right=True), Column("price", "price", 10, right=True),
        Column("against_bps", "bps", 7, right=True), Column("filled_at", "at UTC", 8, rank=1, text=formatting.clock_time),
        Column("state", "state", 11, text=formatting.marked, tone=formatting.tone_of_word),
        Column("reason", "reason", 10, rank=1, fills=True),
    ), captions.orders, captions.order, above="blotter"),
    Screen("events", "v", "Events", "Evt", "events", (
        Column("symbol", "symbol", 7), Column("kind", "kind", 9), Column("side", "side", 5, tone=formatting.tone_of_side),
        Column("stop", "stop", 7, right=True), Column("target", "target", 7, right=True), Column("sees", "seen", 12),
        Column("p_target", "P target", 8, right=True, text=formatting.share),
        Column("pays", "pays", 4, text=formatting.yes_or_no),
        Column("stop_70", "stop 70 %", 9, right=True, rank=1, text=formatting.first_unit),
        Column("target_60", "target 60 %", 11, right=True, rank=1, text=formatting.first_unit),
        Column("sim_conf", "alike", 5, right=True, rank=1), Column("hist_rr_pct", "made, R", 8, right=True, rank=1),
        Column("entry", "entry", 9, right=True, rank=2), Column("strength", "strength", 8, right=True, rank=2),
        Column("pole_katr", "pole, ATR", 9, right=True, rank=2), Column("third", "third", 6, rank=2),
    ), events.head, events.event, above="signals"),
    Screen("outcomes", "o", "What became of events", "Outc", "outcomes", (
        Column("asof", "close of", 10), Column("symbol", "symbol", 7), Column("kind", "kind", 9),
        Column("side", "side", 5, tone=formatting.tone_of_side), Column("exit", "exit", 11),
        Column("realised_r", "made, R", 8, right=True), Column("known", "known", 10),
        Column("mfe_r", "for it, R", 9, right=True, rank=1), Column("mae_r", "against, R", 10, right=True, rank=1),
        Column("bars_to_target", "to target", 9, right=True, rank=1), Column("bars_to_stop", "to stop", 7, right=True, rank=1),
    ), events.made, above="events"),
    Screen("trades", "w", "Closed trades", "Trad", "trades", (
        Column("symbol", "symbol", 7), Column("side", "side", 5, tone=formatting.tone_of_side), Column("opened", "opened", 10),
        Column("closed", "closed", 10), Column("sessions", "sessions", 8, right=True, rank=1), Column("quantity", "shares", 8, right=True),
        Column("realised", "realised", 11, right=True, text=formatting.money, tone=formatting.tone_of_sign),
        Column("return", "return", 8, right=True, tone=formatting.tone_of_sign), Column("note", "note", 10, rank=1, fills=True),
    ), captions.trades, above="performance"),
    Screen("attribution", "a", "Attribution", "Attr", "attribution", (
        Column("session", "session", 10), _usd("total"), _usd("market"), _usd("selection"), _usd("style"),
        _usd("sector", 1), _usd("costs"), _usd("rounding", 2), _usd("refused orders", 2, "refused"), _usd("skips", 2),
    ), captions.attribution, captions.attributed, charts=(charts.parts,), above="performance"),
    Screen("life", "m", "The model's life", "Life", "expectation", (
        Column("figure", "figure", 9), Column("sleeve", "sleeve", 12, rank=1), Column("sessions", "sessions", 8, right=True),
        *(Column(key, title, 9, right=True, text=formatting.figure) for key, title in (
            ("live", "lived"), ("low", "low 5 %"), ("median", "median"), ("high", "high 95 %"))),
        Column("verdict", "verdict", 9, text=formatting.marked, tone=formatting.tone_of_word, fills=True),
    ), captions.life, charts=(charts.rank_ic, charts.session_ic, charts.cost, charts.deciles), above="performance"),
    Screen("drift", "d", "Drift", "Drift", "drift", (
        Column("name", "what", 30, fills=True), Column("psi", "PSI", 9, right=True, text=formatting.figure),
        Column("limit", "limit", 9, right=True, text=formatting.figure),
        Column("used", "of the limit", 15, text=formatting.used, tone=formatting.tone_of_used),
        Column("verdict", "verdict", 12, text=formatting.marked, tone=formatting.tone_of_word),
    ), captions.drift, above="performance"),
)  # fmt: skip

BY_NAME = {screen.name: screen for screen in (*SCREENS, *DEEPER)}
