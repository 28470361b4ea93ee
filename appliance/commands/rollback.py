"""The commands `rollback-bundle` and `rollback-data`, for a person who holds a grant signed by the root key."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from appliance.bundles.former_layout import move_former
from appliance.bundles.pull import fetch_bundle
from appliance.bundles.slots import Slot, slot_policy, slot_store, slots_of
from appliance.bundles.store import BundleStore
from appliance.market.dataset_mark import DatasetMark
from appliance.options import DEFAULT_STATE, AsJson, Credentials, State
from appliance.runtime.device import Device, opened
from appliance.safety.halt import warn
from appliance.storage.published_sources import PublishedSources
from appliance.system.operator import confirm_typed, who
from signals.bundle import DataGrant, RollbackGrant, read_bundle_manifest, read_data_grant, read_grant
from signals.bundle.manifest import MANIFEST_NAME
from signals.errors import BundleRefused, FixInput
from signals.text.console import emit
from signals.text.wording import reason_of


def register(app: typer.Typer) -> None:
    """Put the command of this file on `app`."""
    app.command("rollback-bundle")(rollback_bundle)
    app.command("rollback-data")(rollback_data)


def rollback_bundle(
    grant: Annotated[Path, typer.Option("--grant", help="File that `trainer grant-rollback` wrote.")],
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the typed word.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put an older bundle in force again, by a grant that names it. It stays until a newer one is published.

    The bundle is taken from this device, where it was in force before, or from the published store, and passes every
    check again. Exit code 6: refused, and nothing was changed.
    """
    content = _read(grant)

    def verified(device: Device) -> RollbackGrant:
        move_former(device.folder, device.fs)
        return read_grant(content, BundleStore(device.folder.bundles, device.fs).roots())

    if not yes:  # nobody holds the lock at a prompt: the grant is verified again after it
        with opened(state, credentials=credentials) as device:
            named = verified(device)
        confirm_typed("ROLLBACK", f"go back to bundle {named.seq}: {named.reason}", yes=yes)
    with opened(state, credentials=credentials) as device:
        named = verified(device)
        asof = device.calendar.last_closed(device.clock.now())
        try:
            source = _source(device, named)
            slot = _slot_of(source, device)
            policy = slot_policy(slot, asof, device.config, device.calendar)
            done = slot_store(slot, device.folder, device.fs).roll_back(source, policy, content)
        finally:
            shutil.rmtree(device.folder.incoming, ignore_errors=True)
        manifest = done.bundle.manifest
        name = f"{manifest.seq}-{manifest.bundle_id}"
        with device.deps() as deps:
            warn(deps, f"rollback-{name}", "an older bundle is in force", f"{who()} went back to {name}: {named.reason}")
    emit(
        {"in_force": name, "is_new": done.is_new, "by": who(), "reason": named.reason},
        as_json=as_json,
        text=f"Bundle {name} is in force: {named.reason}",
    )


def rollback_data(
    grant: Annotated[Path, typer.Option("--grant", help="File that `trainer grant-data` wrote.")],
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the typed word.")] = False,
    as_json: AsJson = False,
) -> None:
    """Go on from an older version of the dataset than the newest one seen, by a grant that names both.

    For a version that should never have been published. It is never taken over again; the next pull takes what the
    store holds then. Exit code 6: refused, and nothing was changed.
    """
    content = _read(grant)

    def verified(device: Device) -> DataGrant:
        return read_data_grant(content, BundleStore(device.folder.bundles, device.fs).roots())

    if not yes:  # as for a bundle
        with opened(state, credentials=credentials) as device:
            named = verified(device)
        confirm_typed("ROLLBACK", f"go on from version {named.version} of {named.name}: {named.reason}", yes=yes)
    with opened(state, credentials=credentials) as device:
        named = verified(device)
        today = device.calendar.last_closed(device.clock.now())
        mark = DatasetMark(device.folder.bundles, device.fs).go_back(named, today)
        with device.deps() as deps:
            warn(
                deps,
                f"rollback-data-{named.high_water}",
                "an older dataset is accepted",
                f"{who()} went back to version {mark.version} of {mark.name}: {named.reason}",
            )
    emit(
        {"dataset": mark.name, "version": mark.version, "by": who(), "reason": named.reason},
        as_json=as_json,
        text=f"From version {mark.version} on, {mark.name} is accepted by the next pull: {named.reason}",
    )


def _read(grant: Path) -> bytes:
    try:
        return grant.read_bytes()
    except OSError as error:
        raise FixInput("the grant cannot be read", where=f"{grant}: {reason_of(error)}") from None


def _source(device: Device, named: RollbackGrant) -> Path:
    """The granted bundle as this device still holds it, else fetched from the published store."""
    name = f"{named.seq}-{named.bundle_id}"
    slots = [slot for slot in slots_of(device.config) if not slot.is_shadow]
    kept = [path for slot in slots if (path := slot.folder(device.folder.bundles) / name).is_dir()]
    if kept:
        return kept[0]
    shutil.rmtree(device.folder.incoming, ignore_errors=True)
    store = PublishedSources(device.config.stores, device.credentials).bundles()
    if not fetch_bundle(store, name, device.folder.incoming / name, sleeves=[slot.sleeve for slot in slots]):
        raise FixInput(f"bundle {name} is neither on this device nor in the store", fix="Publish it again")
    return device.folder.incoming / name


def _slot_of(source: Path, device: Device) -> Slot:
    """The slot of the bundle's own sleeve; whether it may go there is verified with everything else."""
    try:
        content = (source / MANIFEST_NAME).read_bytes()
    except OSError as error:
        raise BundleRefused(f"the bundle has no manifest: {reason_of(error)}", where=str(source)) from None
    slot = Slot(read_bundle_manifest(content, str(source / MANIFEST_NAME)).sleeve)
    if slot not in slots_of(device.config):
        raise BundleRefused(f"this device trades no sleeve {slot.sleeve!r}", where=source.name, fix="Add it to `sleeves` in config.yml")
    return slot
