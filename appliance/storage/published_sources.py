"""Opens the configured stores of published data and bundles, and caches the dataset's manifest.

Only a pull needs the store. Every other job reads the manifest that the last pull, or `init`, verified and left in the
state folder: a store that is down stops no order and no report, no other process loads a client, and nobody who can
write to the store moves the calendar in between.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

from appliance.config import StoresConfig
from appliance.storage.download import fetched
from appliance.storage.published_store import MANIFEST, PublishedFolder, PublishedStore
from appliance.system.state_folder import StateFolder
from signals.bundle import Keyset
from signals.bundle.keyset import open_dataset, signature_name
from signals.errors import BadConfig, StoreUnreachable
from signals.files import write_atomic
from signals.market.manifest import Manifest
from signals.storage.places import Place, is_s3
from signals.storage.s3 import Objects, read_keys


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


def unverified_manifest(store: PublishedStore) -> Manifest:
    """Return the manifest that the store publishes now, signed or not: to be shown, never to be taken over."""
    return Manifest.from_bytes(store.read(MANIFEST), where=f"{MANIFEST} of the data store")


def verified_manifest(store: PublishedStore, keyset: Keyset, today: date, place: str) -> Manifest:
    """Return the manifest that the store publishes now, signed by data keys that count on the session `today`.

    Raises
    ------
    BadDataset
        Unsigned, signed by others, or no manifest.
    StoreUnreachable
        The store could not be read.
    """
    content = store.read(MANIFEST)
    return open_dataset(content, store.find(signature_name(content)), keyset, today, place)


@dataclass(frozen=True)
class PublishedSources:
    """The stores of one device.

    Attributes
    ----------
    credentials : Path or None
        Folder with the key files of an object store.
    """

    config: StoresConfig
    credentials: Path | None = None

    def data(self) -> PublishedStore:
        """Open the store of the curated dataset; raise `BadConfig` where its key pair is missing."""
        return self._open(self.config.data)

    def bundles(self) -> PublishedStore:
        """Open the store of published bundles; raise `BadConfig` where its key pair is missing."""
        return self._open(self.config.bundles)

    def manifest(self, folder: StateFolder) -> Manifest:
        """Return the dataset's manifest that the device uses; see the module's first lines.

        Raises
        ------
        StoreUnreachable
            Nothing was ever pulled and the store cannot be read.
        BadDataset
            It is no manifest.
        """
        if folder.manifest.is_file():
            return Manifest.from_bytes(folder.manifest.read_bytes(), where=str(folder.manifest))
        return unverified_manifest(self.data())

    def remember(self, manifest: Manifest, folder: StateFolder) -> None:
        """Keep the manifest that was pulled."""
        write_atomic(folder.manifest, manifest.to_bytes())

    def require_folder(self) -> Path:
        """Return the dataset's folder; raise `BadConfig` for an object store, `StoreUnreachable` without it."""
        if is_s3(self.config.data):
            raise BadConfig(
                "a hosted exchange reads its market from a folder",
                where=f"stores.data: {self.config.data}",
                fix="Name a folder, or serve the exchange with `paper-exchange serve` and give --url",
            )
        folder = Path(self.config.data)
        if not folder.is_dir():
            raise StoreUnreachable(
                "the store could not be read", where=str(folder), fix="Check stores.data in the device's config.yml, and that it is mounted"
            )
        return folder

    def _open(self, place: str) -> PublishedStore:
        if not is_s3(place):
            return PublishedFolder(Path(place))

        return PublishedBucket(self._objects.at(Place.parse(place)))

    @cached_property
    def _objects(self) -> Objects:
        """One client for both places: to make one takes longer than what it then asks."""
        first = next(place for place in (self.config.data, self.config.bundles) if is_s3(place))
        return Objects.opened(Place.parse(first), self.config.s3, read_keys(self.credentials))
