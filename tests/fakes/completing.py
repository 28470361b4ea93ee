"""A device that completes sessions from a vendor, without its jobs, and what its store then holds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import duckdb

from appliance.bundles.pull import pull_data
from appliance.market.snapshot import CompletedSession
from appliance.market.store import MarketStore
from appliance.market.vendor_record import VendorRecord, store_record
from appliance.market.vendor_sessions import CompletionResult, complete
from appliance.storage.published_sources import unverified_manifest
from appliance.storage.published_store import PublishedFolder
from appliance.system.state_folder import DurableFs
from execution.brokers.reported import ReportedBar
from execution.exchange.api.exchange import Exchange
from signals.errors import BrokerUnreachable
from signals.market.manifest import Manifest
from tests.fakes.vendor import Recorded, World, evening, source

ROWS = "SELECT * FROM bars WHERE session > ? ORDER BY ALL"
ACTIONS = "SELECT * FROM actions WHERE effective > ? AND effective <= ? ORDER BY ALL"


@dataclass(frozen=True)
class Month:
    """A device that completed the sessions after its dataset, and what it was told."""

    folder: Path
    told: tuple[ReportedBar, ...]

    def copied(self, to: Path) -> Path:
        shutil.copytree(self.folder, to)
        return to


def completed(world: World, served: Exchange, folder: Path, step: int) -> Month:
    """Complete every session after the base, as many an evening as `step` says."""
    told: list[ReportedBar] = []
    with opened(world, folder) as market:
        take(market, world.root / "base" / "data", folder)
        for asof in world.calendar.between(world.calendar.next(world.known), world.whole.last)[step - 1 :: step]:
            one = source(served, evening(world, asof))
            fill(market, one, world.base, world, folder, asof)
            told += one.told
    return Month(folder, tuple(told))


@contextmanager
def opened(world: World, folder: Path) -> Iterator[MarketStore]:
    market = MarketStore(folder / "market.duckdb", world.calendar)
    try:
        yield market
    finally:
        market.close()


def take(market: MarketStore, data: Path, folder: Path) -> Manifest:
    """Take over a published dataset, whole."""
    manifest = unverified_manifest(PublishedFolder(data))
    at = manifest.calendar.session(manifest.last).close
    pull_data(PublishedFolder(data), market, manifest, manifest.last, folder / "incoming", at)
    return manifest


def fill(
    market: MarketStore, one: Recorded | Silent, manifest: Manifest, world: World, folder: Path, asof: date | None = None
) -> CompletionResult:
    return complete(market, one, manifest, world.calendar, asof or world.whole.last, DurableFs(), folder / "completed")


class Silent:
    """A vendor that does not answer."""

    def final(self, *_: object) -> list[date]:
        raise BrokerUnreachable("no answer")

    bars = actions = final  # type: ignore[assignment]


def rows_of(market: MarketStore, after: date) -> list[tuple[object, ...]]:
    return market.connection().execute(ROWS, [after]).fetchall()


class Dying(MarketStore):
    """Ends in the middle of a transaction, after as many whole ones as it is given, as if the plug had been pulled."""

    survives = 0

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with super().transaction() as connection:
            yield connection
            if self.survives == 0:
                raise KeyboardInterrupt
            self.survives -= 1


def spoilt_record(folder: Path, day: date, spoil: Callable[[tuple[ReportedBar, ...]], tuple[ReportedBar, ...]]) -> CompletedSession:
    """Replace the bars of a session's record; the store still names the one before."""
    (path,) = (folder / "completed").glob(f"{day}_told_*")
    told = VendorRecord.from_bytes(path.read_bytes())
    return store_record(DurableFs(), folder / "completed", replace(told, bars=spoil(told.bars)))


def scaled(row: ReportedBar, factors: dict[str, float]) -> ReportedBar:
    found = row._replace(**{name: getattr(row, name) * by for name, by in factors.items()})
    return found._replace(high=max(found.high, found.close))


def id_of(market: MarketStore, asof: date) -> str:
    found = market.snapshot(asof)
    assert found is not None
    return found.id


def actions_of(market: MarketStore, after: date, until: date) -> list[tuple[object, ...]]:
    return market.connection().execute(ACTIONS, [after, until]).fetchall()
