"""Pulls published data, key sets and bundles: verified before use, and put in force completely or not at all.

Entry points: `pull_keyset` (always first), `pull_data`, `pull_bundle`.

What was transferred and verified when a pull breaks off stays in the scratch folder under its content's name, and the
next pull goes on from there; whatever else is in it is deleted.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from appliance.bundles.store import BundleStore
from appliance.market.store import BarsFile, MarketStore
from appliance.storage.download import PART, bring
from appliance.storage.published_store import PublishedStore
from signals.bundle import Policy, Role, read_bundle_manifest
from signals.bundle.layout import TRADED, find_latest, latest_of, places_of
from signals.bundle.manifest import MANIFEST_NAME
from signals.errors import BadDataset, BundleRefused, StoreUnreachable
from signals.market.actions import Action
from signals.market.manifest import FileRecord, FileRole, Manifest

KEYSET = "keyset.json"
PUBLISH_AGAIN = "Publish the dataset again on the trainer"


@dataclass(frozen=True)
class DataPull:
    """The outcome of a pull.

    Attributes
    ----------
    manifest_id : str
        SHA-256 of the dataset's manifest.
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


def is_current(market: MarketStore, manifest: Manifest, through: date) -> bool:
    """Whether the market store already holds what `manifest` says up to `through`."""
    held = market.dataset()
    is_same = held is not None and held.manifest_id == manifest.snapshot_id and held.through >= through
    return is_same and not market.pending(manifest, through)


def pull_data(store: PublishedStore, market: MarketStore, manifest: Manifest, through: date, incoming: Path, at: datetime) -> DataPull:
    """Bring the market store up to the session `through`.

    Parameters
    ----------
    store : PublishedStore
        A published dataset.
    manifest : Manifest
        As the store publishes it now: signed, and no older than what was taken over before.
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
        The store could not be read; the market store is as it was.
    """
    pending = set(market.pending(manifest, through))
    actions = manifest.of_role(FileRole.ACTIONS)
    bars = [record for record in manifest.files if record.path in pending]
    _keep_only(incoming, [record.path for record in (*bars, *actions)])
    came = sum(bring(store, one.path, incoming / one.path, sha256=one.sha256, size=one.size) for one in (*bars, *actions))
    try:
        delivered = [_delivered(record, incoming) for record in bars]
        changed = market.ingest(manifest, delivered, _actions(incoming, manifest), through, at)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return DataPull(manifest.snapshot_id, manifest.version, through, len(delivered), came, changed)


@dataclass(frozen=True)
class BundlePull:
    """The outcome of pulling the newest published bundle.

    Attributes
    ----------
    in_force : str
        `<seq>-<bundle id>` of the bundle in force now; empty when there is none.
    refusal : str
        Why the published one was refused; empty when it was not.
    """

    in_force: str
    is_new: bool
    refusal: str = ""


def pull_bundle(
    store: PublishedStore,
    bundles: BundleStore,
    policy: Policy,
    incoming: Path,
    *,
    sleeves: Sequence[str],
    roles: Sequence[Role] = TRADED,
    former: bool = True,
) -> BundlePull:
    """Put the newest published bundle in force, if it passes every check; otherwise the old one stays.

    The bundle in force is verified again where it stays: under the key set that `pull_keyset` has just brought, its
    signers may count no more. It then stays where it is, refused, and nothing is scored or planned with it.

    A store that names no champion any more, or that of a release of before in which an evaluation took the champion's
    place, does not turn a device with a champion into one with an unproven bundle.

    Parameters
    ----------
    incoming : Path
        Scratch folder; emptied before and after.
    roles : sequence of Role
        In the order in which they are looked for: the first that is published is the one.
    former : bool
        Whether the layout of releases before is looked at.

    Raises
    ------
    BundleRefused
        The published bundle was refused and none is in force.
    StoreUnreachable
        The store could not be read, or nothing is published.
    """
    current = bundles.current()
    shutil.rmtree(incoming, ignore_errors=True)
    try:
        latest = find_latest(store.find, sleeves, roles, former=former)
        if latest is None:
            raise StoreUnreachable("no bundle is published", where=", ".join(sleeves), fix="Run `trainer publish`")
        if current is not None and current.folder == latest.folder and current.grant is None:
            bundles.load(policy)
            return BundlePull(latest.folder, is_new=False)
        for name in latest.files:
            store.fetch(latest.path(name), incoming / latest.folder / name)
        _require_no_lesser(incoming / latest.folder, bundles, roles)
        done = bundles.activate(incoming / latest.folder, policy)
        return BundlePull(f"{done.bundle.manifest.seq}-{done.bundle.manifest.bundle_id}", done.is_new)
    except BundleRefused as error:
        if current is None:
            raise
        return BundlePull(current.folder, is_new=False, refusal=str(error))
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _require_no_lesser(fetched: Path, bundles: BundleStore, roles: Sequence[Role]) -> None:
    """Refuse a role that comes later in `roles` than that of the bundle in force."""
    role, path = bundles.role(), fetched / MANIFEST_NAME
    if role not in roles or not path.exists():
        return
    offered = read_bundle_manifest(path.read_bytes(), MANIFEST_NAME).role
    if offered in roles[roles.index(role) + 1 :]:
        raise BundleRefused(
            f"a {role} is in force, and the store offers an {offered} in its place",
            where=fetched.name,
            fix=f"Publish a {role}, or set `stores.prefer: {offered}` in the device's config.yml",
        )


def pull_keyset(store: PublishedStore, bundles: BundleStore) -> str:
    """Bring the newest key set, before anything that it judges; return why the published one was refused, if it was.

    A refused one leaves the kept one in force.

    Raises
    ------
    BundleRefused
        It is refused and none is kept.
    StoreUnreachable
        The store could not be read.
    """
    try:
        bundles.install_keyset(store.read(KEYSET))
    except BundleRefused as error:
        bundles.keyset()
        return str(error)
    return ""


def fetch_bundle(store: PublishedStore, folder: str, to: Path, *, sleeves: Sequence[str]) -> bool:
    """Copy a bundle that is no longer the newest, by what its own manifest lists; False where there is none.

    Raises
    ------
    BundleRefused
        Its manifest cannot be read. Nothing else is checked here: whoever puts it in force verifies it.
    StoreUnreachable
        The store could not be read.
    """
    for place in (place for sleeve in sleeves for place in places_of(sleeve)):
        raw = store.find(f"{place}/{folder}/{MANIFEST_NAME}")
        if raw is None:
            continue
        listed = latest_of(read_bundle_manifest(raw, f"{folder}/{MANIFEST_NAME}"), place)
        for name in listed.files:
            store.fetch(f"{place}/{folder}/{name}", to / name)
        return True
    return False


def _keep_only(incoming: Path, wanted: list[str]) -> None:
    """Throw away what an earlier pull left there and this one does not want."""
    kept = {incoming / path for path in wanted} | {incoming / f"{path}{PART}" for path in wanted}
    for path in sorted(incoming.rglob("*"), reverse=True):
        if path.is_symlink() or path.is_file():
            if path not in kept:
                path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()


def _delivered(record: FileRecord, incoming: Path) -> BarsFile:
    if record.first is None or record.last is None:
        raise BadDataset("a bars file without its range of sessions", where=record.path, fix=PUBLISH_AGAIN)
    return BarsFile(record.path, record.sha256, incoming / record.path, record.first, record.last)


def _actions(incoming: Path, manifest: Manifest) -> tuple[Action, ...]:
    from signals.market.dataset import load_actions  # brings pyarrow, which the scoring job does without

    return load_actions(incoming, manifest)
