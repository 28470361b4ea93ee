"""Keeps what tests write in memory: a device forces every commit to its disk, and a suite waits longer for that than it computes."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

IN_MEMORY = Path("/dev/shm")
ROOM_GIGABYTES = 6


def pytest_configure() -> None:
    """Put temporary folders, of child processes too, in memory where that is large enough and TMPDIR names no other place."""
    if "TMPDIR" in os.environ or not os.access(IN_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(IN_MEMORY).free >= ROOM_GIGABYTES * 2**30:
        os.environ["TMPDIR"] = str(IN_MEMORY)
        tempfile.tempdir = None
