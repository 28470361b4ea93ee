"""Commands that run jobs: each job by its name, `run-day`, `run-due`, and the daemon `run`."""

import os
import sys
from pathlib import Path

import typer

from appliance.config import ClockSource, load_config
from appliance.daemon.briefing import Briefing
from appliance.jobs.prune import free_disk_space
from appliance.jobs.registry import ENTRIES
from appliance.jobs.runner import honour_halt_request
from appliance.options import DEFAULT_STATE, AsJson, Credentials, SessionText, State, to_session
from appliance.runtime.device import Device, opened
from appliance.runtime.kill_switch import killable
from appliance.runtime.session import run_session, tick
from appliance.runtime.venue import time_addresses
from appliance.safety.escalation import attend
from appliance.schedule.job import EXIT_CODES, JobReport
from appliance.schedule.timetable import JOBS
from appliance.storage.published_sources import PublishedSources
from appliance.system.state_folder import DurableFs, StateFolder
from signals.errors import FixInput
from signals.text.console import emit
from signals.text.documents import to_json


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    for function in (pull, score, plan, trade, confirm, reconcile, report):
        app.command()(function)
    app.command("job", hidden=True)(job)
    app.command("run-day")(run_day)
    app.command("tick")(run_due)
    app.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(run)
    app.command("attend", hidden=True)(attend_now)
    app.command("brief", hidden=True)(brief)


def pull(session: SessionText, state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Refresh bars and bundles for a session, from what is published.

    Everything is verified by SHA-256 before it is used; bars after the device's clock are never stored. A refused
    bundle leaves the one in force. Exit code 5: not published yet, the same command may succeed later.
    """
    _one("pull", session, state, credentials, as_json)


def score(session: SessionText, state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Compute features of asof and score every eligible name with the bundle in force.

    Exit code 3: the session is skipped, by the tripwire that is named.
    """
    _one("score", session, state, credentials, as_json)


def plan(session: SessionText, state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Build the targets of a session and freeze its orders. Nothing is sent; a second run loads the frozen plan."""
    _one("plan", session, state, credentials, as_json)


def trade(session: SessionText, state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Send the frozen plan's orders, each exactly once. Exit code 4: the device is halted and sends nothing."""
    _one("trade", session, state, credentials, as_json)


def confirm(session: SessionText, state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Book the fills of the open and act on what was left over."""
    _one("confirm", session, state, credentials, as_json)


def reconcile(session: SessionText, state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Compare the ledger with the broker: the morning's run until it has ended, then the one after the close."""
    with opened(state, credentials=credentials) as device, killable(device):
        day = to_session(session)
        morning_ended = device.has_ended("reconcile_morning", day)
        found = device.run("reconcile_close" if morning_ended else "reconcile_morning", day)
    _print(found, as_json)


def report(session: SessionText, state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Write the session's report: `reports/report_<D>.json` and `.md`, and the equity curve."""
    _one("report", session, state, credentials, as_json)


def job(name: str, session: SessionText, state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Run one job by its name in the timetable."""
    if name not in ENTRIES:
        raise FixInput(f"there is no job {name!r}", fix=f"Jobs: {', '.join(JOBS)}")
    _one(name, session, state, credentials, as_json)


def run_day(session: SessionText, state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Run one whole session against the exchange that this device hosts, in virtual time.

    Every job of the timetable runs at its hour, from the evening of asof to the report. Refused on a real account,
    and by a halted device (exit code 4).
    """
    with opened(state) as device, killable(device):
        require_hosted(device)
        reports = run_session(device, to_session(session))
    worst = max(reports, key=lambda item: EXIT_CODES[item.status])
    text = "\n".join(f"{item.job:<18} {item.status.value:<8} {item.summary}" for item in reports)
    emit({"session": session, "jobs": [as_row(item) for item in reports]}, as_json=as_json, text=text)
    raise typer.Exit(EXIT_CODES[worst.status])


def run(context: typer.Context) -> None:
    """Run the daemon: start every job at its time, supervise it and report its state, until it is stopped."""
    os.execv(sys.executable, [sys.executable, "-m", "appliance.daemon", *context.args])


def attend_now(state: State = DEFAULT_STATE, credentials: Credentials = None) -> None:
    """Do what halts and messages lack, and what a filling disk needs; the daemon asks for it between jobs."""
    with opened(state, credentials=credentials) as device, killable(device), device.deps() as deps:
        honour_halt_request(deps, None)
        free_disk_space(deps, None)
        attend(deps)


def brief(state: State = DEFAULT_STATE) -> None:
    """Write down what the daemon must know of settings and calendar, so that it need not load what reads them."""
    folder = StateFolder(state)
    folder.require()
    config = load_config(folder.config)
    if config.venue.is_hosted:
        raise FixInput(
            "a hosted exchange has no time of its own",
            where="venue.url is empty",
            fix="Use `appliance run-day`, or serve the exchange with `paper-exchange serve`",
        )
    exchange, broker = time_addresses(config)
    calendar = PublishedSources(config.stores).manifest(folder).calendar
    found = Briefing(exchange, broker, config.tripwires.halt_skew_seconds, calendar, config.entering, config.clock is ClockSource.HOST)
    DurableFs().write(folder.briefing, found.to_bytes())


def run_due(state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Run what the timetable says is due now, once; for a timer. What was missed is recorded, never traded late.

    Exit code 5: a job could not run now and stays due.
    """
    with opened(state, credentials=credentials) as device, killable(device):
        reports = tick(device)
    text = "\n".join(f"{item.job:<18} {item.session} {item.status.value:<8} {item.summary}" for item in reports)
    emit({"jobs": [as_row(item) for item in reports]}, as_json=as_json, text=text or "nothing is due")
    raise typer.Exit(max((EXIT_CODES[item.status] for item in reports), default=0))


def require_hosted(device: Device) -> None:
    """Raise `FixInput` unless this device hosts its exchange: virtual time and a real account do not mix."""
    if not device.config.venue.is_hosted:
        raise FixInput(
            "a whole session in virtual time needs the hosted exchange",
            where=f"venue.broker is {device.config.venue.broker}, url {device.config.venue.url or 'none'}",
            fix="Initialise a device with `--venue exchange`",
        )


def as_row(found: JobReport) -> dict[str, object]:
    """A report as JSON fields."""
    return {
        "job": found.job,
        "session": found.session,
        "status": found.status.value,
        "summary": found.summary,
        "figures": to_json(found.figures),
    }


def _one(name: str, session: str, state: Path, credentials: Path | None, as_json: bool) -> None:
    with opened(state, credentials=credentials) as device, killable(device):
        found = device.run(name, to_session(session))
    _print(found, as_json)


def _print(found: JobReport, as_json: bool) -> None:
    emit(as_row(found), as_json=as_json, text=f"{found.job} {found.session}: {found.status.value}: {found.summary}")
    raise typer.Exit(EXIT_CODES[found.status])
