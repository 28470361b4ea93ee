"""The command `may-update`: whether a new release may be installed now."""

from datetime import datetime, timedelta

import typer

from appliance.daemon import briefing
from appliance.ledger import AccessMode, Ledger, job_runs
from appliance.options import DEFAULT_STATE, AsJson, State
from appliance.schedule.timetable import busy_until, table_of
from appliance.system.clock import ExchangeTime, SystemClock
from appliance.system.state_folder import DurableFs, StateFolder
from signals.market.sessions import NEW_YORK
from signals.text.console import emit

NOT_NOW = 5


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command("may-update")(may_update)


def may_update(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Say whether this device may be updated now. Exit code 0: it may; 5: orders are about to leave, or just have.

    The window is from 15 minutes before the session's first orders to 15 minutes after the last job that sends any.
    """
    until = _busy_until(StateFolder(state))
    text = "no orders are near: it may be updated"
    if until is not None:
        text = f"orders are near: not before {until.astimezone(NEW_YORK):%Y-%m-%d %H:%M} New York"
    emit({"may_update": until is None, "not_before": until}, as_json=as_json, text=text)
    raise typer.Exit(0 if until is None else NOT_NOW)


def _busy_until(folder: StateFolder) -> datetime | None:
    folder.require()
    content = DurableFs().read(folder.briefing)
    if content is None:
        return None  # no daemon has ever been briefed here: nothing sends orders by the hour
    brief = briefing.read(content)
    now = (ExchangeTime(brief.exchange) if brief.exchange else SystemClock()).now()
    with Ledger(folder.ledger, AccessMode.READ) as ledger:
        ended = job_runs.ended(ledger, now.date() - timedelta(days=7))
    return busy_until(now, brief.calendar, table_of(brief.entering), ended)
