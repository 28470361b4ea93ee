"""Publishes a dataset: a verified, signed copy whose manifest is written last.

Invariants
----------
1. Nothing is copied that the manifest does not vouch for; every object is read back and hashed.
2. A reader of the store sees the version before, or this one whole: `manifest.json` is the last write.
3. A store never goes back: where data keys signed a newer version, or another dataset under the same name, this one is
   refused. What nobody signed, or a revoked key, holds nobody up: anyone who can write to the store could have put it.
4. The manifest is written only in the place of the very one that was read; its signature is there before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signals.bundle import Keyset
from signals.bundle.keyset import open_dataset, seal_dataset, signature_name
from signals.errors import BadDataset, StoreUnreachable
from signals.files import sha256_of
from signals.market.dataset import read_file, read_manifest
from signals.market.manifest import FileRole, Manifest
from trainer.curation.store import ObjectStore
from trainer.publishing.keys import data_keys, load_keyset

CURRENT = "manifest.json"


@dataclass(frozen=True)
class Signer:
    """Who signs: the data keys at hand, the key set that names them, and the day."""

    keyset: Keyset
    keys: tuple[Ed25519PrivateKey, ...]
    today: date

    @classmethod
    def of(cls, folder: Path, today: date) -> Signer:
        """Read a folder of `trainer keys`; raise `FixInput` where its data keys cannot sign."""
        keyset = load_keyset(folder)
        return cls(keyset, data_keys(folder, keyset, today), today)

    def has_signed(self, store: ObjectStore, manifest: bytes) -> bool:
        """Whether the store holds a signature of these bytes that counts today."""
        try:
            open_dataset(manifest, store.get(signature_name(manifest)), self.keyset, self.today, "the store")
        except BadDataset:
            return False
        return True


@dataclass(frozen=True)
class Published:
    """Result of a publication."""

    manifest: Manifest
    copied: int
    present: int


def publish_data(
    folder: Path, store: ObjectStore, signer: Signer, *, with_raw: bool = False, on_file: Callable[[int, int], None] = lambda done, of: None
) -> Published:
    """Sign the current version of the dataset in `folder` and copy it to `store`.

    Parameters
    ----------
    with_raw : bool
        Copy the vendors' own files too; readers of bars do not need them.
    on_file : callable
        Told (files done, files in all) after each file.

    Raises
    ------
    BadDataset
        A file differs from what the manifest vouches for, or the store holds what this would set back.
    StoreUnreachable
        The store could not be read or written, gave back something else than it was given, or was published to by
        somebody else meanwhile.
    """
    manifest = read_manifest(folder)
    held = store.get(CURRENT)
    if held is not None and signer.has_signed(store, held):
        _check_succession(manifest, held)
    records = [record for record in manifest.files if with_raw or record.role is not FileRole.RAW]
    copied = 0
    for done, record in enumerate(records, start=1):
        content = read_file(folder, record)
        if not store.holds(record.path, record.sha256, record.size):
            _put(store, record.path, content)
            copied += 1
        on_file(done, len(records))
    _put(store, f"manifests/{manifest.version}.json", manifest.to_bytes())
    _put(store, signature_name(manifest.to_bytes()), seal_dataset(manifest.to_bytes(), signer.keys))
    store.replace(CURRENT, manifest.to_bytes(), held)
    return Published(manifest, copied, len(records) - copied)


def sign_in_place(store: ObjectStore, signer: Signer) -> Manifest:
    """Sign the dataset that is in `store`, as it is, after every file was read and hashed; return its manifest.

    Raises
    ------
    BadDataset
        There is none, or a file differs from what its manifest vouches for; nothing was signed.
    StoreUnreachable
        The store could not be read or written.
    """
    content = store.get(CURRENT)
    if content is None:
        raise BadDataset("the store holds no dataset", where=CURRENT, fix="Publish one: `trainer publish-data`")
    manifest = Manifest.from_bytes(content, where=f"the store's {CURRENT}")
    for record in manifest.files:
        if record.role is FileRole.RAW:
            continue
        found = store.get(record.path)
        if found is None or len(found) != record.size or sha256_of(found) != record.sha256:
            raise BadDataset(
                "the file is not what the manifest vouches for", where=record.path, fix="Publish the dataset again: `trainer publish-data`"
            )
    _put(store, signature_name(content), seal_dataset(content, signer.keys))
    return manifest


def _check_succession(manifest: Manifest, held: bytes) -> None:
    theirs = Manifest.from_bytes(held, where=f"the store's {CURRENT}")
    if theirs.name != manifest.name:
        raise BadDataset(f"the store holds the dataset {theirs.name!r}, not {manifest.name!r}", fix="Publish to another folder")
    is_same_version = theirs.version == manifest.version and theirs.snapshot_id != manifest.snapshot_id
    if theirs.version > manifest.version or is_same_version:
        raise BadDataset(
            f"the store holds version {theirs.version} of other content",
            where=f"this dataset is at {manifest.version}",
            fix="Publish from the folder that made it, or to a new one",
        )


def _put(store: ObjectStore, name: str, content: bytes) -> None:
    store.put(name, content)
    if store.get(name) != content:
        raise StoreUnreachable("the store gave back something else than it was given", where=name, fix="Publish again")
