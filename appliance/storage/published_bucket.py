"""Published data and bundles in an object store (S3), read with a read-only key."""

from collections.abc import Iterator
from pathlib import Path

from appliance.storage.download import fetched
from signals.errors import StoreUnreachable
from signals.storage.s3 import Objects


class PublishedBucket:
    """A prefix of a bucket."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def read(self, name: str) -> bytes:
        """Return a small object whole."""
        content = self._objects.get(name)
        if content is None:
            raise StoreUnreachable(
                "the store does not hold it", where=f"{self._objects.place}/{name}", fix="Publish, or check stores in config.yml"
            )
        return content

    def find(self, name: str) -> bytes | None:
        """Return a small object whole, or None where there is none or the key may not see whether there is."""
        return self._objects.get(name, refused_is_absent=True)

    def pieces(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Yield an object's bytes from `start` on."""
        return self._objects.pieces(name, start)

    def fetch(self, name: str, to: Path) -> str:
        """Copy an object, going on where an answer broke off, and return the SHA-256 of what was written."""
        return fetched(self, name, to)
