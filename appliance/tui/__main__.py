"""`python -m appliance.tui`: the screens in a process of their own, without the jobs' libraries; wired here only."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from appliance.clock import SystemClock
from appliance.control import SOCKET_NAME
from appliance.options import DEFAULT_STATE, State
from appliance.person import who
from appliance.tui.app import ApplianceApp, Settings
from appliance.tui.invented import InventedSource
from appliance.tui.source import LedgerSource
from signals.console import run

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
DEMO_NOTE = "DEMO: an invented device; nothing here is real and nothing is sent"


@app.command()
def tui(
    state: State = DEFAULT_STATE,
    demo: Annotated[
        bool, typer.Option("--demo", help="Show an invented device: no settings, network or keys.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the invented device.")] = 7,
    exports: Annotated[Path, typer.Option("--exports", help="Folder that exported tables go to.")] = Path(),
    serve: Annotated[
        bool, typer.Option("--serve", help="Show them read-only in a browser on this machine, not here.")
    ] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65_535, help="Of --serve, on 127.0.0.1.")] = 8_000,
) -> None:
    """Open the screens of a device: whether all is well, what is held, and why each order was sent.

    They read the ledger and change nothing. A halt, a re-arming or a cancellation is asked of the running daemon, after
    a typed word, and never from a browser. Press ? for the keys.
    """
    with tempfile.TemporaryDirectory(prefix="appliance-demo-", ignore_cleanup_errors=True) as folder:
        clock = SystemClock()
        source = InventedSource(Path(folder), seed, clock) if demo else LedgerSource(state, clock)
        settings = Settings(
            exports=exports, by=who(), note=DEMO_NOTE if demo else "", is_remote=serve,
            socket=None if demo or serve else state / SOCKET_NAME,
        )  # fmt: skip
        screens = ApplianceApp(source, settings)
        if not serve:
            screens.run()
            return
        from appliance.tui import serving  # a web server, which a terminal does without

        typer.echo(f"http://{serving.HOST}:{port}/ shows the screens, read-only; Ctrl+C ends it")
        serving.serve(screens, port)


if __name__ == "__main__":
    run(app)
