"""Which program this device runs: the package's version and a hash over the sources that are run."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("signals", "portfolio", "execution", "appliance")
SOURCES = (".py", ".sql")


def release() -> str:
    """Return the package's version: what a bundle's `min_appliance_version` is compared with."""
    return version("trademl")


def code_version() -> str:
    """Return `<version>+<12 hex digits>`, the same on every device that runs the same sources."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted(p for p in (ROOT / package).rglob("*") if p.suffix in SOURCES):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{release()}+{digest.hexdigest()[:12]}"
