"""Slots: where a device keeps the bundles of each sleeve, and what it accepts there.

    state/bundles/<sleeve>/           the bundle that is traded, that scales the book, or that is only shown with events
    state/bundles/<sleeve>/shadow/    one that is scored next to it and never traded

Each slot is a bundle store of its own, with its own pointer, sequence, high-water and expiry, under the device's one root
key and key set. Which slots there are follows from the configured sleeves: `slots_of`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from appliance.bundles.pull import pull_bundle
from appliance.bundles.store import BundleStore
from appliance.config import ApplianceConfig, Venue
from appliance.storage.published_store import PublishedStore
from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from signals.bundle import Bundle, Policy, Role
from signals.bundle.layout import TRADED, find_latest
from signals.code_version import release
from signals.errors import BundleRefused, FixInput, InvariantBroken, KeepPrevious, SkipSession, TryAgain
from signals.events import recorded
from signals.features.panel import FeatureSpec
from signals.market.sessions import Calendar
from signals.sleeves import SLEEVES
from signals.sleeves.risk import RISK

SHOWN = (recorded.SEEN_BY, *recorded.SHOWN)  # nothing is traded or sized by them, so that an unproven one is accepted anywhere
UNSIZED = frozenset({RISK.name, *SHOWN})


def accepted_roles(config: ApplianceConfig) -> frozenset[Role]:
    """Champions anywhere; unproven bundles on the embedded exchange, or on a paper account where a person said so."""
    if config.venue.broker is Venue.EXCHANGE or config.accept_unproven:
        return frozenset({Role.CHAMPION, Role.EVALUATION})
    return frozenset({Role.CHAMPION})


def sought_roles(config: ApplianceConfig) -> tuple[Role, ...]:
    """Roles in the order in which the device looks for its bundle: the preferred one first."""
    preferred = Role(config.stores.prefer)
    return (preferred, *(role for role in TRADED if role is not preferred))


def is_rehearsal(role: Role, config: ApplianceConfig) -> bool:
    """Whether a bundle of this role has the declared size of a rehearsal: a person accepted it unproven."""
    return role is Role.EVALUATION and config.accept_unproven


@dataclass(frozen=True)
class Slot:
    """The place of one sleeve's bundle, or of its shadow."""

    sleeve: str
    is_shadow: bool = False

    @property
    def name(self) -> str:
        """Name under which its scores are recorded and its alerts are raised."""
        return f"{self.sleeve} {Role.SHADOW}" if self.is_shadow else self.sleeve

    @property
    def key(self) -> str:
        """The name in one word, for keys of alerts."""
        return self.name.replace(" ", "-")

    def folder(self, bundles: Path) -> Path:
        """Its folder below `state/bundles`."""
        return bundles / self.sleeve / Role.SHADOW if self.is_shadow else bundles / self.sleeve


def traded_slots(config: ApplianceConfig) -> tuple[Slot, ...]:
    """Slots of the sleeves whose scores are traded, in the configured order."""
    return tuple(Slot(name) for name in config.sleeves)


def slots_of(config: ApplianceConfig) -> tuple[Slot, ...]:
    """Every slot of this device: the traded sleeves, the risk sleeve that scales the book, a shadow of each, and what is shown."""
    real = tuple(dict.fromkeys((*traded_slots(config), Slot(RISK.name))))
    return (*real, *(Slot(slot.sleeve, is_shadow=True) for slot in real), *map(Slot, SHOWN))


@dataclass(frozen=True)
class SlotPull:
    """The outcome of pulling a slot's newest published bundle; `name` is empty where the slot is empty."""

    slot: Slot
    name: str = ""
    is_new: bool = False
    refusal: str = ""

    @property
    def summary(self) -> str:
        """The slot's state in a few words; empty for an empty slot of which nothing was refused."""
        kept = f"{self.slot.name} bundle {self.name}{' is new' if self.is_new else ''}" if self.name else ""
        refused = f"{self.slot.name} bundle refused: {self.refusal}" if self.refusal else ""
        return "; ".join(part for part in (kept, refused) if part)


