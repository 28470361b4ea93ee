"""Whether things go as expected: `attribution`. Read from the ledger: what the reports have measured is shown."""

from __future__ import annotations

import typer

from appliance.commands.reading import Session, Sessions, of_session
from appliance.options import DEFAULT_STATE, AsJson, State
from appliance.views import attribution


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command("attribution")(show_attribution)


def show_attribution(
    session: Session = "", state: State = DEFAULT_STATE, sessions: Sessions = 20, as_json: AsJson = False
) -> None:
    """Show what each session's result was made of: market, sectors, styles, selection, costs, rounding, refusals.

    A session is attributed by the report of the next one, when its bars are here; each row sums to its total.
    """
    of_session(state, session, lambda ledger, day: attribution.attribution(ledger, day, sessions), sessions, as_json)
