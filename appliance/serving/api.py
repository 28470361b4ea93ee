"""Operations of the device's API: the same views as the commands and the screens, read from the ledger."""

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from importlib import resources
from typing import Protocol

from appliance.ledger import Ledger
from appliance.tui.ledger_source import QueryContext, ScreenAnswer, ScreenQuery
from appliance.views import View, blotter, bundle_facts, event_log, monitoring, performance, signal_table, tripwire_checks
from appliance.views import positions as holdings
from appliance.views.closed_trades import closed_trades
from appliance.views.events import events_of, outcomes_of
from appliance.views.symbol_history import search, symbol_history
from signals.errors import LedgerUnusable
from signals.serving.application import PageFile
from signals.serving.operations import DAY, Arguments, Call, NotFound, Operation, Parameter, text_of, whole
from signals.text.documents import to_json


class AnswerSource(Protocol):
    """Where answers come from; as that of the screens."""

    def read(self, question: ScreenQuery) -> ScreenAnswer:
        """Answer one question; blocks."""


Read = Callable[[Ledger, QueryContext, Arguments], View]
FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/charts.js": ("charts.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
SESSION = Parameter("session", "D, the trade session; the newest one by default.", DAY)
SESSIONS = Parameter("sessions", "How many sessions, up to D.", whole(1, 400, 90))
ASOF = Parameter("asof", "Session of the close; the newest one with events by default.", DAY)
TEXT = text_of(40)
SYMBOL = Parameter("symbol", "A symbol.", text_of(40, r"[\x21-\x2e\x30-\x7e]+"))
VIEW = {
    "type": "object",
    "required": ["session", "before", "after", "columns", "rows", "empty", "facts"],
    "properties": {
        **{name: {"type": ["string", "null"]} for name in ("session", "before", "after")},
        "columns": {"type": "array", "items": {"type": "string"}},
        "rows": {"type": "array", "items": {"type": "object"}},
        "empty": {"type": "string", "description": "What an empty table says."},
        "facts": {"type": "object"},
    },
}
TROUBLE = {"type": ["object", "null"], "properties": {name: {"type": "string"} for name in ("condition", "what", "fix")}}
OVERVIEW = {
    "type": "object",
    "required": ["read_at", "overview", "trouble"],
    "properties": {
        "read_at": {"type": "string"},
        "now": {"type": ["string", "null"]},
        "overview": {"type": ["object", "null"]},
        "trouble": TROUBLE,
    },
}
HEALTH = {
    "type": "object",
    "required": ["status", "reasons"],
    "properties": {"status": {"enum": ["ok", "look", "down"]}, "mode": {"type": ["string", "null"]}, "reasons": {"type": "array"}},
}


def page() -> dict[str, PageFile]:
    """Return the files of the page by their path."""
    folder = resources.files("appliance.serving") / "page"
    return {path: PageFile(kind, (folder / name).read_bytes()) for path, (name, kind) in FILES.items()}


def operations(source: AnswerSource) -> tuple[Operation, ...]:
    """Return the operations that read a device."""

    def view(name: str, says: str, read: Read, *parameters: Parameter) -> Operation:
        def run(call: Call) -> object:
            def query(ledger: Ledger, context: QueryContext) -> Mapping[str, View]:
                return {name: read(ledger, context, call.given)}

            return _view(source.read(ScreenQuery(query, call.given.day("session"))), name)

        return Operation(name, "GET", f"/v1/{name}", says, VIEW, run, parameters)

    return (
        Operation("health", "GET", "/v1/health", "Status in one word, with its reasons.", HEALTH, lambda _: _health(source)),
        Operation("overview", "GET", "/v1/overview", "Everything that one look must answer.", OVERVIEW, lambda _: _overview(source)),
        view("positions", "What is held, as last agreed with the broker, and its target.", _positions, SESSION),
        view("blotter", "The orders of a session and their outcomes.", lambda x, at, _: blotter.blotter(x, at.session), SESSION),
        view("signals", "The scores behind a session, best first.", lambda x, at, _: signal_table.signals(x, at.session), SESSION),
        view("tripwires", "Every check of a session with its limit.", lambda x, at, _: tripwire_checks.checks(x, at.session), SESSION),
        view("performance", "The value of each session, costs, and the expected range.", _performance, SESSION, SESSIONS),
        view(
            "orders",
            "The orders of many sessions that a text is found in.",
            _orders,
            SESSION,
            SESSIONS,
            Parameter("search", "A text.", text_of(40)),
        ),
        view("trades", "Closed trades, what each realised, and the hit rate.", _trades, SESSION, SESSIONS),
        view(
            "expectation",
            "Realised against expected results of the model.",
            lambda x, at, _: monitoring.expectation(x, at.session),
            SESSION,
        ),
        view("bundle", "Provenance, evidence and integrity of the bundle in force.", _bundle),
        view("events", "The events of a close, with side, stop and target; recorded, not traded.", _events, ASOF),
        view("outcomes", "What became of earlier events, and what each kind earned before costs.", _outcomes, ASOF, SESSIONS),
        view("log", "Alerts, halts and what jobs said, newest first.", lambda x, _, __: event_log.logs(x, 200)),
        Operation(
            "symbol", "GET", "/v1/symbols/{symbol}", "One symbol over time.", VIEW, partial(_symbol, source), (SYMBOL, SESSION, SESSIONS)
        ),
        view(
            "search",
            "Symbols that a text is found in.",
            lambda x, _, given: search(x, given.text("text"), 20),
            Parameter("text", "A text.", text_of(40)),
        ),
    )


