"""Retention: removes reproducible files of old runs that no published model refers to, superseded bundles and old alerts.

Evidence, reports, models, settings and the registry are never removed, and nothing of a run that a lineage of today or a
champion depends on.
"""

import shutil
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from signals.alerts.alert import LINES_KEPT
from signals.bundle.layout import FOLDER_NAME, places_of, pointer, read_latest
from signals.bundle.manifest import MANIFEST_NAME
from signals.files import newest_lines, sha256_of, write_atomic
from trainer.curation.store import ObjectStore
from trainer.promotion import history, lineage_log
from trainer.promotion.history import CHAMPIONS
from trainer.promotion.lineage_log import LINEAGES, LineageEvent
from trainer.runs.evidence import EVIDENCE

MADE_AGAIN = ("oof.parquet", "walk_forward.parquet", "model.pkl")
UNFINISHED = ".*.unfinished"


def cited(registry: Path) -> set[str]:
    """Return the names of the runs that a lineage with a role of today, or a promotion, depends on."""
    records = history.read(registry / LINEAGES).records
    names = {str(record["run"]) for record in history.read(registry / CHAMPIONS).records}
    for own in {str(record["lineage"]) for record in records}:
        found = lineage_log.lineage(registry, own)
        if lineage_log.role_of(registry, found) is not None:
            names |= {str(found.root["run"]), str(found.head["run"])}
    return names


def shorten(alerts: Path) -> None:
    """Keep the newest lines of the file of alerts: what ran, and how it ended, is in the record."""
    kept = newest_lines(alerts.read_bytes(), LINES_KEPT) if alerts.is_file() else None
    if kept is not None:
        write_atomic(alerts, kept)


def thin(runs: Path, kept: int, keep: Collection[str], at: datetime) -> int:
    """Remove it from all but the newest `kept` runs and those named; return the bytes that came free.

    A run that is being written is left alone: only what nobody has touched for a day by the instant `at` is unfinished for good.
    """
    folders = sorted((path.parent for path in runs.glob(f"[!.]*/{EVIDENCE}")), key=lambda path: path.name)
    freed = 0
    for folder in folders[:-kept]:
        for name in MADE_AGAIN if folder.name not in keep else ():
            file = folder / name
            if file.exists():
                freed += file.stat().st_size
                file.unlink()
    for left in runs.glob(UNFINISHED):
        if datetime.fromtimestamp(left.stat().st_mtime, UTC) > at - timedelta(days=1):
            continue
        freed += sum(file.stat().st_size for file in left.rglob("*") if file.is_file())
        shutil.rmtree(left, ignore_errors=True)
    return freed


def superseded(registry: Path) -> dict[str, set[str]]:
    """Return, by sleeve, the bundles of retrainings after which their lineage published a newer one in the same role.

    An accepted model's own bundle is none of them, and neither is the newest one of a lineage: a rollback returns to these.
    """
    found: dict[str, set[str]] = {}
    newest: dict[tuple[str, str], str] = {}
    for record in history.read(registry / LINEAGES).records:
        if record["event"] == LineageEvent.PUBLISHED:
            own = (str(record["lineage"]), str(record["role"]))
            if own in newest:
                found.setdefault(str(record["sleeve"]), set()).add(newest.pop(own))
            if int(record["of"]):
                newest[own] = str(record["bundle_sha256"])
    return found


def thin_store(store: ObjectStore, registry: Path, kept: int) -> tuple[str, ...]:
    """Remove superseded bundles but the newest `kept` of each place, and none that a pointer names; return their folders."""
    removed = []
    for sleeve, old in superseded(registry).items():
        for place in places_of(sleeve):
            head = store.get(pointer(place))
            named = None if head is None else read_latest(head, place).folder
            files: dict[str, list[str]] = {}
            for name in store.names(f"{place}/"):
                folder = name.removeprefix(f"{place}/").partition("/")[0]
                if FOLDER_NAME.fullmatch(folder) and folder != named:
                    files.setdefault(folder, []).append(name)
            for folder in sorted(files, key=lambda folder: int(folder.partition("-")[0]))[:-kept]:
                manifest = f"{place}/{folder}/{MANIFEST_NAME}"
                if sha256_of(store.get(manifest) or b"") in old:
                    for name in sorted(files[folder], key=lambda name: name == manifest):  # the manifest last: then it goes on
                        store.remove(name)
                    removed.append(f"{place}/{folder}")
    return tuple(removed)
