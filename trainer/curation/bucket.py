"""Writes a published dataset to an object store."""

from signals.errors import StoreUnreachable
from signals.files import sha256_of
from signals.storage.s3 import Objects


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

    def replace(self, name: str, content: bytes, was: bytes | None) -> None:
        """Write the object unless it is no longer `was`: the store itself compares, at the moment it writes."""
        found = self._objects.tagged(name)
        if (None if found is None else found[0]) != was:
            raise StoreUnreachable(
                "somebody else published meanwhile", where=f"{self._objects.place}/{name}", fix="Publish again: it starts from there"
            )
        tag = None if found is None else found[1]
        self._objects.put(name, content, sha256=sha256_of(content), instead_of=tag)
