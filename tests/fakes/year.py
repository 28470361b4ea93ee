"""A device and a training host that live through the same sessions, alone, in virtual time.

Both are the product's own: the service of `trainer run` looks at its timetable, the device at its own, whenever a window of either
opens, and one clock is everybody's. They meet in a store in a folder; the broker is the exchange on the whole generated market.
What a person does is in `Happening`s of a session; everything else happens by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from appliance.config import Venue, load_config
from appliance.controls.machine import FixedMachine
from appliance.ledger import AccessMode, Ledger, alerts
from appliance.runtime.commissioning import DeviceOptions, commission, settings
from appliance.runtime.device import Device, channels
from appliance.runtime.session import tick
from appliance.runtime.venue import HOSTED_URL, Counterparty
from appliance.storage.published_sources import PublishedSources
from appliance.system.clock import VirtualClock
from appliance.system.state_folder import StateFolder
from execution.exchange.api.exchange import Exchange
from execution.exchange.doors.inprocess import InProcessAdapter
from execution.exchange.market.market import MarketData
from signals.alerts.alert import Alert
from signals.bundle import Role
from signals.errors import TryAgain
from signals.market.dataset import read_manifest
from signals.market.manifest import PriceBasis
from signals.market.sessions import Calendar, SessionStatus, xnys
from signals.schedule.job_windows import windows
from tests.fakes.bundles import private_key
from tests.fakes.device import Workbench
from tests.fakes.promotion import BARS, case
from trainer.curation.config import CurationConfig
from trainer.curation.generated.market import VENDOR, GeneratedMarket, actions_rows
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping as Columns
from trainer.curation.writer import VENDOR_KEY
from trainer.lineage.retrain import publish_as
from trainer.promotion import champions
from trainer.publishing import keys as signing
from trainer.publishing.dataset import Signer, publish_data
from trainer.publishing.publish import PublishRequest
from trainer.publishing.remote import deliver_root
from trainer.publishing.stores import dataset_store
from trainer.recipes.base import RecipeConfig
from trainer.service import service
from trainer.service.host import Host
from trainer.service.settings import ServiceSettings, folder_source
from trainer.tasks.recipes import recipe_named
from trainer.training.train import TrainingRequest, train
from trainer.workspace import make, read

AWAY = "http://127.0.0.1:9"  # a served exchange, so that the device lives by its clock; nothing is asked there
ACCEPTED = "a starter for a year alone"


class EverybodysClock:
    """The one clock, which only the driver moves."""

    def __init__(self, virtual: VirtualClock) -> None:
        self.virtual = virtual

    def now(self) -> datetime:
        return self.virtual.now()

    def monotonic(self) -> float:
        return self.virtual.monotonic()

    def sleep(self, seconds: float) -> None:
        self.virtual.sleep(seconds)


class Inbox:
    """What a person was told."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def notify(self, alert: Alert) -> bool:
        self.alerts.append(alert)
        return True


Happening = Callable[["YearAlone", date], None]


@dataclass
class Lived:
    """What a run of sessions came to."""

    sessions: list[date] = field(default_factory=list)
    traded: list[date] = field(default_factory=list)
    excused: dict[date, str] = field(default_factory=dict)
    missed: dict[date, str] = field(default_factory=dict)
    orders: int = 0

    @property
    def sentence(self) -> str:
        return (
            f"{len(self.sessions)} sessions: {len(self.traded)} planned, {len(self.excused)} without usable data of the vendor, "
            f"{len(self.missed)} missed that should have traded; {self.orders:,} orders"
        )


