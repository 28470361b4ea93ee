"""Job after the close: deletes what can be fetched again and expired files, never the ledger or a report.

| what | kept |
|---|---|
| downloads that were not verified (`incoming/`) | nothing: every pull begins with an empty folder |
| what a backup that was cut off left (`copies/`) | nothing |
| bundles, those of a slot too | the one in force and the newest `BUNDLES_KEPT`; a rollback fetches its bundle again |
| what the model read (`features/`) | those of the newest `EVENINGS_KEPT` evenings: a year of traces |
| vendor records (`completed/`) | of the newest `EVENINGS_KEPT` sessions, and those that these depend on |
| `alerts.jsonl`, a copy of rows of the ledger | the last `LINES_KEPT` lines once it is longer than twice that |

Before every job the same makes room: below one limit caches are deleted, below another the device halts.

| free | what happens |
|---|---|
| under `warn_free_disk` (10 %) | caches go, and all bundles but the one in force and the newest; a person is notified |
| still under `halt_free_disk` (3 %) | HALT by DISK: a device that cannot write its journal must not trade |

The ledger, the latch, reports and backups are never touched, and neither is the market store: it could be fetched
again, but not in time to trade.
"""

import json
import re
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from appliance.context import Deps
from appliance.market.snapshot import parts_of
from appliance.market.vendor_record import is_snapshot
from appliance.safety.halt import halt, warn
from appliance.schedule.job import JobReport, JobStatus
from signals.alerts.alert import LINES_KEPT
from signals.errors import FixInput
from signals.files import newest_lines

BUNDLES_KEPT = 5
EVENINGS_KEPT = 260
ISO_DATE = len("YYYY-MM-DD")
BUNDLE = re.compile(r"(\d+)-\S+")
CURRENT_FILE = "current.json"


@dataclass(frozen=True)
class Removed:
    """The removed files.

    Attributes
    ----------
    lines : int
        Of old alerts.
    size : int
        Bytes of downloads, copies and bundles.
    """

    bundles: tuple[str, ...]
    lines: int
    size: int


def prune(session: date, deps: Deps) -> JobReport:
    """Remove it, and say how much."""
    swept = sweep(deps, BUNDLES_KEPT)
    count, freed = len(swept.bundles), swept.size / 2**20
    summary = f"{count} old bundles and {swept.lines} lines of old alerts removed, {freed:.1f} MB freed"
    figures = {"bundles": list(swept.bundles), "lines": swept.lines, "bytes": swept.size}
    return JobReport("prune", session, JobStatus.DONE, summary, figures)


def sweep(deps: Deps, bundles_kept: int) -> Removed:
    """Remove caches and old copies, and nothing else, whatever of it there is."""
    names = deps.folder
    caches = (names.incoming, names.copies, names.bundles, names.features, names.completed)
    before = sum(map(_size, caches))
    for cache in caches[:2]:
        shutil.rmtree(cache, ignore_errors=True)
    slots = [slot for sleeve in _folders(deps.folder.bundles) for slot in (sleeve, *_folders(sleeve))]
    stores = (deps.folder.bundles, *slots)
    removed = [name for store in stores for name in _old_bundles(store, bundles_kept)]
    _forget_evenings(deps)
    return Removed(tuple(removed), _shorten(deps), before - sum(map(_size, caches)))


def _old_bundles(store: Path, kept: int) -> list[str]:
    """Remove the bundles of one store that are neither in force nor among the newest; return their names."""
    try:
        in_force = str(json.loads((store / CURRENT_FILE).read_bytes())["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return []  # nothing is in force, or that cannot be read: nothing is old
    found = [(int(match[1]), path) for path in _folders(store) if (match := BUNDLE.fullmatch(path.name))]
    old = [path for _, path in sorted(found)[:-kept] if path.name != in_force]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in old]


def _forget_evenings(deps: Deps) -> None:
    folder = deps.folder.features
    files = sorted(folder.glob("*.json"))
    evenings = sorted({path.name[:ISO_DATE] for path in files})[-EVENINGS_KEPT:]
    for path in files:
        if path.name[:ISO_DATE] not in evenings:
            deps.fs.remove(path)
    records = sorted(deps.folder.completed.glob("*.json"))
    days = sorted({path.name[:ISO_DATE] for path in records})[-EVENINGS_KEPT:]
    kept = [path for path in records if path.name[:ISO_DATE] >= days[0]]
    needed = min((_first_needed(path, deps) for path in kept), default="")
    for path in records:
        if path not in kept and (is_snapshot(path) or path.name[:ISO_DATE] < needed):
            deps.fs.remove(path)


def _first_needed(path: Path, deps: Deps) -> str:
    """First session whose record an evening that is kept needs."""
    day = path.name[:ISO_DATE]
    content = deps.fs.read(path) if is_snapshot(path) else None
    try:
        return str(parts_of(content)[1][0].session) if content is not None else day
    except (FixInput, IndexError):  # nothing can be said of it any more
        return day


def _shorten(deps: Deps) -> int:
    content = deps.fs.read(deps.folder.alerts) or b""
    kept = newest_lines(content, LINES_KEPT)
    if kept is None:
        return 0
    deps.fs.write(deps.folder.alerts, kept)
    return len(content.splitlines()) - LINES_KEPT


def _folders(store: Path) -> list[Path]:
    return sorted(path for path in store.iterdir() if path.is_dir()) if store.is_dir() else []


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


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
    warn(deps, "disk-low", "the disk is filling", f"{words}. Free space, or replace it with a larger one.")


def _share(free: object) -> str:
    return f"{free:.0%}" if isinstance(free, float) else "an unknown share"
