"""Retention: removes reproducible files from old runs that no published model refers to, and alerts beyond the newest.

Evidence, reports, models, settings and the registry are never removed, and nothing of a run that a lineage of today or a
champion depends on.
"""

import shutil
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

from signals.alerts.channels import LINES_KEPT
from signals.files import newest_lines, write_atomic
from trainer.promotion import history, lineage_log
from trainer.promotion.history import CHAMPIONS
from trainer.promotion.lineage_log import LINEAGES
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
