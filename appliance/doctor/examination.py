"""The table of health checks, ordered by dependency: later checks need the earlier ones; and the test of every alert address."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from appliance.alerts.reminders import MORE
from appliance.doctor import host_checks, state_checks
from appliance.doctor.finding import Finding, FindingState, bad, fault, ok, warn
from appliance.doctor.probe import DeviceProbe
from appliance.system.ports import Alert, Severity
from signals.alerts.addresses import channels_of
from signals.alerts.alert import ADDRESSES
from signals.errors import BadConfig, Locked, TrademlError

Check = Callable[[DeviceProbe], Iterable[Finding]]

MEND_SETTINGS = "Correct config.yml of the state folder or run `appliance init --state DIR --venue VENUE --store STORE`"
CHECKS: dict[str, tuple[Check, str]] = {
    "config": (host_checks.config, MEND_SETTINGS),
    "disk": (host_checks.disk, "Put the state folder on a disk that answers"),
    "credentials": (host_checks.credentials, "Give the folder with the key files with --credentials"),
    "clock": (host_checks.clock, "Start chrony and give it a time server"),
    "network": (host_checks.network, "Look at the cable, the router and the firewall's list of what may leave"),
    "calendar": (host_checks.calendar, "Publish the dataset: its manifest carries the calendar"),
    "bundle": (state_checks.bundle, "Publish a bundle, then run `appliance pull --session D`"),
    "data": (state_checks.data, "Publish the dataset, then run `appliance pull --session D`"),
    "ledger": (state_checks.ledger, "Stop the device and run `appliance restore`"),
    "latch": (state_checks.latch, "Run `appliance status`"),
    "backup": (state_checks.backup, "Write a folder on another disk to backup.to in config.yml"),
    "daemon": (state_checks.daemon, "Run `systemctl start appliance`"),
}


def examine(patient: DeviceProbe) -> tuple[Finding, ...]:
    """Run every check; what a check cannot look at is a finding too. Checks that need settings wait for good ones."""
    found: list[Finding] = []
    for name, (check, fix) in CHECKS.items():
        if name != "config" and found[0].state is FindingState.BAD:
            break
        try:
            found += check(patient)
        except Locked as error:
            found.append(warn(name, f"could not be looked at: {error.what}", "Ask again when the job has ended"))
        except (TrademlError, OSError) as error:
            found.append(fault(name, error, fix))
    return tuple(found)


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
