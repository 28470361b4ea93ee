"""The high-water mark of datasets: the newest version that this device has accepted; older ones are refused.

It is stored in `state/bundles/dataset.json` and not in the market store, which is a cache. A version never goes back, and a
dataset of another name never takes its place, except by a grant that the offline root signed.
"""

from datetime import date
from pathlib import Path

from pydantic import Field

from appliance.market.snapshot import DataSnapshot
from appliance.system.ports import Fs
from signals.bundle import DataGrant
from signals.bundle.seal import Document, parse
from signals.errors import BadDataset, BundleRefused, StoreUnreachable
from signals.market.manifest import Manifest

MARK_FILE = "dataset.json"
GRANT = "or have `trainer grant-data` signed and run `appliance rollback-data`"


class DatasetHighWater(Document):
    """The content of the file.

    Attributes
    ----------
    name : str
        Of the dataset.
    version : int
        Newest one taken over, or the oldest one that a grant allows.
    snapshot_id : str or None
        What that version was; None after a grant, until something is taken over.
    withdrawn : tuple of str
        Snapshots that a grant went back from; they are never taken over again.
    """

    name: str
    version: int = Field(ge=1)
    snapshot_id: str | None = None
    withdrawn: tuple[str, ...] = ()


class DatasetMark:
    """The mark of one device.

    Parameters
    ----------
    folder : Path
        `state/bundles`.
    """

    def __init__(self, folder: Path, fs: Fs) -> None:
        self._path, self._fs = folder / MARK_FILE, fs

    def read(self) -> DatasetHighWater | None:
        """Return it; None before the first pull."""
        content = self._fs.read(self._path)
        return None if content is None else parse(content, DatasetHighWater, MARK_FILE)

    def require_successor(self, manifest: Manifest, held: DataSnapshot | None) -> None:
        """Refuse to go back; `held`, what the market store holds, counts on a device that has no mark yet.

        Raises
        ------
        StoreUnreachable
            An older version: a cache in front of a store may still answer with it.
        BadDataset
            Another dataset, other content under the same version, or one that was withdrawn.
        """
        mark = self.read()
        if mark is None and held is not None:
            mark = DatasetHighWater(name=held.name, version=held.version)
        if mark is None:
            return
        if manifest.name != mark.name:
            raise BadDataset(
                f"the store holds the dataset {manifest.name!r}; this device follows {mark.name!r}",
                where=f"version {mark.version}",
                fix=f"Publish that one, {GRANT}",
            )
        if manifest.version < mark.version:
            raise StoreUnreachable(
                f"the store answers with version {manifest.version} after it gave out version {mark.version}",
                where=manifest.name,
                fix=f"pull tries again; if it stays so, publish the newest version again, {GRANT}",
            )
        is_other = manifest.version == mark.version and mark.snapshot_id not in (None, manifest.snapshot_id)
        if is_other or manifest.snapshot_id in mark.withdrawn:
            raise BadDataset(
                f"version {manifest.version} is not the one that was taken over"
                if is_other
                else f"version {manifest.version} was withdrawn by a grant",
                where=manifest.name,
                fix="Publish the next version",
            )

    def advance(self, manifest: Manifest) -> None:
        """Record what was taken over."""
        mark = self.read()
        after = DatasetHighWater(
            name=manifest.name, version=manifest.version, snapshot_id=manifest.snapshot_id, withdrawn=mark.withdrawn if mark else ()
        )
        if after != mark:
            self._fs.write(self._path, after.to_bytes())

    def go_back(self, grant: DataGrant, today: date) -> DatasetHighWater:
        """Accept `grant.version` and what follows it from now on.

        Raises
        ------
        BundleRefused
            It has expired, or was written for another version than the one that this device has seen.
        """
        mark = self.read()
        seen = mark.version if mark else 0
        if seen != grant.high_water:
            raise BundleRefused(
                f"the grant is for devices at version {grant.high_water}; this one is at {seen}", fix="Have a grant signed for that version"
            )
        if today > grant.valid_until:
            raise BundleRefused(f"the grant ended on {grant.valid_until}", fix="Have a new one signed")
        gone = (mark.snapshot_id,) if mark and mark.snapshot_id else ()
        after = DatasetHighWater(name=grant.name, version=grant.version, withdrawn=((*mark.withdrawn, *gone) if mark else ()))
        self._fs.write(self._path, after.to_bytes())
        return after
