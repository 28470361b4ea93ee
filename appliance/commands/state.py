"""How the device is, and when it does what: `status` and `timetable`."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from appliance import reductions
from appliance.bundles import BundleStore
from appliance.clock import SystemClock
from appliance.commands.table import render
from appliance.config import ApplianceConfig
from appliance.folder import StateFolder
from appliance.fs import DurableFs
from appliance.health import Health, Verdict, assess, newest_session
from appliance.latch import Latch
from appliance.ledger import Ledger, Mode, alerts, job_runs, nav, snapshots
from appliance.options import DEFAULT_STATE, AsJson, State, to_session
from appliance.schedule import timetable as rows_of
from appliance.stores import FolderStore
from appliance.sync import published
from signals.config import load
from signals.console import emit
from signals.errors import FixInput, LedgerUnusable
from signals.sessions import NEW_YORK, Calendar, xnys

RECENT_ALERTS = 50


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(status)
    app.command()(timetable)


def status(state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Say how the device is, without disturbing it. Exit code: 0 ok, 1 degraded, 2 halted, 3 down."""
    health, facts = _facts(StateFolder(state))
    lines = [health.verdict.name, *(f"  {reason}" for reason in health.reasons)]
    lines += [f"{name:<16} {value}" for name, value in facts.items() if value not in (None, "")]
    emit(
        {"verdict": health.verdict.name.lower(), "reasons": list(health.reasons), **facts},
        as_json=as_json,
        text="\n".join(lines),
    )
    raise typer.Exit(int(health.verdict))


def timetable(
    day: Annotated[
        str, typer.Option("--day", metavar="YYYY-MM-DD", help="D; default: the next session.", show_default=False)
    ] = "",
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Print when each job of a session runs and until when it may, in New York time; early closes are followed.

    Uses the dataset's frozen calendar inside a state folder, and the exchange's own outside of one.
    """
    calendar = _calendar(StateFolder(state), day)
    session = to_session(day) if day else calendar.next(calendar.last_closed(SystemClock().now()))
    found = rows_of(session, calendar)
    rows = [
        {
            "job": row.job,
            "at": f"{row.at.astimezone(NEW_YORK):%a %Y-%m-%d %H:%M}",
            "not after": f"{row.deadline.astimezone(NEW_YORK):%a %H:%M}",
            "purpose": row.purpose,
        }
        for row in found
    ]
    hours = calendar.session(session)
    close = "early close " if hours.is_early_close else "close "
    opens, closes = (f"{at.astimezone(NEW_YORK):%H:%M}" for at in (hours.open, hours.close))
    head = f"Session {session}: open {opens}, {close}{closes} New York"
    text = f"{head}\n{render(rows, ['job', 'at', 'not after', 'purpose'], empty='')}"
    jobs = [
        {"job": r.job, "at": r.at.isoformat(), "deadline": r.deadline.isoformat(), "purpose": r.purpose} for r in found
    ]
    emit({"session": session, "is_early_close": hours.is_early_close, "jobs": jobs}, as_json=as_json, text=text)


def _calendar(folder: StateFolder, day: str) -> Calendar:
    if folder.config.is_file():
        return published(FolderStore(load(folder.config, ApplianceConfig).stores.data)).calendar
    middle = to_session(day) if day else SystemClock().now().date()
    return xnys(middle - timedelta(days=10), middle + timedelta(days=10))


def _facts(folder: StateFolder) -> tuple[Health, dict[str, Any]]:
    try:
        folder.require()
        ledger = Ledger(folder.ledger, Mode.READ)
    except (FixInput, LedgerUnusable) as error:
        return Health(Verdict.DOWN, (str(error),)), {"state": str(folder.root)}
    with ledger:
        runs = job_runs.since(ledger, date.min)
        newest = newest_session(runs)
        todays = tuple(run for run in runs if run.session == newest)
        latch = Latch(folder.root, DurableFs()).read()
        reduced = reductions.standing(ledger)
        undelivered = sum(not row.delivered for row in alerts.newest(ledger, RECENT_ALERTS))
        pointer = BundleStore(folder.bundles, DurableFs()).current()
        held, value = snapshots.latest(ledger), nav.history(ledger, date.max, 1)
        facts: dict[str, Any] = {
            "state": str(folder.root),
            "latch": latch.sentence(),
            "halt_id": latch.halt_id,
            "session": newest,
            "equity": str(held.equity) if held else None,
            "positions": len(held.positions) if held else None,
            "real_nav": str(value[-1].real_nav) if value else None,
            "bundle": f"{pointer.seq}-{pointer.bundle_id}" if pointer else None,
            "last_job": f"{todays[-1].job}: {todays[-1].summary}" if todays else None,
            "report": _report(folder.reports, newest),
        }
        facts["reductions"] = "; ".join(map(reductions.sentence, reduced)) or None
        return assess(latch, todays, undelivered, pointer is not None, [row.name for row in reduced]), facts


def _report(folder: Path, session: date | None) -> str | None:
    path = folder / f"report_{session}.md"
    return str(path) if session and path.is_file() else None
