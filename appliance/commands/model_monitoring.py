"""The commands `attribution`, `expectation` and `drift`: model monitoring as the reports measured it."""

from collections.abc import Mapping
from datetime import date

import typer

from appliance.commands.ledger_queries import Session, Sessions, of_session, open_ledger
from appliance.commands.text_table import render
from appliance.options import DEFAULT_STATE, AsJson, Limit, State, to_session
from appliance.views import monitoring
from signals.text.console import emit


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command("attribution")(show_attribution)
    app.command("expectation")(show_expectation)
    app.command("drift")(show_drift)


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
