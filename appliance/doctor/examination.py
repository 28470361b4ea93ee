"""The table of checks, in the order in which a person mends things: what the later ones need is looked at first."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from appliance.doctor import around, inside
from appliance.doctor.finding import Finding, State, fault, warn
from appliance.doctor.patient import Patient
from signals.errors import Locked, TrademlError

Check = Callable[[Patient], Iterable[Finding]]

MEND_SETTINGS = "Correct config.yml of the state folder or run `appliance init --state DIR --venue VENUE --store STORE`"
CHECKS: dict[str, tuple[Check, str]] = {
    "config": (around.config, MEND_SETTINGS),
    "disk": (around.disk, "Put the state folder on a disk that answers"),
    "credentials": (around.credentials, "Give the folder with the key files with --credentials"),
    "clock": (around.clock, "Start chrony and give it a time server"),
    "network": (around.network, "Look at the cable, the router and the firewall's list of what may leave"),
    "calendar": (around.calendar, "Publish the dataset: its manifest carries the calendar"),
    "bundle": (inside.bundle, "Publish a bundle, then run `appliance pull --session D`"),
    "data": (inside.data, "Publish the dataset, then run `appliance pull --session D`"),
    "ledger": (inside.ledger, "Stop the device and run `appliance restore`"),
    "latch": (inside.latch, "Run `appliance status`"),
    "backup": (inside.backup, "Write a folder on another disk to backup.to in config.yml"),
    "daemon": (inside.daemon, "Run `systemctl start appliance`"),
}


def examine(patient: Patient) -> tuple[Finding, ...]:
    """Run every check; what a check cannot look at is a finding too. Checks that need settings wait for good ones."""
    found: list[Finding] = []
    for name, (check, fix) in CHECKS.items():
        if name != "config" and found[0].state is State.BAD:
            break
        try:
            found += check(patient)
        except Locked as error:
            found.append(warn(name, f"could not be looked at: {error.what}", "Ask again when the job has ended"))
        except (TrademlError, OSError) as error:
            found.append(fault(name, error, fix))
    return tuple(found)
