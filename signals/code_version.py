"""The code version recorded in artefacts: the package version and a hash over the source files."""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = ("signals", "portfolio", "execution")
SOURCES = (".py", ".sql")


def release() -> str:
    """Return the package's version: what a bundle's `min_appliance_version` is compared with."""
    return version("trademl")


def code_version(host: str) -> str:
    """Return `<version>+<12 hex digits>` over the shared packages and one host's, the same on every machine.

    Parameters
    ----------
    host : str
        The package on top: `appliance` or `trainer`.
    """
    return f"{release()}+{digest_of((*SHARED, host))[:12]}"


def digest_of(packages: Sequence[str], root: Path = ROOT) -> str:
    """Return the SHA-256 over path and content of every source of `packages` below `root`, in order of path."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted(p for p in (root / package).rglob("*") if p.suffix in SOURCES):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
