"""Published things to this device: verified before they are used, gated by the device's clock, all or nothing.

Entry points: `published` (the dataset's manifest), `pull_data`, `pull_bundle`.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from appliance.bundles import BundleStore
from appliance.market import Delivered, Market
from appliance.stores import Store
from signals.actions import Action
from signals.bundle import Policy
from signals.errors import BadDataset, BundleRefused
from signals.manifest import FileRecord, FileRole, Manifest

LATEST, KEYSET = "bundles/latest.json", "keyset.json"
PUBLISH_AGAIN = "Publish the dataset again on the trainer"


@dataclass(frozen=True)
class DataPull:
    """What a pull did.

    Attributes
    ----------
    snapshot_id : str
    version : int
    through : date
        Newest session taken over.
    files : int
        Files transferred.
    changed_sessions : int
        Sessions written: new ones and restated ones.
    """

    snapshot_id: str
    version: int
    through: date
    files: int
    changed_sessions: int


def published(store: Store) -> Manifest:
    """Return the manifest that the store publishes now."""
    return Manifest.from_bytes(store.read("manifest.json"), where="manifest.json of the data store")


def pull_data(
    store: Store, market: Market, manifest: Manifest, through: date, incoming: Path, at: datetime
) -> DataPull:
    """Bring the market store up to the session `through`.

    Parameters
    ----------
    store : Store
        A published dataset.
    market : Market
    manifest : Manifest
        As `published` answered.
    through : date
        The last session whose close the device's clock has passed; later rows are never stored.
    incoming : Path
        Scratch folder; emptied before and after.
    at : datetime
        UTC.

    Raises
    ------
    BadDataset
        A file differs from what the manifest vouches for; the market store is as it was.
    StoreUnreachable
        The store could not be read; the market store is as it was.
    """
    shutil.rmtree(incoming, ignore_errors=True)
    wanted = set(market.pending(manifest, through))
    try:
        delivered = [_fetch(store, record, incoming) for record in manifest.files if record.path in wanted]
        actions = _actions(store, manifest, incoming)
        changed = market.ingest(manifest, delivered, actions, through, at)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return DataPull(manifest.snapshot_id, manifest.version, through, len(delivered), changed)


@dataclass(frozen=True)
class BundlePull:
    """What became of the newest published bundle.

    Attributes
    ----------
    in_force : str
        `<seq>-<bundle id>` of the bundle in force now; empty when there is none.
    is_new : bool
    refusal : str
        Why the published one was refused; empty when it was not.
    """

    in_force: str
    is_new: bool
    refusal: str = ""


def pull_bundle(store: Store, bundles: BundleStore, policy: Policy, incoming: Path, *, prefix: str = "") -> BundlePull:
    """Put the newest published bundle in force, if it passes every check; otherwise the old one stays.

    Parameters
    ----------
    store : Store
    bundles : BundleStore
    policy : Policy
    incoming : Path
        Scratch folder; emptied before and after.
    prefix : str
        Below which the bundles are published, ending in a slash; the key set is the store's own.

    Raises
    ------
    BundleRefused
        The published bundle was refused and none is in force.
    StoreUnreachable
        The store could not be read.
    """
    standing = bundles.current()
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        folder, files = _latest(store.read(prefix + LATEST))
        if standing is not None and standing.folder == folder and standing.grant is None:
            return BundlePull(folder, is_new=False)
        bundles.install_keyset(store.read(KEYSET))
        for name in files:
            store.fetch(f"{prefix}bundles/{folder}/{name}", incoming / folder / name)
        done = bundles.activate(incoming / folder, policy)
        return BundlePull(f"{done.bundle.manifest.seq}-{done.bundle.manifest.bundle_id}", done.is_new)
    except BundleRefused as error:
        if standing is None:
            raise
        return BundlePull(standing.folder, is_new=False, refusal=str(error))
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _latest(content: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        document = json.loads(content)
        folder, files = str(document["folder"]), tuple(str(name) for name in document["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleRefused(
            f"latest.json cannot be read ({error!r})", where=LATEST, mend="Publish the bundle again"
        ) from None
    if any("/" in name or name in ("", ".", "..") for name in (folder, *files)):
        raise BundleRefused("latest.json names a path outside its bundle", where=folder)
    return folder, files


def _fetch(store: Store, record: FileRecord, incoming: Path) -> Delivered:
    path = incoming / record.path
    if store.fetch(record.path, path) != record.sha256 or path.stat().st_size != record.size:
        raise BadDataset("the file is not what the manifest vouches for", where=record.path, mend=PUBLISH_AGAIN)
    if record.first is None or record.last is None:
        raise BadDataset("a bars file without its range of sessions", where=record.path, mend=PUBLISH_AGAIN)
    return Delivered(record.path, record.sha256, path, record.first, record.last)


def _actions(store: Store, manifest: Manifest, incoming: Path) -> tuple[Action, ...]:
    from signals.dataset import load_actions  # brings pyarrow, which the scoring job does without

    for record in manifest.of_role(FileRole.ACTIONS):
        if store.fetch(record.path, incoming / record.path) != record.sha256:
            raise BadDataset("the file is not what the manifest vouches for", where=record.path, mend=PUBLISH_AGAIN)
    return load_actions(incoming, manifest)
