"""`trainer run | runs`: the unattended training host, and the log of its runs."""

from __future__ import annotations

import sys
import time
from datetime import date
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from signals.errors import FixInput
from signals.text.console import emit
from signals.text.wording import clean
from trainer.clock import WallClock, now
from trainer.commands.defaults import ENVIRONMENT, workspace_of
from trainer.commands.options import EXECUTION, REFUSED_EXIT, VAR, AsJson, Credentials, Registry, dated, registered

if TYPE_CHECKING:
    from trainer.service.host import Host

RETRY_SECONDS, LOOK_SECONDS, POLL_SECONDS = 600.0, 30.0, 1.0
MORE = "`trainer runs` says more."


def run(
    context: typer.Context,
    row: Annotated[str, typer.Option(help="Run this row of the timetable now and end, whatever its cadence.", show_default=False)] = "",
    session: Annotated[date | None, dated("With --row: D, the session after the data.", show_default="the next one")] = None,
    credentials: Credentials = None,
    once: Annotated[bool, typer.Option("--once", help="Do what is due now and end, as a timer would.")] = False,
) -> None:
    """Be the training host: build and publish the dataset every night, retrain every week, watch what is published.

    Works on the workspace, by its service.yml; the timetable is `trainer run`'s own and follows the exchange's sessions. A row
    runs in a process of its own, one at a time; nobody becomes champion by it. With --row the exit status is 1 where the row failed.

    Example: trainer run
    Example: trainer run --row retrain
    """
    from trainer.runs.run_folder import exclusive
    from trainer.service import service
    from trainer.service.timetable import ROWS, RowStatus

    host = _host(context, credentials)
    if not row:
        _serve(host, once=once)
        return
    if row not in ROWS:
        raise FixInput(f"no row {row!r}", where="--row", fix=f"Choose one of: {', '.join(ROWS)}")
    calendar = service.calendar_at(now())
    with exclusive(host.registry / "service" / "row", "row of `trainer run`"):  # the timetable's own are tried again
        end = service.perform(row, session or calendar.next(calendar.last_closed(now())), host, now)
    typer.echo(clean(f"{row} {end.status}: {end.summary}{f'. {end.fix}' if end.fix else ''}"))
    if end.status is RowStatus.FAILED:
        raise typer.Exit(REFUSED_EXIT)


def runs(
    registry: Registry = VAR,
    last: Annotated[int, typer.Option(min=1, help="How many, counted from the newest.")] = 20,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed or were missed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what `trainer run` ran, oldest first, and what to do about what failed.

    Example: trainer runs --failed
    """
    from trainer.service.timetable import GOOD, RunLog

    found = [one for one in RunLog(registry).records() if not failed or one["status"] not in GOOD][-last:]
    lines = []
    for one in found:
        lines.append(f"{one['session']}  {one['row']:<9}  {one['status']:<7}  {clean(one['summary'])}")
        lines += [f"            what to do: {clean(one['fix'])}"] * bool(one["fix"] and one["status"] not in GOOD)
    rows = [{key: value for key, value in one.items() if key != "previous"} for one in found]
    emit({"runs": rows}, as_json=as_json, text="\n".join(lines) or "`trainer run` has run nothing yet.")


def _host(context: typer.Context, credentials: Path | None) -> Host:
    from signals.alerts.addresses import channels_of
    from signals.alerts.alert import Channels, FileNotifier, LogNotifier
    from signals.code_version import code_version
    from trainer.service.host import ALERTS, Host
    from trainer.service.settings import Source, SourceKind, folder_source, no_source, read_settings, vendor_source

    found = workspace_of(context)
    if found.file is None:
        raise FixInput("there is no workspace here", where=str(Path.cwd()), fix="`trainer init`, or set TRADEML_HOME")
    settings = read_settings(found.file.parent)
    settings = settings.model_copy(update={"credentials": settings.credentials or credentials})
    source: Source = no_source
    if settings.source.kind is SourceKind.FOLDER:
        if settings.source.path is None:
            raise FixInput("a source of kind folder has no path", where="service.yml", fix="Add source.path")
        source = folder_source(settings.source.path)
    elif settings.source.kind is SourceKind.ALPACA:
        from trainer.curation.vendors.alpaca import AlpacaVendor, read_keys

        keys = read_keys(settings.credentials)
        source = vendor_source(AlpacaVendor(settings.source.url, keys, WallClock(), feed=settings.source.feed))
    registry = Path(found.require("registry", "registry"))
    channels = Channels([LogNotifier("trainer.alerts"), FileNotifier(registry / ALERTS)], channels_of(settings.credentials, MORE))
    return Host(found, settings, source, channels, code_version("trainer"), environment=context.meta.get(ENVIRONMENT, {}))


def _serve(host: Host, *, once: bool) -> None:
    """Look at the hour of every row until stopped; with `once` look once."""
    from signals.schedule.wake_ups import WakeUps
    from trainer.runs.run_folder import exclusive
    from trainer.service import service

    stop = Event()
    waits: dict[tuple[str, date], float] = {}

    def start(row: str, session: date) -> bool:
        if time.monotonic() < waits.get((row, session), 0.0):
            return False
        if not _in_child(host, row, session, stop):
            waits[(row, session)] = time.monotonic() + RETRY_SECONDS
        return (row, session) not in waits

    with exclusive(host.registry / "service", "trainer run"):
        if once:
            service.look(host, now, start)
            return
        wake_ups = WakeUps(LOOK_SECONDS)

        def look() -> None:
            service.look(host, now, start)
            wake_ups.replace(service.ahead(host, now()))

        wake_ups.start(look)
        try:
            _until_stopped(stop)
        finally:
            wake_ups.stop()


def _until_stopped(stop: Event) -> None:
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    typer.echo("the training host runs; `trainer runs` says what it did", err=True)
    while not stop.wait(POLL_SECONDS):
        pass


def _in_child(host: Host, row: str, session: date, stop: Event) -> bool:
    """Run a row in a process of its own; return whether it ended, however it did. What is stopped begins again later."""
    from signals.schedule.child_process import TRY_AGAIN, ChildProcess, ProcessLimits
    from trainer.service import service
    from trainer.service.timetable import RowEnd, RowStatus

    [limits] = [ProcessLimits(one.seconds, one.megabytes) for one in host.table if one.job == row]
    home = {"TRADEML_HOME": str(host.workspace.file.parent)} if host.workspace.file else {}
    began = now()
    command = (sys.executable, "-m", "trainer", "run", "--row", row, "--session", str(session))
    child = ChildProcess(command, limits, {**host.environment, **home}, time.monotonic())
    while (ended := child.poll(time.monotonic())) is None:
        if stop.is_set():
            child.interrupt(time.monotonic())
        time.sleep(POLL_SECONDS)
    if stop.is_set():
        return False
    if (session, row) in host.log.ended():
        return True
    if ended.code == TRY_AGAIN:
        return False
    fix = f"Look at the journal, then `trainer run --row {row}`"
    service.record(row, session, RowEnd(RowStatus.FAILED, ended.words, fix), host, began, now())
    return True


register = registered({EXECUTION: (run, runs)})
