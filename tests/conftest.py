"""Keeps what tests write in memory, what was imported for them out of the garbage collector's way, and chance out.

A device forces every commit to its disk: a suite waits longer for that than it computes. Hypothesis draws the same examples in
every run, however long each takes; `--hypothesis-profile=default` draws others.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

IN_MEMORY = Path("/dev/shm")
ROOM_GIGABYTES = 6
LONGEST = ("test_promotion_commands.py", "test_train_search.py", "test_recovery.py")

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


def pytest_configure() -> None:
    """Put temporary folders, of child processes too, in memory where that is large enough and TMPDIR names no other place."""
    if "TMPDIR" in os.environ or not os.access(IN_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(IN_MEMORY).free >= ROOM_GIGABYTES * 2**30:
        os.environ["TMPDIR"] = str(IN_MEMORY)
        tempfile.tempdir = None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: one that came last would keep one worker busy while the other has none."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """Let the collector look at what tests make, not at every module, test and fixture each time."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Give all of it back: extensions report what is still held at the end as leaked."""
    gc.unfreeze()
