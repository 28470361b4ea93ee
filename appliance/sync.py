"""Published things to this device: verified before they are used, gated by the device's clock, all or nothing.

Entry points: `pull_data`, `pull_bundle`.

What was transferred and verified when a pull breaks off stays in the scratch folder under its content's name, and the
next pull goes on from there; whatever else lies in it is thrown away.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from appliance.bundles import BundleStore
from appliance.market import Delivered, Market
from appliance.snapshot import Snapshot
from appliance.stores import Store
from appliance.transfer import PART, bring
from signals.actions import Action
from signals.bundle import BundleManifest, Policy
from signals.bundle.manifest import MANIFEST_NAME, SIGNATURE_NAME
from signals.bundle.seal import parse
from signals.errors import BadDataset, BundleRefused, StoreUnreachable
from signals.manifest import FileRecord, FileRole, Manifest

LATEST, KEYSET = "bundles/latest.json", "keyset.json"
MOST_FILES = 64
PUBLISH_AGAIN = "Publish the dataset again on the trainer"


@dataclass(frozen=True)
class DataPull:
    """What a pull did.

    Attributes
    ----------
    manifest_id : str
        SHA-256 of the dataset's manifest.
    version : int
    through : date
        Newest session taken over.
    files : int
        Files of bars and quoted spreads taken over.
    transferred : int
        Bytes that came over the line for it.
    changed_sessions : int
        Sessions written: new ones and restated ones.
    """

    manifest_id: str
    version: int
    through: date
    files: int = 0
    transferred: int = 0
    changed_sessions: int = 0


def is_current(market: Market, manifest: Manifest, through: date) -> bool:
    """Whether the market store already holds what `manifest` says up to `through`."""
    held = market.dataset()
    is_same = held is not None and held.manifest_id == manifest.snapshot_id and held.through >= through
    return is_same and not market.pending(manifest, through)


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
        As the store publishes it now.
    through : date
        The last session whose close the device's clock has passed; later rows are never stored.
    incoming : Path
        Scratch folder; empty after a pull that succeeded.
    at : datetime
        UTC.

    Raises
    ------
    BadDataset
        A file differs from what the manifest vouches for; the market store is as it was.
    StoreUnreachable
        The store could not be read, or answers with an older version than it did; the market store is as it was.
    """
    _require_successor(manifest, market.dataset())
    pending = set(market.pending(manifest, through))
    actions = manifest.of_role(FileRole.ACTIONS)
    bars = [record for record in manifest.files if record.path in pending]
    _keep_only(incoming, [record.path for record in (*bars, *actions)])
    came = sum(_bring(store, record, incoming) for record in (*bars, *actions))
    try:
        delivered = [_delivered(record, incoming) for record in bars]
        changed = market.ingest(manifest, delivered, _actions(incoming, manifest), through, at)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return DataPull(manifest.snapshot_id, manifest.version, through, len(delivered), came, changed)


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


def fetch_bundle(store: Store, folder: str, to: Path) -> bool:
    """Copy a bundle that is no longer the newest, by what its own manifest lists; False where there is none.

    Raises
    ------
    BundleRefused
        Its manifest cannot be read. Nothing else is checked here: whoever puts it in force verifies it.
    StoreUnreachable
        The store could not be read.
    """
    raw = store.find(f"bundles/{folder}/{MANIFEST_NAME}")
    if raw is None:
        return False
    listed = parse(raw, BundleManifest, f"{folder}/{MANIFEST_NAME}")
    for name in (MANIFEST_NAME, SIGNATURE_NAME, *(file.path for file in listed.files)):
        store.fetch(f"bundles/{folder}/{name}", to / name)
    return True


def _latest(content: bytes) -> tuple[str, tuple[str, ...]]:
    try:
        document = json.loads(content)
        folder, files = str(document["folder"]), tuple(str(name) for name in document["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleRefused(
            f"latest.json cannot be read ({error!r})", where=LATEST, mend="Publish the bundle again"
        ) from None
    if len(files) > MOST_FILES:
        raise BundleRefused(f"latest.json names {len(files)} files", where=folder, mend="Publish the bundle again")
    if any("/" in name or name in ("", ".", "..") for name in (folder, *files)):
        raise BundleRefused("latest.json names a path outside its bundle", where=folder)
    return folder, files


def _require_successor(manifest: Manifest, held: Snapshot | None) -> None:
    """Refuse to go back: a cache in front of a store may still answer with what was published before."""
    if held is not None and held.name == manifest.name and manifest.version < held.version:
        raise StoreUnreachable(
            f"the store answers with version {manifest.version} after it gave out version {held.version}",
            where=manifest.name, mend="pull tries again; if it stays so, publish the newest version again",
        )  # fmt: skip


def _keep_only(incoming: Path, wanted: list[str]) -> None:
    """Throw away what an earlier pull left there and this one does not want."""
    kept = {incoming / path for path in wanted} | {incoming / f"{path}{PART}" for path in wanted}
    for path in sorted(incoming.rglob("*"), reverse=True):
        if path.is_symlink() or path.is_file():
            if path not in kept:
                path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()


def _bring(store: Store, record: FileRecord, incoming: Path) -> int:
    return bring(store, record.path, incoming / record.path, sha256=record.sha256, size=record.size)


def _delivered(record: FileRecord, incoming: Path) -> Delivered:
    if record.first is None or record.last is None:
        raise BadDataset("a bars file without its range of sessions", where=record.path, mend=PUBLISH_AGAIN)
    return Delivered(record.path, record.sha256, incoming / record.path, record.first, record.last)


def _actions(incoming: Path, manifest: Manifest) -> tuple[Action, ...]:
    from signals.dataset import load_actions  # brings pyarrow, which the scoring job does without

    return load_actions(incoming, manifest)
