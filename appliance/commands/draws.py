"""`appliance arms` and `sizes`: draws in shadow, which no order reads, and what they would have made."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.commands.ledger_queries import open_ledger, show
from appliance.config import load_config
from appliance.options import DEFAULT_STATE, AsJson, Limit, State
from appliance.system.state_folder import StateFolder
from appliance.views.draws import arm_log, arms_of, size_log, sizes_of
from signals.files import write_atomic


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command("arms")(show_arms)
    app.command("sizes")(show_sizes)


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
