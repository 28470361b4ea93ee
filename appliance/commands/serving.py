"""The commands `serve` and `outlook`: the device's API and page, and what its bundle expects of rows in a file."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from appliance.options import DEFAULT_STATE, AsJson, State
from appliance.system.clock import SystemClock
from appliance.system.state_folder import StateFolder
from signals.code_version import release
from signals.serving.options import Certificate, Key, Listen, Names, Port, Rows, To
from signals.text.console import emit

Sleeve = Annotated[str, typer.Option(help="The traded sleeve whose bundle scores; the first one by default.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    app.command()(serve)
    app.command()(outlook)


def serve(
    listen: Listen = "127.0.0.1",
    port: Port = 8780,
    name: Names = None,
    certificate: Certificate = None,
    key: Key = None,
    token: Annotated[
        Path | None, typer.Option(help="File of the token; made where it is missing.", show_default="in the state folder")
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="Serve an invented device: no settings, network or keys.")] = False,
    sleeve: Sleeve = "",
    state: State = DEFAULT_STATE,
) -> None:
    """Serve a read-only API and a page for a browser: overview, equity, blotter, signals, symbols, scores of posted rows.

    Every request needs the token of the file, as `Authorization: Bearer TOKEN`; the page asks for it once. The first line
    of output is the page's address. `/openapi.json` describes the API, `docs/serving.md` what reaches it from elsewhere.
    """
    from appliance.serving.api import operations, page
    from appliance.serving.model import DeviceModel
    from appliance.tui.ledger_source import LedgerSource
    from signals.serving.application import Api
    from signals.serving.gate import token_in
    from signals.serving.scores import operations as scoring
    from signals.serving.server import TOKEN_FILE, Address, serve

    at = Address(listen, port, tuple(name or ()), certificate, key)
    clock = SystemClock()
    with ExitStack() as open_until_the_end:
        if demo:
            from appliance.tui.demo.source import DemoSource

            folder = Path(open_until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="appliance-demo-")))
            served, file = operations(DemoSource(folder, 7, clock)), token or folder / TOKEN_FILE
        else:
            StateFolder(state).require()
            served, file = (
                (*operations(LedgerSource(state, clock)), *scoring(DeviceModel(state, clock, sleeve))),
                token or state / TOKEN_FILE,
            )
        serve(Api("trademl appliance", release(), served, token_in(file), page(), at.hosts), at, file)


def outlook(rows: Rows, to: To = None, sleeve: Sleeve = "", state: State = DEFAULT_STATE, as_json: AsJson = False) -> None:
    """Say what the bundle in force expects of the rows or bars of a file: the same bytes as `serve` answers."""
    from appliance.serving.model import DeviceModel
    from signals.serving.scores import score_file, shown

    found = score_file(DeviceModel(state, SystemClock(), sleeve), rows, to)
    emit(found.result, as_json=as_json, text=shown(found))
