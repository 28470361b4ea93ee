"""Moves the bundles of the release before into the slots of their sleeves.

That release kept the traded bundle in `state/bundles` itself and a shadow in `state/bundles/shadow`. Each moves as a whole:
the high-water first, then the bundles, the pointer last, and only then the old files go. A move that breaks off goes on when
it is asked for again.
"""

import re
import shutil
from pathlib import Path

from appliance.bundles.slots import Slot, slot_store
from appliance.bundles.store import CURRENT_FILE, HIGH_WATER_FILE, BundleStore
from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from signals.bundle import read_bundle_manifest
from signals.bundle.manifest import MANIFEST_NAME
from signals.errors import BundleRefused

BUNDLE = re.compile(r"[0-9]+-[0-9a-f]{16}", re.ASCII)
SHADOW = "shadow"


def move_former(folder: StateFolder, fs: Fs) -> tuple[Slot, ...]:
    """Move what the release before left, if anything; return the slots that it is in now.

    Raises
    ------
    BundleRefused
        It cannot be said whose bundle it is, or its high-water is lost: nothing was moved.
    """
    places = (folder.bundles / SHADOW, folder.bundles)
    return tuple(slot for place in places if (slot := _moved(place, folder, fs)) is not None)


def _moved(place: Path, folder: StateFolder, fs: Fs) -> Slot | None:
    high_water = fs.read(place / HIGH_WATER_FILE)
    if high_water is None and fs.read(place / CURRENT_FILE) is None:
        _drop_bundles(place)  # of a move that broke off at its end
        return None
    former = BundleStore(place, fs, keys=folder.bundles)
    pointer = former.current()
    if pointer is None:
        raise _lost("a high-water and no pointer", place / CURRENT_FILE)
    slot = Slot(_sleeve(place / pointer.folder, fs), is_shadow=place.name == SHADOW and place != folder.bundles)
    store = slot_store(slot, folder, fs)
    known = store.high_water().seq
    if high_water is None and pointer.grant is not None and known <= pointer.seq:
        raise _lost("an older bundle in force and no high-water", place / HIGH_WATER_FILE)
    if former.high_water().seq > known:
        store.remember(former.high_water())
    home = slot.folder(folder.bundles)
    for bundle in _bundles(place):
        for file in sorted(path for path in bundle.iterdir() if path.is_file()):
            fs.write(home / bundle.name / file.name, file.read_bytes())
    fs.write(home / CURRENT_FILE, pointer.to_bytes())
    for name in (HIGH_WATER_FILE, CURRENT_FILE):
        fs.remove(place / name)
    _drop_bundles(place)
    return slot


def _bundles(place: Path) -> list[Path]:
    found = place.iterdir() if place.is_dir() else ()
    return sorted(path for path in found if path.is_dir() and BUNDLE.fullmatch(path.name))


def _drop_bundles(place: Path) -> None:
    for bundle in _bundles(place):
        shutil.rmtree(bundle, ignore_errors=True)


def _lost(what: str, where: Path) -> BundleRefused:
    fix = "Restore the file from a copy of the state folder, or begin a new one with `appliance init`"
    return BundleRefused(f"the bundles of the release before have {what}", where=str(where), fix=fix)


def _sleeve(bundle: Path, fs: Fs) -> str:
    """Whose bundle it is, by its own manifest; that it is the activated one is verified whenever it is loaded."""
    content = fs.read(bundle / MANIFEST_NAME)
    if content is None:
        raise BundleRefused("the bundle in force has no manifest", where=str(bundle), fix="Restore it from a copy of the state folder")
    return read_bundle_manifest(content, str(bundle / MANIFEST_NAME)).sleeve
