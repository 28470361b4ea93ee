"""Plant each bug in a copy of the tree and run the test that has to catch it; exits 1 when one survives.

Run it with `make mutants`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.mutation.planted import BUGS

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("signals", "portfolio", "execution", "appliance", "trainer", "configs", "tests", "pyproject.toml")
PASSED, FAILED = 0, 1  # pytest's exit statuses; any other means that the test did not run


def outcome(tree: Path, tests: Iterable[str]) -> int:
    """Return pytest's exit status for `tests` in `tree`."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False).returncode


def main() -> int:
    """Print one line a bug and return the exit status."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for part in COPIED:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, tree / part)
        if outcome(tree, sorted({bug.caught_by for bug in BUGS})) != PASSED:
            print("without a bug the tests do not pass")
            return 1
        survivors = 0
        for bug in BUGS:
            path = tree / bug.file
            sound = path.read_text(encoding="utf-8")
            path.write_text(sound.replace(bug.old, bug.new), encoding="utf-8")
            ended = outcome(tree, [bug.caught_by])
            path.write_text(sound, encoding="utf-8")
            survivors += ended != FAILED
            word = {FAILED: "caught", PASSED: "SURVIVED"}.get(ended, "NOT RUN")
            print(f"{word:8}  {bug.name:40}  {bug.caught_by}", flush=True)
        print(f"{len(BUGS) - survivors} of {len(BUGS)} caught")
    return int(survivors > 0)


if __name__ == "__main__":
    raise SystemExit(main())
