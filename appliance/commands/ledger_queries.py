"""Commands that print the ledger's tables; the screens of `appliance tui` show the same rows.

Every command reads the ledger read-only and without the lock: it disturbs nothing and works while jobs run. `shadow`
only can write, a file outside the state folder for the trainer.
"""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from appliance.commands.text_table import render
from appliance.config import load_config
from appliance.ledger import AccessMode, Ledger
from appliance.options import DEFAULT_STATE, AsJson, Credentials, Limit, State, to_session
from appliance.system.clock import SystemClock
from appliance.system.state_folder import StateFolder
from appliance.tui.ledger_source import LedgerSource, ScreenQuery
from appliance.views import (
    View,
    bundle_facts,
    closed_trades,
    event_log,
    monitoring,
    order_trace,
    performance,
    runs,
    shadow_scores,
    signal_table,
    symbol_history,
    tripwire_checks,
)
from appliance.views import blotter as orders
from appliance.views import positions as holdings
from appliance.views.view import newest_session
from signals.errors import BundleRefused, FixInput, LedgerUnusable
from signals.files import write_atomic
from signals.text.console import emit

Session = Annotated[str, typer.Option("--session", metavar="YYYY-MM-DD", help="D; default: the newest one.", show_default=False)]
Sessions = Annotated[int, typer.Option("--sessions", min=1, help="How many sessions to show.")]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command("overview")(show_overview)
    app.command()(blotter)
    app.command("trace")(show_trace)
    app.command("orders")(show_orders)
    app.command("trades")(show_trades)
    app.command("symbol")(show_symbol)
    app.command("signals")(show_signals)
    app.command()(positions)
    app.command("tripwires")(show_tripwires)
    app.command("jobs")(show_jobs)
    app.command("runs")(show_runs)
    app.command("data")(show_data)
    app.command("bundle")(show_bundle)
    app.command("shadow")(show_shadow)
    app.command("performance")(show_performance)
    app.command("reconciliation")(show_reconciliation)
    app.command("halts")(show_halts)
    app.command("alerts")(show_alerts)
    app.command("logs")(show_logs)
    app.command("attribution")(show_attribution)
    app.command("expectation")(show_expectation)
    app.command("drift")(show_drift)


