"""Where published data and bundles come from: a folder now, an object store behind the same two calls."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Protocol

from signals.errors import InvariantBroken, StoreUnreachable
from signals.files import sha256_of, write_atomic


class Store(Protocol):
    """A read-only tree of named objects. Nothing that it delivers is believed before its hash is checked."""

    def read(self, name: str) -> bytes:
        """Return a small object whole; raise `StoreUnreachable` when it cannot be read."""

    def fetch(self, name: str, to: Path) -> str:
        """Copy an object to the file `to` and return the SHA-256 of what was written."""

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of the objects below `prefix`, sorted; empty when there is none."""


class FolderStore:
    """A local or mounted folder.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes:
        """Return a small object whole."""
        path = self._path(name)
        try:
            return path.read_bytes()
        except OSError as error:
            raise self._unreachable(path, error) from None

    def fetch(self, name: str, to: Path) -> str:
        """Copy an object and hash the very bytes that were written."""
        content = self.read(name)
        write_atomic(to, content)
        return sha256_of(content)

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of the files below `prefix`, sorted."""
        base = self._path(prefix)
        if not base.is_dir():
            return ()
        return tuple(sorted(p.relative_to(self._root).as_posix() for p in base.rglob("*") if p.is_file()))

    def _path(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise InvariantBroken("an object's name stays inside its store", where=name)
        return self._root / name

    def _unreachable(self, path: Path, error: OSError) -> StoreUnreachable:
        return StoreUnreachable(
            "the store could not be read", where=f"{path}: {error.strerror}",
            mend="Check the path in the device's config.yml and that it is mounted",
        )  # fmt: skip
