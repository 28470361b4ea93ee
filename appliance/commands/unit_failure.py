"""The command `tell-unit`: notifies a person that a systemd unit of this device failed."""

from datetime import datetime
from typing import Annotated

import typer

from appliance.ledger import AccessMode, Ledger, alerts
from appliance.options import DEFAULT_STATE, AsJson, Credentials, State
from appliance.runtime.device import channels
from appliance.system.clock import SystemClock
from appliance.system.ports import Alert, Severity
from appliance.system.state_folder import StateFolder
from signals.errors import LedgerUnusable, Locked
from signals.text.console import emit

NOBODY = 5
MESSAGES = {
    "appliance": (Severity.PAGE, "the daemon was started in vain, and is no longer"),
    "appliance-backup": (Severity.WARN, "no backup could be taken"),
    "appliance-serve": (Severity.INFO, "the API and its page are not served; trading goes on"),
    "appliance-settle": (Severity.PAGE, "an interrupted update could not be gone back from"),
    "appliance-settled": (Severity.WARN, "an interrupted update was gone back from"),
    "appliance-time": (Severity.WARN, "the clock is not synchronised"),
}
UNKNOWN = (Severity.WARN, "it has failed")

Unit = Annotated[str, typer.Option("--unit", help="Its name, without `.service`.", show_default=False)]
Result = Annotated[str, typer.Option("--result", envvar="MONITOR_SERVICE_RESULT", help="As systemd says it.", show_default=False)]
Status = Annotated[str, typer.Option("--status", envvar="MONITOR_EXIT_STATUS", help="As systemd says it.", show_default=False)]
Invocation = Annotated[str, typer.Option("--invocation", envvar="MONITOR_INVOCATION_ID", help="Of that run.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Put the command of this file on `app`."""
    app.command("tell-unit")(tell_unit)


def tell_unit(
    unit: Unit,
    result: Result = "",
    status: Status = "",
    invocation: Invocation = "",
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Notify a person how a systemd unit of this device ended; systemd runs it. Each failure is one message, never suppressed.

    What no channel took stays among the alerts: `status` is degraded, and the daemon sends it again. Exit code 0: notified;
    5: nobody was reached.
    """
    alert, folder = message_of(unit, result, status, invocation, SystemClock().now()), StateFolder(state)
    delivered = channels(folder, credentials).notify(alert)
    recorded = _record(folder, alert, delivered=delivered)
    emit(
        {"title": alert.title, "delivered": delivered, "recorded": recorded},
        as_json=as_json,
        text=f"{alert.title}: {'notified' if delivered else 'nobody was reached'}",
    )
    raise typer.Exit(0 if delivered else NOBODY)


def message_of(unit: str, result: str, status: str, invocation: str, at: datetime) -> Alert:
    """Return the message; its key is that of one run of the unit, so that no failure hides behind the one before."""
    severity, words = MESSAGES.get(unit, UNKNOWN)
    ended = " ".join(part for part in (result, status) if part) or "no more is known"
    return Alert(
        severity,
        f"unit-{unit}-{invocation[:12] or 'by-hand'}",
        f"{unit}: {words}",
        f"systemd says: {ended}. journalctl -u 'appliance*' -n 50 -o cat",
        at,
    )


def _record(folder: StateFolder, alert: Alert, *, delivered: bool) -> bool:
    """Keep it in the ledger, if there is one that takes it: its damage may be what this is about."""
    if not folder.ledger.exists():
        return False
    try:
        with Ledger(folder.ledger, AccessMode.WRITE) as ledger:
            alerts.add(ledger, alert, delivered=delivered)
    except (LedgerUnusable, Locked):
        return False
    return True
