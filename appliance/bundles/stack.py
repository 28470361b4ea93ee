"""The stack's weights on the device: pulled, never older than the newest seen, and verified again whenever they count.

`state/bundles/stack/weights.json` is the file as it was delivered; the high-water next to it is kept as a bundle's is.
"""

from datetime import date
from pathlib import Path

from appliance.bundles.store import BundleStore
from appliance.config import ApplianceConfig
from appliance.storage.published_store import PublishedStore
from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from signals.bundle import HighWater
from signals.errors import BundleRefused
from signals.files import sha256_of
from signals.market.sessions import Calendar
from signals.scoring.stack_weights import PLACE, StackWeights, open_stack

STACK, WEIGHTS_FILE = "stack", "weights.json"


def pull_stack(store: PublishedStore, folder: StateFolder, fs: Fs, asof: date, calendar: Calendar) -> str:
    """Keep the newest published weights, if they pass every check; return a sentence on them, empty where there are none.

    Raises
    ------
    BundleRefused
        They are refused; those that were kept before stay.
    StoreUnreachable
        The store could not be read.
    """
    content = store.find(PLACE)
    if content is None:
        return ""
    own = BundleStore(folder.bundles / STACK, fs, keys=folder.bundles)
    found = open_stack(content, own.keyset(), asof, PLACE)
    _require_valid(found, asof, calendar)
    mark, identity = own.high_water(), sha256_of(content)
    if (found.seq, identity) == (mark.seq, mark.bundle_id):
        fs.write(_path(folder), content)
        return f"stack {found.seq}"
    if found.seq <= mark.seq:
        raise BundleRefused(f"sequence {found.seq} is not newer than {mark.seq}", where=PLACE, fix="Publish the stack again")
    own.remember(HighWater(found.seq, identity))
    fs.write(_path(folder), content)
    return f"stack {found.seq} is new"


def load_stack(folder: StateFolder, fs: Fs, asof: date, config: ApplianceConfig, calendar: Calendar) -> StackWeights:
    """Return the weights that were kept, verified again.

    Raises
    ------
    BundleRefused
        There are none, their keys were revoked since, they expired, are older than the newest seen, or name a sleeve that
        this device does not trade.
    """
    content = fs.read(_path(folder))
    if content is None:
        raise BundleRefused("no stack has been delivered", fix="Publish one by `trainer publish-stack`, or set `stack: false`")
    own = BundleStore(folder.bundles / STACK, fs, keys=folder.bundles)
    found, mark = open_stack(content, own.keyset(), asof, WEIGHTS_FILE), own.high_water()
    _require_valid(found, asof, calendar)
    if (found.seq, sha256_of(content)) != (mark.seq, mark.bundle_id):
        raise BundleRefused(f"the kept weights are not those of sequence {mark.seq}", where=WEIGHTS_FILE, fix="Run `appliance pull`")
    if strange := sorted(set(found.weights) - set(config.sleeves)):
        raise BundleRefused(f"the stack weighs {strange[0]}, which this device does not trade", fix="Add it to `sleeves` in config.yml")
    return found


def _require_valid(found: StackWeights, asof: date, calendar: Calendar) -> None:
    if found.calendar != calendar.name:
        raise BundleRefused(f"the stack counts sessions of {found.calendar}, not {calendar.name}", where=PLACE)
    age = len(calendar.between(found.last_training_session, asof)) - 1
    if age > found.expiry_sessions or found.last_training_session > asof:
        raise BundleRefused(
            f"the stack is {age} sessions old and expired after {found.expiry_sessions}", where=PLACE, fix="Stack again and publish it"
        )


def _path(folder: StateFolder) -> Path:
    return folder.bundles / STACK / WEIGHTS_FILE
