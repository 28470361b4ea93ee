"""Write interface for published datasets: a flat space of named objects, in a folder or an object store."""

from pathlib import Path, PurePosixPath
from typing import Protocol

from signals.errors import StoreUnreachable
from signals.files import sha256_of, write_atomic
from signals.storage.s3 import Objects


class ObjectStore(Protocol):
    """Named objects; names use forward slashes. Every call may raise `StoreUnreachable`."""

    def put(self, name: str, content: bytes) -> None:
        """Make `content` durable under `name`, whole or not at all."""

    def get(self, name: str) -> bytes | None:
        """Return the whole object, or None when there is none."""

    def holds(self, name: str, sha256: str, size: int) -> bool:
        """Whether the object is there with this content."""

    def names(self, prefix: str) -> tuple[str, ...]:
        """Names that begin with `prefix`, sorted; an object store's key must be one that may list."""

    def remove(self, name: str) -> None:
        """Let an object go; no error where there is none."""

    def replace(self, name: str, content: bytes, was: bytes | None) -> None:
        """As `put`, unless what is there is no longer `was` (None: nothing): then `StoreUnreachable`."""


class FolderObjectStore:
    """Objects as files under a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, content: bytes) -> None:
        """Write the object atomically."""
        try:
            write_atomic(self._path(name), content)
        except OSError as error:
            raise self._unreachable(name, error) from None

    def get(self, name: str) -> bytes | None:
        """Read the object."""
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreachable(name, error) from None

    def holds(self, name: str, sha256: str, size: int) -> bool:
        """Read and hash the object."""
        content = self.get(name)
        return content is not None and len(content) == size and sha256_of(content) == sha256

    def replace(self, name: str, content: bytes, was: bytes | None) -> None:
        """Write the object unless it has changed; between two programs on one folder the last one wins."""
        if self.get(name) != was:
            raise StoreUnreachable("somebody else published meanwhile", where=str(self._path(name)), fix="Publish again")
        self.put(name, content)

    def remove(self, name: str) -> None:
        """Remove the file, and its folder where that is empty then."""
        path = self._path(name)
        try:
            path.unlink(missing_ok=True)
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
        except OSError as error:
            raise self._unreachable(name, error) from None

    def names(self, prefix: str) -> tuple[str, ...]:
        """List the objects, half-written ones left out."""
        files = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file())
        return tuple(sorted(name for name in files if name.startswith(prefix) and not name.endswith(".tmp")))

    def _path(self, name: str) -> Path:
        return self.folder.joinpath(*PurePosixPath(name).parts)

    def _unreachable(self, name: str, error: OSError) -> StoreUnreachable:
        return StoreUnreachable(
            f"the store cannot be used ({error.strerror})", where=str(self._path(name)), fix="Check the folder and retry"
        )


class BucketStore:
    """Objects below a prefix of a bucket."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def put(self, name: str, content: bytes) -> None:
        """Write the object, with its SHA-256 next to it."""
        self._objects.put(name, content, sha256=sha256_of(content))

    def get(self, name: str) -> bytes | None:
        """Read the object."""
        return self._objects.get(name)

    def holds(self, name: str, sha256: str, size: int) -> bool:
        """Whether the object is there, by what was written next to it."""
        return self._objects.holds(name, sha256, size)

    def names(self, prefix: str) -> tuple[str, ...]:
        """List the objects."""
        return self._objects.names(prefix)

    def remove(self, name: str) -> None:
        """Remove the object."""
        self._objects.remove(name)

    def replace(self, name: str, content: bytes, was: bytes | None) -> None:
        """Write the object unless it is no longer `was`: the store itself compares, at the moment it writes."""
        found = self._objects.tagged(name)
        if (None if found is None else found[0]) != was:
            raise StoreUnreachable(
                "somebody else published meanwhile", where=f"{self._objects.place}/{name}", fix="Publish again: it starts from there"
            )
        tag = None if found is None else found[1]
        self._objects.put(name, content, sha256=sha256_of(content), instead_of=tag)