def _bundle(ledger: Ledger, context: QueryContext, given: Arguments) -> View:
    return bundle_facts.bundle(context.folder.bundles, ledger)


def _positions(ledger: Ledger, context: QueryContext, given: Arguments) -> View:
    return holdings.positions(ledger, given.day("session"))


def _performance(ledger: Ledger, context: QueryContext, given: Arguments) -> View:
    return performance.performance(ledger, context.session, given.whole("sessions"), bundle_facts.annual_at_gross_1(context.folder.bundles))


def _orders(ledger: Ledger, context: QueryContext, given: Arguments) -> View:
    return blotter.history(ledger, context.session, given.whole("sessions"), given.text("search"))


def _trades(ledger: Ledger, context: QueryContext, given: Arguments) -> View:
    return closed_trades(ledger, context.session, given.whole("sessions"))


def _events(ledger: Ledger, context: QueryContext, given: Arguments) -> View:
    return events_of(ledger, context.folder, given.day("asof"))


def _outcomes(ledger: Ledger, context: QueryContext, given: Arguments) -> View:
    return outcomes_of(ledger, given.day("asof") or date.max, given.whole("sessions"))


def _symbol(source: AnswerSource, call: Call) -> object:
    def query(ledger: Ledger, context: QueryContext) -> Mapping[str, View]:
        return {"symbol": symbol_history(ledger, call.given.text("symbol"), context.session, call.given.whole("sessions"))}

    answer = source.read(ScreenQuery(query, call.given.day("session")))
    found = (answer.views or {}).get("symbol")
    if found and not any(row["price"] for row in found.rows) and not any(found.facts.get(name) for name in ("scores", "fills", "orders")):
        raise NotFound("nothing is recorded of this symbol", where=call.given.text("symbol"), fix="/v1/search finds symbols")
    return _view(answer, "symbol")


def _view(answer: ScreenAnswer, name: str) -> dict[str, object]:
    if answer.trouble is not None or not answer.views:
        what, fix = (answer.trouble.what, answer.trouble.fix) if answer.trouble else ("nothing could be read", "Ask again")
        raise LedgerUnusable(what, fix=fix)
    found = answer.views[name]
    return {
        "session": _day(found.session or answer.session),
        "before": _day(answer.before),
        "after": _day(answer.after),
        "columns": list(found.columns),
        "rows": to_json(found.rows),
        "empty": found.empty,
        "facts": to_json(found.facts),
    }


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _overview(source: AnswerSource) -> dict[str, object]:
    answer = source.read(ScreenQuery())
    return {
        "read_at": answer.read_at.isoformat(timespec="seconds"),
        "now": answer.now.isoformat(timespec="seconds") if answer.now else None,
        "overview": to_json(answer.overview),
        "trouble": to_json(answer.trouble),
    }


def _health(source: AnswerSource) -> dict[str, object]:
    answer = source.read(ScreenQuery())
    if answer.overview is None or answer.trouble is not None:
        return {"status": "down", "mode": None, "reasons": [answer.trouble.what if answer.trouble else "nothing could be read"]}
    found = answer.overview
    return {"status": "look" if found.concerns else "ok", "mode": found.mode.value, "reasons": list(found.concerns)}
