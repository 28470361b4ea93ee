"""Verifies every bundle of this device now: signature, files, static checks and golden vectors."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path

from appliance.bundles.slots import Slot, slot_policy, slot_store, slots_of, traded_slots
from appliance.bundles.store import BundleStore
from appliance.config import ApplianceConfig, load_config
from appliance.runtime.device import hosted_clock_start
from appliance.runtime.venue import opened_venue, time_addresses
from appliance.storage.published_sources import PublishedSources
from appliance.system.ports import Clock
from appliance.system.state_folder import DurableFs, StateFolder
from appliance.views.view import ViewRow
from signals.bundle import Bundle
from signals.errors import BundleRefused, FixInput
from signals.market.manifest import Manifest
from signals.market.sessions import Calendar

HOLDS, REFUSED, EMPTY = "HOLDS", "REFUSED", "empty"


def verified(root: Path, credentials: Path | None, clock: Clock) -> list[ViewRow]:
    """Verify the bundle of every slot as the scoring job would; nothing is changed.

    Returns
    -------
    list of dict
        `place`, `bundle`, `is_traded`, `verdict` (HOLDS, REFUSED or empty) and what there is to say, the traded ones first.

    Raises
    ------
    FixInput
        `root` is not a device's state folder, or its configuration is wrong.
    StoreUnreachable, BadDataset
        The calendar, by which a bundle's age is counted, cannot be read.
    """
    folder = StateFolder(root)
    folder.require()
    config = load_config(folder.config)
    manifest = PublishedSources(config.stores, folder.key_folder(credentials)).manifest(folder)
    asof = manifest.calendar.last_closed(device_time(folder, manifest, credentials, clock))
    return [_of_slot(slot, folder, asof, config, manifest.calendar) for slot in slots_of(config)]


def is_sound(rows: Sequence[ViewRow]) -> bool:
    """Whether the bundle of every traded sleeve is valid and no other one is refused; their slots may be empty."""
    return all(row["verdict"] == HOLDS or (row["verdict"] == EMPTY and not row["is_traded"]) for row in rows)


def device_time(folder: StateFolder, manifest: Manifest, credentials: Path | None, clock: Clock) -> datetime:
    """Return the time by the device's own clock, which an exchange may keep."""
    config = load_config(folder.config)
    if config.venue.is_hosted:
        return hosted_clock_start(folder, manifest)
    real = clock.now()
    if not time_addresses(config)[0]:
        return real
    with opened_venue(config, folder, credentials=folder.key_folder(credentials), start=real) as counterparty:
        return counterparty.clock.now()


def _of_slot(slot: Slot, folder: StateFolder, asof: date, config: ApplianceConfig, calendar: Calendar) -> ViewRow:
    store = slot_store(slot, folder, DurableFs())
    row = _row(store, lambda: store.load(slot_policy(slot, asof, config, calendar)))
    return {"place": slot.name, "is_traded": slot in traded_slots(config), **row}


def _row(store: BundleStore, proven: Callable[[], Bundle]) -> ViewRow:
    try:
        pointer = store.current()
        if pointer is None:
            return {"bundle": None, "verdict": EMPTY, "says": "no bundle was activated"}
        name = pointer.folder
    except (BundleRefused, FixInput) as error:
        return {"bundle": None, "verdict": REFUSED, "says": str(error)}
    try:
        bundle = proven()
    except (BundleRefused, FixInput) as error:
        return {"bundle": name, "verdict": REFUSED, "says": str(error)}
    manifest = bundle.manifest
    says = (
        f"{manifest.role.value}; signature, {len(manifest.files)} files and golden vectors hold; "
        f"{bundle.age_sessions} of {bundle.age_limit_sessions} sessions old"
    )
    return {"bundle": name, "verdict": HOLDS, "says": says}
