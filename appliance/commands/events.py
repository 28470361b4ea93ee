"""`appliance events` and `outcomes`: what detectors found, and what trades of it would have made."""

from datetime import date
from typing import Annotated

import typer

from appliance.commands.ledger_queries import open_ledger, show
from appliance.options import DEFAULT_STATE, AsJson, Limit, State, to_session
from appliance.system.state_folder import StateFolder
from appliance.views.events import events_of, outcomes_of

Asof = Annotated[str, typer.Option("--asof", metavar="YYYY-MM-DD", help="Session of the close; default: the newest.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command("events")(show_events)
    app.command("outcomes")(show_outcomes)


def show_events(asof: Asof = "", state: State = DEFAULT_STATE, limit: Limit = 1_000, as_json: AsJson = False) -> None:
    """Show the events that were found at a close, each with its proposed side, stop and target; they are not traded.

    With a bundle of the sleeve `patterns`: the shape that its net saw, and what past events like each one made. With bundles of a
    gate, of quantiles and of offsets: the probability of the target before the stop and whether it pays the costs, the stop that
    70 % of events do not reach in 4 sessions and the target that 40 % exceed in 30, and the offset of the entry; below, who said so.
    """
    with open_ledger(state) as ledger:
        show(events_of(ledger, StateFolder(state), to_session(asof) if asof else None), limit, as_json)


def show_outcomes(
    asof: Asof = "",
    state: State = DEFAULT_STATE,
    sessions: Annotated[int, typer.Option("--sessions", min=1, help="How many sessions with events to show.")] = 90,
    limit: Limit = 1_000,
    as_json: AsJson = False,
) -> None:
    """Show what became of the events of the last sessions, in R before costs, and each kind's mean with its error."""
    with open_ledger(state) as ledger:
        found = outcomes_of(ledger, to_session(asof) if asof else date.max, sessions)
    show(found, limit, as_json)
