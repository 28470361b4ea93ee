"""Creates run folders: whole or absent, never overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from signals.errors import FixInput
from signals.files import sync_folder, write_atomic


def refuse_existing(folder: Path) -> None:
    """Raise `FixInput` when `folder` exists: evidence is never overwritten."""
    if folder.exists():
        raise FixInput("the run folder exists", where=str(folder), fix="Name a new folder, or remove this one yourself")


def write_run(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` (relative path -> content) next to `folder` and rename them into place as one.

    Raises
    ------
    FixInput
        The folder exists.
    """
    refuse_existing(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.parent / f".{folder.name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    for name, content in sorted(files.items()):
        write_atomic(unfinished / name, content)
    unfinished.rename(folder)
    sync_folder(folder.parent)
