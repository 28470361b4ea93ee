"""One rehearsal on blank cards, from the command line to its verdict."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.nspawn.guest import REPOSITORY, blank_root
from tests.nspawn.rehearsal import Broken, lacking


class Judged(Protocol):
    """What is rehearsed: its steps, what they saw, and its machines."""

    seen: dict[str, str]

    def run(self) -> None:
        """Every step; `Broken` where a rule does not hold."""

    def remove(self) -> None:
        """Switch every machine off."""


def judge(description: str, name: str, build: Callable[[Path, Path], Judged]) -> int:
    """Build a rehearsal from its scratch folder and the blank root, run it, and print what was seen; an exit code."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "var/nspawn", help="where the blank root is kept")
    parser.add_argument("--keep", action="store_true", help="keep the cards and the controller's folder")
    asked = parser.parse_args()
    missing = lacking()
    if missing:
        print(missing)
        return 2
    began = time.monotonic()
    blank = blank_root(asked.cache.resolve())
    scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=asked.cache.resolve()))
    scratch.chmod(0o755)
    rehearsed = build(scratch, blank)
    broken = ""
    try:
        rehearsed.run()
    except (Broken, subprocess.TimeoutExpired) as error:
        broken = str(error)
    finally:
        rehearsed.remove()
        if not asked.keep:
            shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join(f"{what:30s} {value}" for what, value in rehearsed.seen.items()))
    print(f"{broken}\n0 passed, 1 failed" if broken else f"{time.monotonic() - began:.0f} s\n1 passed, 0 failed")
    return 1 if broken else 0
