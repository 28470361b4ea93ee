"""Read access to one device for the health checks; each resource is opened on first use."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from appliance.config import ApplianceConfig, Venue, load_config
from appliance.controls.latch import Latch, LatchRecord
from appliance.controls.machine import Machine, ThisMachine
from appliance.runtime.device import hosted_clock_start
from appliance.runtime.venue import opened_venue, time_addresses
from appliance.storage.published_sources import PublishedSources, unverified_manifest
from appliance.system.state_folder import DurableFs, StateFolder
from appliance.system.time_sync import skew_seconds, unsynchronised
from execution.brokers.base import Account
from signals.market.manifest import Manifest


@dataclass(frozen=True)
class DeviceProbe:
    """One device.

    Attributes
    ----------
    credentials : Path or None
        Folder with the key files.
    real : datetime
        UTC, by the machine's clock.
    unsynchronised : callable
        Why the machine's clock is not to be believed; empty when it is.
    skew : callable
        (address, now) to seconds off the clock of that address.
    clock : callable
        The machine's clock itself, for measuring skew.
    """

    folder: StateFolder
    credentials: Path | None
    real: datetime
    clock: Callable[[], datetime]
    machine: Machine = field(default_factory=ThisMachine)
    unsynchronised: Callable[[], str] = unsynchronised
    skew: Callable[..., float] = skew_seconds

    @cached_property
    def config(self) -> ApplianceConfig:
        """Its settings."""
        self.folder.require()
        return load_config(self.folder.config)

    @property
    def is_paper(self) -> bool:
        """Whether it trades at a broker that others run."""
        return self.config.venue.broker is Venue.ALPACA_PAPER

    @cached_property
    def manifest(self) -> Manifest:
        """The dataset's manifest that the device uses."""
        return PublishedSources(self.config.stores, self.credentials).manifest(self.folder)

    @cached_property
    def published(self) -> Manifest:
        """The dataset's manifest that its store publishes now."""
        return unverified_manifest(PublishedSources(self.config.stores, self.credentials).data())

    @cached_property
    def addresses(self) -> tuple[str, str]:
        """The exchange that owns the time, and the broker whose date must be ours; empty where there is none."""
        return time_addresses(self.config)

    @cached_property
    def now(self) -> datetime:
        """UTC, by the device's clock; a hosted one is where its last process left it."""
        if self.config.venue.is_hosted:
            return hosted_clock_start(self.folder, self.manifest)
        if self.addresses[0]:
            with opened_venue(self.config, self.folder, credentials=self.credentials, start=self.real) as counterparty:
                return counterparty.clock.now()
        return self.real

    @property
    def latch(self) -> LatchRecord:
        """The content of the latch."""
        return Latch(self.folder.root, DurableFs()).read()

    def account(self) -> Account:
        """Ask the broker for the account; a hosted exchange has none to be asked from here."""
        with opened_venue(self.config, self.folder, credentials=self.credentials, start=self.real) as counterparty:
            return counterparty.broker().account()
