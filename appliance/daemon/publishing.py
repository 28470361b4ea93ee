"""What others see of the daemon: `health.json` and `metrics.prom`, each written whole, in a folder that may be memory.

`health.json` of the state folder is a link where the runtime folder is another one: a card is not worn by a file that
is written every minute, and readers find it where they always do.
"""

from __future__ import annotations

import json
import os
import resource
from datetime import datetime
from pathlib import Path
from typing import Any

from appliance.controls.latch import Latch
from appliance.daemon.briefing import Briefing
from appliance.ledger import Ledger
from appliance.schedule.timetable import table_of
from appliance.status.upkeep import concerns_of, count_addresses
from appliance.status.vitals import DaemonFacts, Vitals, metrics, vitals
from appliance.system.durable_files import DurableFs
from appliance.system.state_folder import StateFolder
from signals.files import write_atomic

HEALTH, METRICS = "health.json", "metrics.prom"
READABLE = 0o640  # a metrics collector is another user of the unit's group; what is held is nobody else's business


def publish(runtime: Path, folder: StateFolder, found: Vitals, process: dict[str, Any], at: datetime) -> None:
    """Write both files, for their owner and the process's group alone.

    Raises
    ------
    OSError
        The disk does not take them; the earlier ones stay.
    """
    facts = {**found.facts(), "process": process, "at": at.isoformat()}
    runtime.mkdir(parents=True, exist_ok=True)
    write_atomic(runtime / HEALTH, json.dumps(facts, default=str, sort_keys=True, indent=1).encode(), mode=READABLE)
    write_atomic(runtime / METRICS, metrics(facts, at).encode(), mode=READABLE)
    _link(folder.health, runtime / HEALTH)


def process_facts(started_at: datetime, working_on: str, credentials: Path | None) -> dict[str, Any]:
    """What only the daemon itself knows."""
    return {
        "pid": os.getpid(),
        "started_at": started_at.timestamp(),
        "working_on": working_on,
        "alert_addresses": count_addresses(credentials),
        "resident_bytes": resident_bytes(),
    }


def own_facts(waits_for: tuple[str, ...], tries_again: tuple[str, ...], at: datetime) -> DaemonFacts:
    """What the daemon says of itself while it writes: what it waits for, and which jobs ended without an end."""
    said = {"waits_for": list(waits_for), "tries_again": list(tries_again)}
    return DaemonFacts(runs=True, is_expected=True, at=at, said=said)


def own_vitals(
    ledger: Ledger, folder: StateFolder, at: datetime, said: DaemonFacts, brief: Briefing | None, now: datetime, credentials: Path | None
) -> Vitals:
    """Return the device's facts at `at` of the machine and `now` of the venue, which the briefing tells of."""
    if brief is None:
        return vitals(ledger, folder, at, said)
    latch, table = Latch(folder.root, DurableFs()).read(), table_of(brief.entering)
    told = count_addresses(credentials)
    return vitals(ledger, folder, at, said, concerns_of(ledger, folder.bundles, latch, now, told, brief.calendar, table))


def resident_bytes() -> int:
    """Memory that this process holds now."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


def _link(link: Path, target: Path) -> None:
    if link == target or (link.is_symlink() and link.readlink() == target):
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
