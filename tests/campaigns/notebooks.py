"""Executes every notebook of docs/notebooks in a kernel of its own, in an empty folder, and says how long each took.

python -m tests.campaigns.notebooks [NAME ...]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
SECONDS = 900  # of one cell, on a busy machine


def execute(path: Path) -> None:
    """Run one notebook from its first cell to its last; raise what a cell raised."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    with TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()


def main() -> None:
    """Run those named, or all."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not sys.argv[1:] or any(name in path.name for name in sys.argv[1:]):
            begun = time.monotonic()
            execute(path)
            sys.stdout.write(f"{path.name}: every cell ran, {time.monotonic() - begun:.0f} s\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
