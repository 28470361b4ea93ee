"""`python -m appliance.tui`: the screens in a process of their own, without the jobs' libraries; wired here only."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from appliance.clock import SystemClock
from appliance.commands.options import DEFAULT_STATE, State
from appliance.commands.person import who
from appliance.control import SOCKET_NAME
from appliance.tui.app import ApplianceApp, Settings
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
) -> None:
    """Open the screens of a device: whether all is well, what is held, and why each order was sent.

    They read the ledger and change nothing. A halt, a re-arming or a cancellation is asked of the running daemon, after
    a typed word. Press ? for the keys.
    """
    if demo:
        from appliance.tui.demo import build  # brings in numpy, which the screens of a real device do without

        with tempfile.TemporaryDirectory(prefix="appliance-demo-") as folder:
            built = build(Path(folder), seed=seed)
            source = LedgerSource(built.folder, SystemClock())
            ApplianceApp(source, Settings(note=DEMO_NOTE, exports=exports)).run()
        return
    settings = Settings(socket=state / SOCKET_NAME, exports=exports, by=who())
    ApplianceApp(LedgerSource(state, SystemClock()), settings).run()


if __name__ == "__main__":
    run(app)
