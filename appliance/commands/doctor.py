"""The command `doctor`: checks everything that the device needs and prints how to fix each fault."""

from typing import Annotated

import typer

from appliance.doctor import DeviceProbe, examine, try_addresses, worst
from appliance.options import DEFAULT_STATE, AsJson, Credentials
from appliance.options import State as StateOption
from appliance.system.clock import SystemClock
from appliance.system.state_folder import StateFolder
from signals.text.console import emit


def register(app: typer.Typer) -> None:
    """Put the command of this file on `app`."""
    app.command()(doctor)


def doctor(
    state: StateOption = DEFAULT_STATE,
    credentials: Credentials = None,
    alert: Annotated[bool, typer.Option("--alert", help="Also send a message to every address that is notified of halts.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at everything that the device needs, and say how to fix what is wrong. Nothing is changed.

    Settings, disk, credentials, clock, network, calendar, bundle, data, ledger, latch, backups and daemon; with --alert
    also whether each address takes a message. Exit code: 0 all is well, 1 something is worth a look, 2 the device
    cannot work like this.
    """
    clock, folder = SystemClock(), StateFolder(state)
    credentials = folder.key_folder(credentials)
    found = examine(DeviceProbe(folder, credentials, clock.now(), clock.now))
    found += tuple(try_addresses(credentials, clock.now())) if alert else ()
    verdict = worst(found)
    rows = [{"check": f.check, "state": f.state.word, "says": f.says, "mend": f.fix} for f in found]
    emit({"verdict": verdict.word, "findings": rows}, as_json=as_json, text="\n".join(one.line for one in found))
    raise typer.Exit(int(verdict))
