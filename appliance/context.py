"""The dependencies that a job receives: ledger, broker, clock, stores, notifier and configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.alerts.heartbeat import NoHeartbeat
from appliance.config import ApplianceConfig
from appliance.controls.latch import Latch
from appliance.controls.machine import Machine, ThisMachine
from appliance.ledger import Ledger, choices
from appliance.market.store import MarketStore
from appliance.market.vendor_record import PriceSource, VendorMarketData
from appliance.storage.published_sources import PublishedSources
from appliance.system.ports import Clock, Fs, Heartbeat, Notifier
from appliance.system.state_folder import StateFolder
from signals.market.sessions import Calendar

if TYPE_CHECKING:
    from execution.brokers.base import Broker


@dataclass(frozen=True)
class Deps:
    """The device as a job sees it; opened for one job and closed after it.

    Attributes
    ----------
    folder : StateFolder
        Names of everything under the state folder.
    calendar : Calendar
        The frozen table of the dataset; ends where it ends.
    ledger : Ledger
        Open for writing.
    open_market, open_broker : callable
        Called once, when a job first asks: an evening job never imports the broker's client, and a job that sends
        orders never opens the market store.
    machine : Machine
        Source of disk, temperature and power readings; a replay reads none.
    heartbeat : Heartbeat
        The watcher outside; a replay has none.
    credentials : Path or None
        Folder of key files; only what opens a store reads it.
    open_bars : callable or None
        Opens the venue's market data: bars that are not published, prices to compare with; None where there are none.
    """

    config: ApplianceConfig
    folder: StateFolder
    clock: Clock
    calendar: Calendar
    ledger: Ledger
    latch: Latch
    notifier: Notifier
    fs: Fs
    code_version: str
    open_market: Callable[[], MarketStore]
    open_broker: Callable[[], Broker]
    machine: Machine = field(default_factory=ThisMachine)
    heartbeat: Heartbeat = field(default_factory=NoHeartbeat)
    credentials: Path | None = None
    open_bars: Callable[[], VendorMarketData] | None = None

    @property
    def state(self) -> Path:
        """The state folder's path."""
        return self.folder.root

    @cached_property
    def sources(self) -> PublishedSources:
        """Where published things are read from."""
        return PublishedSources(self.config.stores, self.credentials)

    @cached_property
    def market(self) -> MarketStore:
        """The market store, opened now if it was not."""
        return self.open_market()

    @cached_property
    def broker(self) -> Broker:
        """The broker of the configured venue, connected now if it was not; without the names that a person keeps."""
        from execution.broker_without import BrokerWithout  # an evening's job has no broker

        kept = choices.chosen(self.ledger, choices.Choice.KEPT)
        return BrokerWithout(self.open_broker(), kept) if kept else self.open_broker()

    @cached_property
    def prices(self) -> PriceSource | None:
        """The venue's market data, opened now if they were not; None where there are none."""
        return self.open_bars() if self.open_bars is not None else None

    def close(self) -> None:
        """Close what was opened."""
        if "market" in vars(self):
            self.market.close()
        self.ledger.close()