def show_overview(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Show everything one look must answer: mode, what to look at, account, data, bundle, next job."""
    source = LedgerSource(state, SystemClock())
    answer = source.read(ScreenQuery())
    source.close()
    if answer.overview is None:
        what, fix = (answer.trouble.what, answer.trouble.fix) if answer.trouble else ("nothing could be read", "")
        raise LedgerUnusable(what, fix=fix)
    show(answer.overview.view(), 1_000, as_json)


def blotter(session: Session = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show the orders of a session: what was meant, what became of it, at what price; the largest first."""
    of_session(state, session, orders.blotter, limit, as_json)


def show_trace(
    client_order_id: Annotated[str, typer.Argument(help="Of the order; `appliance blotter --json` lists them.")],
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Show why an order was sent: its signal, features, data snapshot and bundle, every link by its hash."""
    with open_ledger(state) as ledger:
        found = order_trace.trace(ledger, StateFolder(state), client_order_id)
    if not found.rows:
        raise FixInput(found.empty, fix="`appliance blotter --json` lists the orders of a session")
    show(found, len(found.rows), as_json)


def show_orders(
    search: Annotated[str, typer.Option(help="Text that symbol, side, state, reason or session hold.", show_default=False)] = "",
    session: Session = "",
    state: State = DEFAULT_STATE,
    sessions: Sessions = 90,
    limit: Limit = 1_000,
    as_json: AsJson = False,
) -> None:
    """Show the orders of the last sessions up to D, the newest first, and what was traded and paid in all."""
    of_session(state, session, lambda ledger, day: orders.history(ledger, day, sessions, search), limit, as_json)


def show_trades(session: Session = "", state: State = DEFAULT_STATE, sessions: Sessions = 90, as_json: AsJson = False) -> None:
    """Show the trades that ended in the last sessions up to D: what each realised by average cost, and the hit rate."""
    of_session(state, session, lambda ledger, day: closed_trades.closed_trades(ledger, day, sessions), 10_000, as_json)


def show_symbol(
    symbol: Annotated[str, typer.Argument(help="As `appliance signals` lists them.")],
    session: Session = "",
    state: State = DEFAULT_STATE,
    sessions: Sessions = 90,
    as_json: AsJson = False,
) -> None:
    """Show one symbol over the last sessions up to D: price, holding, score, and fills."""
    of_session(state, session, lambda ledger, day: symbol_history.symbol_history(ledger, symbol, day, sessions), sessions, as_json)


def show_signals(session: Session = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show the scores behind a session, best first, with the weight that is held and the weight that is aimed at."""
    of_session(state, session, signal_table.signals, limit, as_json)


def positions(session: Session = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show what is held, as it was last agreed with the broker, with its target."""
    with open_ledger(state) as ledger:
        found = holdings.positions(ledger, to_session(session) if session else None)
    show(found, limit, as_json)


def show_tripwires(session: Session = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show every check of a session with its value and limit, what tripped first."""
    of_session(state, session, tripwire_checks.checks, limit, as_json)


def show_jobs(session: Session = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show how each job of a session ended."""
    of_session(state, session, runs.jobs, limit, as_json)


def show_runs(session: Session = "", state: State = DEFAULT_STATE, sessions: Sessions = 30, as_json: AsJson = False) -> None:
    """Show how every job of the last sessions up to D ended."""
    of_session(state, session, lambda ledger, day: runs.calendar(ledger, day, sessions), sessions, as_json)


def show_data(session: Session = "", state: State = DEFAULT_STATE, sessions: Sessions = 90, as_json: AsJson = False) -> None:
    """Show the data of the last sessions up to D: GREEN, AMBER or RED, and why."""
    of_session(state, session, lambda ledger, day: monitoring.data(ledger, day, sessions), sessions, as_json)


def show_bundle(
    verify: Annotated[bool, typer.Option("--verify", help="Prove signature, files and golden vectors now, of every bundle here.")] = False,
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Show the bundle in force and the auxiliary ones: provenance, evidence, and whether the files are what was activated.

    With --verify each is proven as before it scores. Exit code 6: one is refused, or none is in force.
    """
    if verify:
        from appliance.commands.bundle_verification import is_sound, verified  # brings in what runs a model

        rows = verified(state, credentials, SystemClock())
        emit({"rows": rows}, as_json=as_json, text=render(rows, ("place", "bundle", "verdict", "says"), empty=""))
        raise typer.Exit(0 if is_sound(rows) else BundleRefused.exit_code)
    with open_ledger(state) as ledger:
        found = bundle_facts.bundle(StateFolder(state).bundles, ledger)
    show(found, 1_000, as_json)


def show_shadow(
    to: Annotated[Path | None, typer.Option(help="File to write for `trainer shadow --recorded`.", show_default=False)] = None,
    state: State = DEFAULT_STATE,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show the shadow bundle's scores, newest first, and why where there are none.

    With --to every recorded score goes into one file, with the manifests of the bundles that gave them: the trainer
    joins it with what became of the names, and judges a challenger by it.
    """
    folder = StateFolder(state)
    with open_ledger(state) as ledger:
        venue = load_config(folder.config).venue
        log = shadow_scores.shadow_log(ledger, folder.bundles, venue.broker.value, is_rehearsal=venue.is_hosted)
    if to is not None:
        if log is None:
            raise FixInput(shadow_scores.NOTHING, where=str(state), fix="Publish one by `trainer publish --role shadow`")
        write_atomic(to, log.to_bytes())
    show(shadow_scores.shadow(log), limit, as_json)


def show_performance(session: Session = "", state: State = DEFAULT_STATE, sessions: Sessions = 90, as_json: AsJson = False) -> None:
    """Show the value of each session up to D on paper and outside it, costs, attribution and the expected range."""
    expected = bundle_facts.annual_at_gross_1(StateFolder(state).bundles)

    def query(ledger: Ledger, day: date) -> View:
        return performance.performance(ledger, day, sessions, expected)

    of_session(state, session, query, sessions, as_json)


def show_reconciliation(session: Session = "", state: State = DEFAULT_STATE, sessions: Sessions = 30, as_json: AsJson = False) -> None:
    """Show when both books were compared over the last sessions up to D, and what differed."""
    of_session(state, session, lambda ledger, day: runs.reconciliation(ledger, day, sessions), 2 * sessions, as_json)


def show_halts(state: State = DEFAULT_STATE, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show the latest halts, why, and who opened the latch again."""
    with open_ledger(state) as ledger:
        show(event_log.halts_view(ledger, limit), limit, as_json)


def show_alerts(state: State = DEFAULT_STATE, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show the alerts that were sent, newest first, and whether they were delivered."""
    with open_ledger(state) as ledger:
        show(event_log.alerts_view(ledger, limit), limit, as_json)


def show_logs(state: State = DEFAULT_STATE, limit: Limit = 200, as_json: AsJson = False) -> None:
    """Show alerts, halts, re-armings and what jobs said, newest first."""
    with open_ledger(state) as ledger:
        show(event_log.logs(ledger, limit), limit, as_json)


def show_attribution(session: Session = "", state: State = DEFAULT_STATE, sessions: Sessions = 20, as_json: AsJson = False) -> None:
    """Show what each session's result was made of: market, sectors, styles, selection, costs, rounding, refusals.

    A session is attributed by the report of the next one, when its bars are here; each row sums to its total.
    """
    of_session(state, session, lambda ledger, day: monitoring.attribution(ledger, day, sessions), sessions, as_json)


def show_expectation(session: Session = "", state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Show every model's life inside the fan that its bundle promised, and whether it still is the model you promoted.

    Rank IC, turnover, cost of trading and drawdown so far, each between the 5 % and 95 % quantiles of what was
    promised. Exit code 1: the sequential test says that it is no longer the model you promoted.
    """
    with open_ledger(state) as ledger:
        found = monitoring.expectation(ledger, to_session(session) if session else date.max)
    lives = found.facts.get("sleeves") or {"": found.facts}
    tests = {sleeve: facts["test"] for sleeve, facts in lives.items() if "test" in facts}
    said = "".join(f"\n{sleeve}{': ' * bool(sleeve)}{sentence(test)}" for sleeve, test in tests.items())
    emit(
        {"session": found.session if found.rows else None, "rows": found.rows, **found.facts},
        as_json=as_json,
        text=render(found.rows, found.columns, empty=found.empty) + said,
    )
    raise typer.Exit(int(any(test["alarmed_on"] for test in tests.values())))


def show_drift(session: Session = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show how far features and scores have drifted from the training history, against the limits in the bundle."""
    of_session(state, session, monitoring.drift, limit, as_json)


def sentence(test: Mapping[str, object]) -> str:
    """The sequential test in one line."""
    return (
        f"{test['sessions']} sessions: {test['says']}; evidence against it {test['wealth']:.2f}, "
        f"at most {test['highest']:.2f}, alarm at {test['alarm_at']:.0f}"
    )


def open_ledger(state: Path) -> Ledger:
    """Open the ledger of a state folder for reading."""
    folder = StateFolder(state)
    folder.require()
    return Ledger(folder.ledger, AccessMode.READ)


def of_session(state: Path, text: str, query: Callable[[Ledger, date], View], limit: int, as_json: bool) -> None:
    """Answer a query on the session that is named, or the newest one; raise `FixInput` where none has run."""
    with open_ledger(state) as ledger:
        session = to_session(text) if text else newest_session(ledger)
        if session is None:
            raise FixInput("this device has not run a session yet", fix="Name one with --session, or run one")
        show(query(ledger, session), limit, as_json)


def show(view: View, limit: int, as_json: bool) -> None:
    """Print a view."""
    shown = view.rows[:limit]
    text = render(shown, view.columns, empty=view.empty)
    if len(view.rows) > len(shown):
        text += f"\n... {len(view.rows) - len(shown)} more; --limit shows them"
    text += "".join(f"\n{sentence}" for sentence in view.facts.get("said", ()))
    head = f"Session {view.session}\n" if view.session and view.rows else ""
    emit({"session": view.session, "rows": shown, "total": len(view.rows), **view.facts}, as_json=as_json, text=head + text)
