"""The bundle in force of a device, for scores of posted rows."""

from datetime import datetime
from pathlib import Path

from appliance.bundles.slots import Slot, slot_policy, slot_store, traded_slots
from appliance.bundles.store import CURRENT_FILE, KEYSET_FILE
from appliance.config import ApplianceConfig, Venue, load_config
from appliance.runtime.device import hosted_clock_start
from appliance.system.clock import venue_time
from appliance.system.ports import Clock
from appliance.system.state_folder import DurableFs, StateFolder
from signals.bundle.child_inference import infer_in_child
from signals.errors import FixInput
from signals.files import sha256_of
from signals.market.manifest import Manifest
from signals.serving.scores import ServedModel


class DeviceModel:
    """The bundle in force of one traded sleeve.

    Parameters
    ----------
    root : Path
        State folder.
    sleeve : str
        Empty for the first one that is traded.
    """

    def __init__(self, root: Path, clock: Clock, sleeve: str = "") -> None:
        self._folder, self._clock, self._sleeve = StateFolder(root), clock, sleeve
        self._known: tuple[bytes, Manifest] | None = None

    def identity(self) -> str:
        """Hash of what names the bundle in force, of the keys and sessions that count, and of asof: bundles and keys grow old."""
        config = load_config(self._folder.config)
        slot, bundles = self._slot(config), self._folder.bundles
        manifest = self._manifest()
        asof = manifest.calendar.last_closed(self._now(config, manifest))
        files = (slot.folder(bundles) / CURRENT_FILE, bundles / KEYSET_FILE)
        said = [path.read_bytes() if path.is_file() else b"" for path in files]
        return sha256_of(b"|".join([*said, manifest.snapshot_id.encode(), str(asof).encode()]))

    def load(self) -> ServedModel:
        """Verify the bundle in force, its golden vectors in a limited child.

        Raises
        ------
        BundleRefused
            There is none, or it is no longer what was activated.
        FixInput
            The sleeve is not traded here, or nothing was pulled yet.
        """
        self._folder.require()
        config, manifest = load_config(self._folder.config), self._manifest()
        slot = self._slot(config)
        asof = manifest.calendar.last_closed(self._now(config, manifest))
        policy = slot_policy(slot, asof, config, manifest.calendar)
        bundle = slot_store(slot, self._folder, DurableFs()).load(policy, reproduce=infer_in_child)
        return ServedModel(bundle, manifest.calendar)

    def _manifest(self) -> Manifest:
        """The manifest that was pulled, parsed once as long as it stays."""
        path = self._folder.manifest
        if not path.is_file():
            raise FixInput("nothing has been pulled yet", where=str(path), fix="Run `appliance pull`")
        content = path.read_bytes()
        if self._known is None or self._known[0] != content:
            self._known = content, Manifest.from_bytes(content, where=str(path))
        return self._known[1]

    def _slot(self, config: ApplianceConfig) -> Slot:
        slots = traded_slots(config)
        found = next((slot for slot in slots if self._sleeve in ("", slot.sleeve)), None)
        if found is None:
            names = ", ".join(slot.sleeve for slot in slots)
            raise FixInput(f"{self._sleeve} is not traded here", fix=f"Name one of {names}")
        return found

    def _now(self, config: ApplianceConfig, manifest: Manifest) -> datetime:
        if config.venue.is_hosted:
            return hosted_clock_start(self._folder, manifest)
        is_exchange = config.venue.broker is Venue.EXCHANGE
        return venue_time(self._folder.root, self._clock, is_exchange=is_exchange, url=str(config.venue.url or "")) or self._clock.now()