def slot_store(slot: Slot, folder: StateFolder, fs: Fs) -> BundleStore:
    """Return the slot's bundles."""
    return BundleStore(slot.folder(folder.bundles), fs, keys=folder.bundles)


def slot_policy(slot: Slot, asof: date, config: ApplianceConfig, calendar: Calendar) -> Policy:
    """Return what the slot accepts at `asof`: its own sleeve, a shadow in that role only, what is traded in the roles of the venue."""
    sleeve = SLEEVES.get(slot.sleeve)
    known: Mapping[str, FeatureSpec] = {} if sleeve is None else {slot.sleeve: sleeve.spec}
    roles = frozenset({Role.SHADOW}) if slot.is_shadow else frozenset(TRADED) if slot.sleeve in SHOWN else accepted_roles(config)
    shapes = {} if sleeve is None else {slot.sleeve: sleeve.spec_as}
    policy = Policy(asof, calendar, known, roles, release(), shapes)
    is_sized = not slot.is_shadow and slot.sleeve not in UNSIZED  # only what is traded has to enter as the schedule does
    entry = config.execution.entry
    return replace(policy, entry=entry.in_manifest, equivalent_entries=entry.equivalents) if is_sized else policy


def pull_slot(
    slot: Slot, store: PublishedStore, folder: StateFolder, fs: Fs, asof: date, config: ApplianceConfig, calendar: Calendar
) -> SlotPull:
    """Put the slot's newest published bundle in force if it passes every check; the old one, or none, stays otherwise.

    Raises
    ------
    StoreUnreachable
        The store could not be read, of a slot that is traded: any other slot's fault is its refusal.
    """
    bundles, policy = slot_store(slot, folder, fs), slot_policy(slot, asof, config, calendar)
    roles, former = sought(slot, config), _has_former(slot, config)
    try:
        if find_latest(store.find, (slot.sleeve,), roles, former=former) is None:
            return SlotPull(slot, in_force(bundles))
        done = pull_bundle(store, bundles, policy, folder.incoming, sleeves=(slot.sleeve,), roles=roles, former=former)
    except (FixInput, InvariantBroken, KeepPrevious, SkipSession, TryAgain) as error:
        if slot in traded_slots(config) and not isinstance(error, BundleRefused):
            raise
        return SlotPull(slot, in_force(bundles), refusal=str(error))
    return SlotPull(slot, done.in_force, done.is_new, done.refusal)


def in_force(bundles: BundleStore) -> str:
    """Return the folder of the bundle in force; empty where there is none, or where what names it is damaged."""
    try:
        current = bundles.current()
    except BundleRefused:
        return ""  # `load` says so
    return current.folder if current else ""


def sought(slot: Slot, config: ApplianceConfig) -> tuple[Role, ...]:
    """Roles in the order in which they are looked for, for this slot."""
    if slot.is_shadow:
        return (Role.SHADOW,)
    return TRADED if slot.sleeve in UNSIZED else sought_roles(config)


def _has_former(slot: Slot, config: ApplianceConfig) -> bool:
    """Whether the layout of releases before, with one place for all traded sleeves, can only mean this slot."""
    return (slot == Slot(RISK.name)) or (len(config.sleeves) == 1 and slot.sleeve in config.sleeves)


def load_slot(slot: Slot, folder: StateFolder, fs: Fs, asof: date, config: ApplianceConfig, calendar: Calendar) -> Bundle:
    """Return the slot's bundle, verified again.

    An expired one of a traded sleeve is returned: its age is a tripwire's business. Any other is refused.

    Raises
    ------
    BundleRefused
        There is none, it is no longer what was activated, its key was revoked, or it is too old to be believed.
    """
    bundle = slot_store(slot, folder, fs).load(slot_policy(slot, asof, config, calendar))
    is_traded = slot in traded_slots(config)
    if not is_traded and bundle.age_sessions > bundle.age_limit_sessions:
        raise BundleRefused(
            f"the {slot.name} bundle is {bundle.age_sessions} sessions old and expired after {bundle.age_limit_sessions}",
            where=bundle.manifest.bundle_id,
            fix="Publish a newer one",
        )
    return bundle
