"""Free space of a disk."""

import shutil
from pathlib import Path


def free_share(folder: Path) -> float | None:
    """Return the free share of the disk that holds `folder`; None where it cannot be measured."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.free / usage.total if usage.total else None
