"""Which program made an artefact: the package's version and a hash over the sources that were run."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("signals", "portfolio", "execution", "trainer")


def code_version() -> str:
    """Return `<version>+<12 hex digits>`, the same on every machine that holds the same sources."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{version('trademl')}+{digest.hexdigest()[:12]}"
