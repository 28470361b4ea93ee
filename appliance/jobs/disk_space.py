"""Disk space before every job: below one limit caches are deleted, below another the device halts.

| free | what happens |
|---|---|
| under `warn_free_disk` (10 %) | caches go, and all bundles but the one in force and the newest; a person is notified |
| still under `halt_free_disk` (3 %) | HALT by DISK: a device that cannot write its journal must not trade |

The ledger, the latch, reports and backups are never touched, and neither is the market store: it could be fetched
again, but not in time to trade.
"""

from datetime import date

from appliance.context import Deps
from appliance.jobs.prune import sweep
from appliance.safety.halt import halt, notify
from appliance.system.ports import Severity

BUNDLES_KEPT_IN_NEED = 1
DISK, MEASURE = "DISK", "free_disk"


def free_disk_space(deps: Deps, session: date | None) -> None:
    """Look at the disk that holds the state folder and do what it needs.

    A disk that cannot be measured is left to the tripwires, which count it as tripped.
    """
    limits = deps.config.tripwires
    before = deps.machine.read(deps.state).free_disk
    if not isinstance(before, float) or before >= limits.warn_free_disk:
        return
    swept = sweep(deps, BUNDLES_KEPT_IN_NEED)
    after = deps.machine.read(deps.state).free_disk
    words = f"{swept.size / 2**20:.1f} MB of caches were removed; {_share(after)} of the disk is free"
    is_full = not isinstance(after, float) or after < limits.halt_free_disk
    if is_full and deps.latch.read().is_armed:
        halt(deps, session, DISK, f"{words}, {limits.halt_free_disk:.0%} must be", measure=MEASURE)
        return
    notify(deps, Severity.WARN, "disk-low", "the disk is filling", f"{words}. Free space, or replace it with a larger one.")


def _share(free: object) -> str:
    return f"{free:.0%}" if isinstance(free, float) else "an unknown share"
