"""The commands `status` and `timetable`: the device's health, and the times of its jobs."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from appliance.commands.text_table import render
from appliance.config import Venue, load_config
from appliance.controls.latch import Latch
from appliance.ledger import AccessMode, Ledger
from appliance.options import DEFAULT_STATE, AsJson, Credentials, State, to_session
from appliance.runtime.venue import time_addresses
from appliance.safety import reductions
from appliance.schedule.timetable import TIMETABLE, table_of
from appliance.status.upkeep import concerns_of, count_addresses, expiries
from appliance.status.vitals import DaemonFacts, Health, HealthStatus, ProcessFacts, daemon_facts, vitals
from appliance.storage.published_sources import PublishedSources
from appliance.system.clock import ExchangeTime, SystemClock, venue_time
from appliance.system.state_folder import DurableFs, StateFolder
from signals.errors import BadConfig, FixInput, LedgerUnusable, TrademlError
from signals.market.sessions import NEW_YORK, Calendar, xnys
from signals.schedule.job_windows import Timetable, windows
from signals.text.console import emit
from signals.text.documents import to_json
from signals.text.strict_json import JsonObject
from signals.text.wording import clean

SHOWN = (
    "state",
    "latch",
    "halt_id",
    "daemon",
    "session",
    "account_of",
    "equity",
    "positions",
    "real_nav_of",
    "real_nav",
    "bundle",
    "last_job",
    "report",
    "reductions",
)


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(status)
    app.command()(timetable)


def status(state: State = DEFAULT_STATE, credentials: Credentials = None, as_json: AsJson = False) -> None:
    """Say how the device is, without disturbing it. Exit code: 0 ok, 1 degraded, 2 halted, 3 down."""
    folder = StateFolder(state)
    found = _status(folder, folder.key_folder(credentials))
    verdict, facts = found.health.verdict, found.document
    lines = [verdict.name, *(f"  {reason}" for reason in found.health.reasons)]
    lines += [f"{name:<16} {facts[name]}" for name in SHOWN if facts.get(name) not in (None, "")]
    lines += [f"{'next_job':<16} {text}" for text in found.scheduled[:1]]
    emit(facts, as_json=as_json, text="\n".join(lines))
    raise typer.Exit(int(verdict))


def timetable(
    day: Annotated[str, typer.Option("--day", metavar="YYYY-MM-DD", help="D; default: the next session.", show_default=False)] = "",
    zone: Annotated[str, typer.Option("--zone", help="Your own time zone, as Europe/Berlin.", show_default="this machine's")] = "",
    state: State = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Print when each job of a session runs and until when it may, in New York time and in yours; early closes are followed.

    Uses the dataset's frozen calendar inside a state folder, and the exchange's own outside of one.
    """
    folder = StateFolder(state)
    calendar = _calendar(folder, day)
    session = to_session(day) if day else calendar.next(calendar.last_closed(_venue_time(folder)))
    found, own = windows(session, calendar, _table(StateFolder(state))), _zone(zone)
    rows = [
        {
            "job": row.job,
            "at": f"{row.at.astimezone(NEW_YORK):%a %Y-%m-%d %H:%M}",
            "not after": f"{row.deadline.astimezone(NEW_YORK):%a %H:%M}",
            "here": f"{row.at.astimezone(own):%a %H:%M} to {row.deadline.astimezone(own):%a %H:%M}",
            "purpose": row.purpose,
        }
        for row in found
    ]
    hours = calendar.session(session)
    close = "early close " if hours.is_early_close else "close "
    opens, closes = (f"{at.astimezone(NEW_YORK):%H:%M}" for at in (hours.open, hours.close))
    head = f"Session {session}: open {opens}, {close}{closes} New York; `here` is {zone or 'the time of this machine'}"
    text = f"{head}\n{render(rows, ['job', 'at', 'not after', 'here', 'purpose'], empty='')}"
    jobs = [{"job": r.job, "at": r.at.isoformat(), "deadline": r.deadline.isoformat(), "purpose": r.purpose} for r in found]
    emit({"session": session, "is_early_close": hours.is_early_close, "jobs": jobs}, as_json=as_json, text=text)


def _zone(name: str) -> ZoneInfo | None:
    """Return the time zone of this name; None is the machine's own."""
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise BadConfig(f"no time zone {clean(name)!r}", where="--zone", fix="Write its name, as Europe/Berlin or Asia/Tokyo") from None


def _calendar(folder: StateFolder, day: str) -> Calendar:
    if folder.config.is_file():
        return PublishedSources(load_config(folder.config).stores).manifest(folder).calendar
    middle = to_session(day) if day else SystemClock().now().date()
    return xnys(middle - timedelta(days=10), middle + timedelta(days=10))


def _venue_time(folder: StateFolder) -> datetime:
    if not folder.config.is_file():
        return SystemClock().now()
    config = load_config(folder.config)
    is_exchange = config.venue.broker is Venue.EXCHANGE
    if found := venue_time(folder.root, SystemClock(), is_exchange=is_exchange, url=config.venue.url):
        return found
    manifest = PublishedSources(config.stores).manifest(folder)
    return manifest.calendar.session(manifest.first).close  # a hosted clock begins here


def _table(folder: StateFolder) -> Timetable:
    return table_of(load_config(folder.config).entering) if folder.config.is_file() else TIMETABLE


@dataclass(frozen=True)
class _DeviceStatus:
    health: Health
    document: JsonObject
    scheduled: tuple[str, ...] = ()


def _status(folder: StateFolder, credentials: Path | None) -> _DeviceStatus:
    at = SystemClock().now()
    try:
        folder.require()
        with Ledger(folder.ledger, AccessMode.READ) as ledger:
            daemon, concerns = _looked_after(ledger, folder, credentials, daemon_facts(folder), at)
            found = vitals(ledger, folder, at, daemon, concerns)
            reduced = [reductions.sentence(row) for row in reductions.in_force(ledger)]
    except (FixInput, LedgerUnusable) as error:
        document: JsonObject = {"verdict": HealthStatus.DOWN.name.lower(), "reasons": [str(error)], "state": str(folder.root)}
        return _DeviceStatus(Health(HealthStatus.DOWN, (str(error),)), document)
    report = folder.reports / f"report_{found.session}.md"
    others = {"state": str(folder.root), "reductions": "; ".join(reduced) or None, "report": str(report) if report.is_file() else None}
    return _DeviceStatus(found.health, {**to_json(found), **others}, found.scheduled)


def _looked_after(
    ledger: Ledger, folder: StateFolder, credentials: Path | None, daemon: DaemonFacts, at: datetime
) -> tuple[DaemonFacts, tuple[str, ...]]:
    """Judge what a rehearsal that moves its own time does not need: a daemon, addresses, every session served."""
    config = load_config(folder.config)
    latch = Latch(folder.root, DurableFs()).read()
    if config.venue.is_hosted or latch.is_fresh:
        return daemon, ()
    published = daemon.notes.process or ProcessFacts()
    addresses = count_addresses(credentials) if credentials else published.alert_addresses
    try:
        exchange = time_addresses(config)[0]
        now = ExchangeTime(exchange).now() if exchange else at
        calendar = _calendar(folder, "")
        ends = {**published.expires, **expiries(folder.bundles, calendar, credentials)}
        found = concerns_of(ledger, latch, now, addresses, calendar, _table(folder), ends)
    except TrademlError as error:
        found = (str(error),)
    return replace(daemon, is_expected=True), found
