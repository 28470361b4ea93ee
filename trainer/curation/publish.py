"""Publishing a dataset: a verified copy whose manifest arrives last.

Invariants
----------
1. Nothing is copied that the manifest does not vouch for; every object is read back and hashed.
2. A reader of the store sees the version before, or this one whole: `manifest.json` is the last write.
3. A store never goes back: a newer version, or another dataset under the same name, is refused, and the manifest is
   written only in the place of the very one that was read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from signals.dataset import read_file, read_manifest
from signals.errors import BadDataset, StoreUnreachable
from signals.manifest import FileRole, Manifest
from trainer.curation.store import Store

CURRENT = "manifest.json"


@dataclass(frozen=True)
class Published:
    """What a publication did."""

    manifest: Manifest
    copied: int
    present: int


def publish_data(
    folder: Path, store: Store, *, with_raw: bool = False, on_file: Callable[[int, int], None] = lambda done, of: None
) -> Published:
    """Copy the current version of the dataset in `folder` to `store`.

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
    store.replace(CURRENT, manifest.to_bytes(), held)
    return Published(manifest, copied, len(records) - copied)


def _check_succession(manifest: Manifest, held: bytes | None) -> None:
    if held is None:
        return
    theirs = Manifest.from_bytes(held, where=f"the store's {CURRENT}")
    if theirs.name != manifest.name:
        raise BadDataset(
            f"the store holds the dataset {theirs.name!r}, not {manifest.name!r}", mend="Publish to another folder"
        )
    is_same_version = theirs.version == manifest.version and theirs.snapshot_id != manifest.snapshot_id
    if theirs.version > manifest.version or is_same_version:
        raise BadDataset(
            f"the store holds version {theirs.version} of other content",
            where=f"this dataset is at {manifest.version}",
            mend="Publish from the folder that made it, or to a new one",
        )  # fmt: skip


def _put(store: Store, name: str, content: bytes) -> None:
    store.put(name, content)
    if store.get(name) != content:
        raise StoreUnreachable("the store gave back something else than it was given", where=name, mend="Publish again")
