"""Auxiliary bundles: risk forecasts that scale the book, and a shadow model that is scored and never traded.

Each slot is a bundle store of its own below `state/bundles`, with its own sequence and high-water, under the device's
root key and key set. A slot never stops the day: without its bundle the book is scaled by the window's volatilities,
and nobody shadows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from appliance.bundles.accepted_roles import accepted_roles, bundle_policy
from appliance.bundles.pull import pull_bundle
from appliance.bundles.store import BundleStore
from appliance.config import ApplianceConfig
from appliance.storage.published_store import PublishedStore
from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from signals.bundle import Bundle, Policy, Role
from signals.bundle.layout import TRADED, find_latest
from signals.code_version import release
from signals.errors import BundleRefused
from signals.market.sessions import Calendar
from signals.sleeves import SLEEVES


class BundleSlot(StrEnum):
    """The purpose of an auxiliary bundle."""

    RISK = "risk"
    SHADOW = "shadow"


@dataclass(frozen=True)
class SlotPull:
    """The outcome of pulling a slot's newest published bundle; `name` is empty where the slot is empty."""

    slot: BundleSlot
    name: str = ""
    is_new: bool = False
    refusal: str = ""

    @property
    def summary(self) -> str:
        """The slot's state in a few words; empty for an empty slot of which nothing was refused."""
        if self.refusal:
            return f"{self.slot} bundle refused: {self.refusal}"
        return f"{self.slot} bundle {self.name}{' is new' if self.is_new else ''}" if self.name else ""


def slot_store(slot: BundleSlot, folder: StateFolder, fs: Fs) -> BundleStore:
    """Return the slot's bundles."""
    return BundleStore(folder.bundles / slot, fs, keys=folder.bundles)


def recorded_as(slot: BundleSlot, sleeve: str) -> str:
    """Name under which the slot's scores of `sleeve` are recorded: never that of the scores that are traded on."""
    return sleeve if slot is BundleSlot.RISK else f"{sleeve} {slot}"


def slot_policy(slot: BundleSlot, asof: date, config: ApplianceConfig, calendar: Calendar) -> Policy:
    """Return what the slot accepts at `asof`: risk forecasts in the roles of the venue, shadows in the role shadow only."""
    if slot is BundleSlot.SHADOW:
        sleeves = bundle_policy(asof, config, calendar).sleeves
        return Policy(asof, calendar, sleeves, frozenset({Role.SHADOW}), release())
    sleeves = {slot.value: SLEEVES[slot.value].spec}
    return Policy(asof, calendar, sleeves, accepted_roles(config), release())


def pull_slot(
    slot: BundleSlot, store: PublishedStore, folder: StateFolder, fs: Fs, asof: date, config: ApplianceConfig, calendar: Calendar
) -> SlotPull:
    """Put the slot's newest published bundle in force if it passes every check; the old one, or none, stays otherwise.

    Raises
    ------
    StoreUnreachable
        The store could not be read.
    """
    bundles, policy = slot_store(slot, folder, fs), slot_policy(slot, asof, config, calendar)
    roles = (Role.SHADOW,) if slot is BundleSlot.SHADOW else TRADED
    try:
        if find_latest(store.find, tuple(policy.sleeves), roles) is None:
            current = bundles.current()
            return SlotPull(slot, current.folder if current else "")
        done = pull_bundle(store, bundles, policy, folder.incoming, sleeves=tuple(policy.sleeves), roles=roles)
    except BundleRefused as error:
        return SlotPull(slot, refusal=str(error))
    return SlotPull(slot, done.in_force, done.is_new, done.refusal)


def load_slot(slot: BundleSlot, folder: StateFolder, fs: Fs, asof: date, config: ApplianceConfig, calendar: Calendar) -> Bundle | None:
    """Return the slot's bundle, verified again and not expired; None for an empty slot.

    Raises
    ------
    BundleRefused
        It is no longer what was activated, its key was revoked, or it is too old to be believed.
    """
    bundles = slot_store(slot, folder, fs)
    if bundles.current() is None:
        return None
    bundle = bundles.load(slot_policy(slot, asof, config, calendar))
    if bundle.age_sessions > bundle.age_limit_sessions:
        raise BundleRefused(
            f"the {slot} bundle is {bundle.age_sessions} sessions old and expired after {bundle.age_limit_sessions}",
            where=bundle.manifest.bundle_id,
            fix="Publish a newer one",
        )
    return bundle
