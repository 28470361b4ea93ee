"""Published data to this device: verified by hash, gated by the device's clock, all or nothing.

Entry points: `published` (the dataset's manifest), `pull_data`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from appliance.market import Delivered, Market
from appliance.stores import Store
from signals.actions import Action
from signals.errors import BadDataset
from signals.manifest import FileRecord, FileRole, Manifest

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
