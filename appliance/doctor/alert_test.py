"""Sends a test message to every alert address and reports which of them accept it."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from appliance.alerts.reminders import MORE
from appliance.doctor.finding import Finding, bad, fault, ok, warn
from appliance.system.ports import Alert, Severity
from signals.alerts.addresses import channels_of
from signals.alerts.alert import ADDRESSES
from signals.errors import BadConfig

CHECK = "alert"


def try_addresses(credentials: Path | None, at: datetime) -> Iterator[Finding]:
    """Send one message to each address, as loud as a halt's: what sleeps through this one sleeps through a halt.

    Parameters
    ----------
    credentials : Path or None
        Folder with the file `alert-urls`. Its lines are counted, never shown.
    at : datetime
        UTC.
    """
    fix = f"Write two that do not depend on each other to the credential {ADDRESSES}, one a line"
    try:
        addresses = channels_of(credentials, MORE)
    except (BadConfig, OSError) as error:
        yield fault(CHECK, error, fix)
        return
    if not addresses:
        yield bad(CHECK, "there is no address: nobody would hear of a halt", fix)
        return
    message = Alert(Severity.PAGE, "test", "TEST: nothing is wrong, somebody tries the alerts", "", at)
    took = [address.notify(message) for address in addresses]
    for number, was_taken in enumerate(took, start=1):
        name = f"address {number} of {len(took)}"
        if was_taken:
            yield ok(CHECK, f"{name} took the message; see that it arrived")
            continue
        wrong, look = (warn if any(took) else bad, f"Look at line {number} of {ADDRESSES}, then at cable and router")
        yield wrong(CHECK, f"{name} did not take the message", look)
