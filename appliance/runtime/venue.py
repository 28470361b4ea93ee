"""Opens the configured venue: embedded exchange, served exchange or Alpaca paper, with broker, data and clock."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from appliance.config import AlpacaBarsConfig, ApplianceConfig, Venue
from appliance.market.vendor_record import VendorMarketData
from appliance.storage.published_sources import PublishedSources
from appliance.system.clock import ExchangeTime, SystemClock, VirtualClock
from appliance.system.ports import Clock
from appliance.system.state_folder import StateFolder
from execution.brokers.base import PAPER_URL, Broker
from signals.errors import BadConfig

if TYPE_CHECKING:  # the screens and the idle daemon know the door and never open it
    from requests.adapters import BaseAdapter

HOSTED_URL = "http://127.0.0.1"
KEY_FILE, SECRET_FILE = "alpaca-key-id", "alpaca-secret-key"


@dataclass(frozen=True)
class Counterparty:
    """The broker, data and clock of a venue, opened for the life of one process.

    Attributes
    ----------
    seed : int
        Spreads the repeats of reads.
    transport : BaseAdapter or None
        The door of an exchange in this process; None is the network, with the deadlines of the client's own transport.
    data : AlpacaBarsConfig
        How its market data are asked for bars.
    """

    clock: Clock
    url: str
    key_id: str = field(repr=False)
    secret_key: str = field(repr=False)
    seed: int = 0
    transport: BaseAdapter | None = None
    data: AlpacaBarsConfig = field(default_factory=AlpacaBarsConfig)

    def broker(self) -> Broker:
        """Return a fresh client."""
        from execution.brokers.alpaca import AlpacaBroker, Credentials  # alpaca-py brings pandas: only when asked for

        keys = Credentials(self.key_id, self.secret_key)
        return AlpacaBroker(self.url, keys, self.clock, random.Random(self.seed), adapter=self.transport)

    def bars(self) -> VendorMarketData:
        """Return a fresh client of the venue's market data; raise `BadConfig` for a feed or a host that is refused."""
        from execution.brokers.market_data import DATA_URL, AlpacaData, Keys
        from execution.brokers.transport import PAPER_HOSTS

        is_paper = urlsplit(self.url).hostname in PAPER_HOSTS
        return AlpacaData(
            self.data.url or (DATA_URL if is_paper else self.url),
            Keys(self.key_id, self.secret_key),
            self.clock,
            feed=self.data.feed,
            adapter=self.transport,
        )


def broker_asked_once(url: str, key_id: str, secret_key: str, clock: Clock) -> Broker:
    """Return a client that asks each question once; raise `BadConfig` where `url` is neither the paper host nor this machine."""
    from execution.brokers.alpaca import AlpacaBroker, BrokerConfig, Credentials

    keys = Credentials(key_id, secret_key)
    return AlpacaBroker(url or PAPER_URL, keys, clock, random.Random(0), config=BrokerConfig(read_retries=0))


def time_addresses(config: ApplianceConfig) -> tuple[str, str]:
    """Return the address of the exchange that owns the time, and that of the broker whose date ours must agree with."""
    if config.venue.broker is Venue.EXCHANGE:
        return config.venue.url, ""
    return "", config.venue.url or PAPER_URL


@contextmanager
def opened_venue(config: ApplianceConfig, folder: StateFolder, *, credentials: Path | None, start: datetime) -> Iterator[Counterparty]:
    """Open the configured venue for the length of the block.

    Parameters
    ----------
    credentials : Path or None
        Folder with the key files of a paper account, or of a served exchange that asks for a key.
    start : datetime
        Time of a hosted exchange's clock, unless its state is later.

    Raises
    ------
    BadConfig
        A paper account without credentials: the venue is never switched to another one.
    BrokerUnreachable
        A served exchange does not answer.
    Locked
        Another process hosts this device's exchange.
    """
    venue = config.venue
    if venue.broker is Venue.ALPACA_PAPER:
        key, secret = _credentials(credentials)
        yield Counterparty(SystemClock(), venue.url or PAPER_URL, key, secret, data=config.stores.alpaca)
    elif venue.url:
        key, secret = _credentials(credentials) if credentials and (credentials / KEY_FILE).is_file() else ("embedded", "embedded")
        yield Counterparty(ExchangeTime(venue.url), venue.url, key, secret, venue.seed, data=config.stores.alpaca)
    else:
        with _hosted(config, folder, start) as counterparty:
            yield counterparty


@contextmanager
def _hosted(config: ApplianceConfig, folder: StateFolder, start: datetime) -> Iterator[Counterparty]:
    from execution.exchange.api.exchange import Exchange
    from execution.exchange.doors.inprocess import InProcessAdapter
    from execution.exchange.market.market import MarketData

    clock = VirtualClock(start)
    exchange = Exchange(
        MarketData.from_dataset(PublishedSources(config.stores).require_folder(), minutes=config.venue.exchange.minutes),
        clock,
        seed=config.venue.seed,
        state=folder.exchange,
        config=config.venue.exchange,
    )
    if clock.now() < exchange.now:  # its state is later than what the device wrote down before it stopped
        clock.advance(exchange.now)
    try:
        door = InProcessAdapter(exchange)
        yield Counterparty(clock, HOSTED_URL, "embedded", "embedded", config.venue.seed, door, config.stores.alpaca)
    finally:
        exchange.close()


def _credentials(folder: Path | None) -> tuple[str, str]:
    if folder is None:
        raise BadConfig(
            "a paper account needs credentials",
            where="venue.broker: alpaca-paper",
            fix="Run under systemd with LoadCredential, or give --credentials DIR",
        )
    try:
        return tuple((folder / name).read_text(encoding="utf-8").strip() for name in (KEY_FILE, SECRET_FILE))  # type: ignore[return-value]
    except OSError as error:
        raise BadConfig("a credential cannot be read", where=str(error.filename)) from None
