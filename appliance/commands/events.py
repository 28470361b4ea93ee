"""Commands that list events, arms and sizes drawn in shadow, and outcomes of their trades: `events`, `outcomes`, `arms`, `sizes`."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from appliance.commands.ledger_queries import open_ledger, show
from appliance.config import load_config
from appliance.options import DEFAULT_STATE, AsJson, Limit, State, to_session
from appliance.system.state_folder import StateFolder
from appliance.views.draws import arm_log, arms_of, size_log, sizes_of
from appliance.views.events import events_of, outcomes_of
from signals.files import write_atomic

Asof = Annotated[str, typer.Option("--asof", metavar="YYYY-MM-DD", help="Session of the close; default: the newest.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command("events")(show_events)
    app.command("outcomes")(show_outcomes)
    app.command("arms")(show_arms)
    app.command("sizes")(show_sizes)


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


def show_arms(
    to: Annotated[Path | None, typer.Option(help="File to write for `trainer tuner --recorded`.", show_default=False)] = None,
    state: State = DEFAULT_STATE,
    limit: Limit = 1_000,
    as_json: AsJson = False,
) -> None:
    """Show how often each arm of target and size was drawn in shadow, and what its trades would have made.

    One event in ten draws among all arms, the others take the recipe's; none is traded. With --to every draw goes into one
    file with its propensity and seed.
    """
    with open_ledger(state) as ledger:
        venue = load_config(StateFolder(state).config).venue
        log = arm_log(ledger, venue.broker.value, is_rehearsal=venue.is_hosted)
    if to is not None:
        write_atomic(to, log.to_bytes())
    show(arms_of(log), limit, as_json)


def show_sizes(
    to: Annotated[Path | None, typer.Option(help="File to write for `trainer policy --decisions`.", show_default=False)] = None,
    state: State = DEFAULT_STATE,
    limit: Limit = 1_000,
    as_json: AsJson = False,
) -> None:
    """Show the multipliers of the book that plans drew in shadow, where the settings say `draw_sizes: true`; none is traded.

    With --to every draw goes into one file with its propensity and seed, the state, and the weights of the whole book.
    """
    with open_ledger(state) as ledger:
        log = size_log(ledger, load_config(StateFolder(state).config).venue.broker.value)
    if to is not None:
        write_atomic(to, log.to_bytes())
    show(sizes_of(log), limit, as_json)