@dataclass(eq=False)
class YearAlone:
    """Workspace, store, exchange and device in one folder.

    Attributes
    ----------
    root : Path
    market : GeneratedMarket
        The whole of it, the future included.
    recipe : RecipeConfig
    first : date
        The first trade session.
    is_promoted : bool
        Whether the model to begin with is the champion; else it is a starter that somebody accepted.
    """

    root: Path
    market: GeneratedMarket
    recipe: RecipeConfig
    first: date
    sleeve: str = "equities_xs"
    spoilt: set[date] = field(default_factory=set)
    happenings: Mapping[date, Happening] = field(default_factory=dict)
    code_version: str = "0.1.0+year"
    equity: Decimal = Decimal(100_000)
    is_promoted: bool = False

    def __post_init__(self) -> None:
        days = self.market.truth.sessions
        self.calendar: Calendar = xnys(days[0], days[-1] + timedelta(days=40))
        self.workspace_folder, self.store = self.root / "workspace", self.root / "store"
        self.inbox = Inbox()
        self.delivered = self.root / "deliveries"
        self.lived = Lived()
        self.clock = VirtualClock(self.calendar.session(self.calendar.previous(self.first)).close)

    # -- the beginning ----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """What a person does once: history, starter, keys, publication, pairing, an armed device."""
        self.delivered.mkdir(parents=True)
        before = self.calendar.previous(self.first)
        make(self.workspace_folder)
        history = self._files(self.root / "history", None, before)
        terms = DeliveryTerms(mapping=Columns(), basis=PriceBasis.RAW, config=CurationConfig(), name="year", today=before, known_at=before)
        data = self.workspace_folder / "data" / "year"
        ingest(history, data, terms)
        whole = self._files(self.root / "world", None, self.market.truth.sessions[-1])
        terms = DeliveryTerms(mapping=Columns(), basis=PriceBasis.RAW, config=CurationConfig(), name="world")
        ingest(whole, self.root / "world" / "data", terms)
        self.keys = self.workspace_folder / "keys"
        seeds = iter(range(60, 90))
        signing.create_keys(self.keys, self.market.truth.sessions[-1] + timedelta(days=90), generate=lambda: private_key(next(seeds)))
        run = self.workspace_folder / "runs" / "starter"
        train(
            recipe_named(self.sleeve),
            self.recipe,
            TrainingRequest(data, run, None, before, (), seed=1, workers=1, code_version=self.code_version),
            lambda _: None,
        )
        deliver_root(dataset_store(str(self.store), "", None), self.keys)
        at = self.clock.now()
        publish_data(data, dataset_store(f"{self.store}/data", "", None), Signer.of(self.keys, at.date()))
        registry = self.workspace_folder / "registry"
        if self.is_promoted:
            self._promote(run, data, registry)
            publish_as(PublishRequest(run, Role.CHAMPION, self.keys, self.store, at, ""), str(self.store), registry, accept="")
        else:
            request = PublishRequest(run, Role.EVALUATION, self.keys, self.store, at, "unproven")
            publish_as(request, str(self.store), registry, accept=ACCEPTED)
        config = settings(DeviceOptions(str(self.store), Venue.EXCHANGE, float(self.equity), AWAY))
        config = config.model_copy(update={"accept_unproven": not self.is_promoted})
        commission(StateFolder(self.root / "device"), config, signing.root_public(self.keys))
        with self.device() as device:
            device.latch.arm(by="a person", at=self.clock.now())

    def _promote(self, run: Path, data: Path, registry: Path) -> None:
        """A person's word: the promotion is the product's own but for the figures of its case, which no model of ten minutes has."""
        bars_settings: Any = SimpleNamespace(fingerprint=lambda: "s" * 64)
        request = champions.PromotionRequest(run, data, registry, BARS, bars_settings, self.code_version, self.clock.now())
        with mock.patch.object(champions, "_case", lambda *_: case({})):
            assert champions.promote(request).verdict.is_promoted

    def _files(self, folder: Path, after: date | None, last: date, share: float = 1.0) -> DeliveryFiles:
        """Write bars of (after, last] and the actions that became known then, as a vendor delivers them."""
        folder.mkdir(parents=True, exist_ok=True)
        day = self.market.bars.column("date")
        rows = pc.less_equal(day, pa.scalar(last))
        if after is not None:
            rows = pc.and_(rows, pc.greater(day, pa.scalar(after)))
        bars = self.market.bars.filter(rows)
        bars = bars.slice(0, int(bars.num_rows * share))
        known = tuple(a for a in self.market.actions if a.known_at <= last and (after is None or a.known_at > after))
        files = DeliveryFiles(folder / "bars.parquet", folder / "actions.parquet" if known else None)
        assert files.bars is not None
        pq.write_table(bars.replace_schema_metadata({VENDOR_KEY: VENDOR.encode()}), files.bars)
        if files.actions:
            pq.write_table(actions_rows(known).replace_schema_metadata({VENDOR_KEY: VENDOR.encode()}), files.actions)
        return files

    def deliver(self, asof: date) -> None:
        """Put the vendor's evening into the folder of deliveries.

        A spoilt one lacks half of its rows; the vendor delivers them again whole with its next good evening.
        """
        hidden, before = self.delivered / f".{asof}", self.calendar.previous(asof)
        while before in self.spoilt and asof not in self.spoilt:
            before = self.calendar.previous(before)
        self._files(hidden, before, asof, 0.5 if asof in self.spoilt else 1.0)
        hidden.rename(self.delivered / str(asof))

    # -- the two hosts ----------------------------------------------------------------------------------------------------

    def host(self) -> Host:
        """The training host, as a process that has just begun."""
        found = read(self.workspace_folder)
        places = found.places.model_copy(update={"store": str(self.store)})
        found = type(found)(places, found.file)
        return Host(found, ServiceSettings(), folder_source(self.delivered), self.inbox, self.code_version)

    @contextmanager
    def device(self) -> Iterator[Device]:
        """The device, as a process that has just begun."""
        folder = StateFolder(self.root / "device")
        config = load_config(folder.config)
        exchange = Exchange(
            MarketData.from_dataset(self.root / "world" / "data"),
            self.clock,
            seed=1,
            state=self.root / "exchange",
            config=config.venue.exchange,
        )
        door = InProcessAdapter(exchange)
        counterparty = Counterparty(EverybodysClock(self.clock), HOSTED_URL, "embedded", "embedded", 1, door, config.stores.alpaca)
        manifest = PublishedSources(config.stores, None).manifest(folder)
        try:
            yield Device(folder, config, manifest, counterparty, channels(folder, None), machine=FixedMachine())
        finally:
            exchange.close()

    def perform(self, row: str, session: date) -> bool:
        """Run a row of the training host now; False where it must be tried again."""
        try:
            service.perform(row, session, self._host, self.clock.now)
        except TryAgain:
            return False
        return True

    # -- the sessions -----------------------------------------------------------------------------------------------------

    def live(self, sessions: int) -> Lived:
        """Live through so many trade sessions, from the first that was not lived yet."""
        start = self.lived.sessions[-1] if self.lived.sessions else self.calendar.previous(self.first)
        for day in self.calendar.between(start, self.calendar.days[-1])[1 : sessions + 1]:
            self._session(day)
        return self.lived

    def _session(self, day: date) -> None:
        asof = self.calendar.previous(day)
        if day in self.happenings:
            self.happenings[day](self, day)
        self._host = self.host()
        known = read_manifest(self._host.data)
        is_usable = known.last >= asof and known.status(asof).status is not SessionStatus.RED
        with self.device() as device:
            pairs = [
                (window.at, table is device.table)
                for table in (self._host.table, device.table)
                for one in (day, self.calendar.next(day))
                for window in windows(one, self.calendar, table)
            ]
            end = max(at for at, is_device in pairs if is_device and at <= self.calendar.session(day).close + timedelta(hours=1))
            for at in sorted({at for at, _ in pairs if self.clock.now() < at <= end}):
                self.clock.advance(max(at, self.clock.now()))  # what waited for the rate limit has moved it
                if at > self.calendar.session(day).close and not (self.delivered / str(day)).exists():
                    self.deliver(day)
                if (at, False) in pairs:
                    service.look(self._host, self.clock.now, self.perform)
                if (at, True) in pairs:
                    tick(device)
        self._judge(day, is_usable=is_usable)

    def _judge(self, day: date, *, is_usable: bool) -> None:
        query = "SELECT job, status, summary, figures FROM job_runs WHERE session = ?"
        jobs = {
            job: (status, summary, json.loads(figures or "{}"))
            for job, status, summary, figures in Workbench(self.root / "device").rows(query, str(day))
        }
        self.lived.sessions.append(day)
        status, summary, figures = jobs.get("plan", ("absent", "no plan was tried", {}))
        failed = {job: words for job, (end, words, _) in jobs.items() if end not in ("done", "skipped")}
        if status == "done" and not failed:
            self.lived.traded.append(day)
            self.lived.orders += figures["orders"]
        elif not is_usable and not failed:
            self.lived.excused[day] = summary
        else:
            self.lived.missed[day] = "; ".join([f"plan {status}: {summary}", *(f"{job}: {words}" for job, words in failed.items())])

    def rows(self) -> Counter[tuple[str, str]]:
        """How often each row of the training host ended how."""
        return Counter((str(one["row"]), str(one["status"])) for one in self._host.log.records())

    def tripped(self) -> dict[str, int]:
        """In how many sessions each tripwire of the device tripped."""
        query = "SELECT name, count(*) FROM tripwires WHERE tripped = 1 GROUP BY name"
        return dict(Workbench(self.root / "device").rows(query))

    def told(self) -> list[str]:
        """The device's alerts, by title."""
        with Ledger(self.root / "device" / "ledger.sqlite", AccessMode.READ) as ledger:
            return [one.alert.title for one in alerts.newest(ledger, 10_000)]
