"""The read interface to published data and bundles, and its implementation for a folder."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from signals.errors import InvariantBroken, StoreUnreachable
from signals.files import sha256_of, write_atomic

MANIFEST = "manifest.json"  # of the curated dataset, in its store
PIECE = 2**18


class PublishedStore(Protocol):
    """A read-only tree of named objects. Nothing that it delivers is believed before its hash is checked."""

    def read(self, name: str) -> bytes:
        """Return a small object whole; raise `StoreUnreachable` when it cannot be read."""

    def find(self, name: str) -> bytes | None:
        """Return a small object whole, or None when there is none; raises as `read` otherwise."""

    def pieces(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes from `start` on; raise `StoreUnreachable` where they break off."""

    def fetch(self, name: str, to: Path) -> str:
        """Copy an object to the file `to`, whole or not at all, and return the SHA-256 of what was written."""


class PublishedFolder:
    """A local or mounted folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes:
        """Return a small object whole."""
        path = self._path(name)
        try:
            return path.read_bytes()
        except OSError as error:
            raise self._unreachable(path, error) from None

    def find(self, name: str) -> bytes | None:
        """Return a small object whole, or None when there is none."""
        try:
            return self._path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreachable(self._path(name), error) from None

    def pieces(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes from `start` on."""
        path = self._path(name)
        try:
            with path.open("rb") as stream:
                stream.seek(start)
                while piece := stream.read(PIECE):
                    yield piece
        except OSError as error:
            raise self._unreachable(path, error) from None

    def fetch(self, name: str, to: Path) -> str:
        """Copy an object and hash the very bytes that were written."""
        content = self.read(name)
        write_atomic(to, content)
        return sha256_of(content)

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names of the files below `prefix`, sorted; a folder that may not be looked into is not an empty one."""
        base, found = self._path(prefix), list[Path]()
        try:
            if not base.is_dir():
                return ()
            for place, _, names in os.walk(base, onerror=_raise):
                found += [Path(place, name) for name in names]
        except OSError as error:
            raise self._unreachable(Path(error.filename or base), error) from None
        return tuple(sorted(path.relative_to(self._root).as_posix() for path in found))

    def _path(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise InvariantBroken("an object's name stays inside its store", where=name)
        return self._root / name

    def _unreachable(self, path: Path, error: OSError) -> StoreUnreachable:
        return StoreUnreachable(
            "the store could not be read",
            where=f"{path}: {error.strerror}",
            fix="Check the path in the device's config.yml, that it is mounted, and whose files these are",
        )


def _raise(error: OSError) -> None:
    raise error
