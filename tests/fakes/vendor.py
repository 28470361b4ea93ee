"""A vendor's whole delivery, what was published of it on some day, and a source that tells the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from execution.brokers.market_data import AlpacaData, Keys
from execution.brokers.reported import ReportedAction, ReportedBar
from execution.exchange.api.exchange import Exchange
from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.doors.inprocess import InProcessAdapter
from execution.exchange.market.market import MarketData as ServedMarket
from signals.market.eligibility_rule import EligibilityConfig
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import Calendar
from trainer.curation.config import CurationConfig
from trainer.curation.generated import generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping

END, SYMBOLS, SESSIONS, NEW = date(2025, 6, 30), 40, 510, 30


# So that names enter and leave within the sessions that a device completes.
DEMANDING = EligibilityConfig(min_price=45, exit_price=44, min_dollar_volume=30_000_000, exit_dollar_volume=29_000_000)


@dataclass(frozen=True)
class World:
    """A whole vendor's delivery with a rename, a delisting and a split near its end, and what was known before that."""

    root: Path
    bars: pa.Table
    actions: pa.Table
    whole: Manifest
    base: Manifest
    known: date  # last session of the base

    @property
    def calendar(self) -> Calendar:
        return self.whole.calendar


def curated(folder: Path, bars: pa.Table, actions: pa.Table) -> Manifest:
    folder.mkdir(parents=True)
    pq.write_table(bars, folder / "bars.parquet")
    pq.write_table(actions, folder / "actions.parquet")
    return ingest(
        DeliveryFiles(folder / "bars.parquet", folder / "actions.parquet"),
        folder / "data",
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig(eligibility=DEMANDING), name="market"),
    )


def until(table: pa.Table, column: str, day: date) -> pa.Table:
    return table.filter(pc.less_equal(pc.cast(table[column], pa.date32()), pa.scalar(day)))


def build(root: Path) -> World:
    """GIGL splits on 2025-06-09; the first name is renamed on 06-16, the second delisted on 06-23."""
    bars_path, actions_path = generate(10, SYMBOLS, SESSIONS, END).write(root / "vendor")
    bars, actions = pq.read_table(bars_path), pq.read_table(actions_path)
    day = pc.cast(bars["date"], pa.date32())
    stocks = sorted(set(bars.filter(pc.equal(day, pa.scalar(END)))["symbol"].to_pylist()) - {"GIGL"})
    first, second = stocks[0], stocks[1]
    later = pc.and_(pc.equal(bars["symbol"], first), pc.greater_equal(day, pa.scalar(date(2025, 6, 16))))
    bars = bars.set_column(bars.schema.get_field_index("symbol"), "symbol", pc.if_else(later, "FRESH", bars["symbol"]))
    gone = pc.and_(pc.equal(bars["symbol"], second), pc.greater_equal(day, pa.scalar(date(2025, 6, 23))))
    bars = bars.filter(pc.invert(gone))
    rows = [row for row in actions.to_pylist() if not (row["symbol"] == second and row["effective"] > date(2025, 6, 20))]
    blank = dict.fromkeys(actions.column_names)
    rows += [
        {**blank, "kind": "symbol_change", "symbol": first, "effective": date(2025, 6, 16), "new_symbol": "FRESH"},
        {**blank, "kind": "delisting", "symbol": second, "effective": date(2025, 6, 23), "cash": 12.5},
    ]
    for row in rows:
        row["symbol"] = "FRESH" if row["symbol"] == first and row["effective"] > date(2025, 6, 16) else row["symbol"]
        if "known_at" in row:
            row["known_at"] = None  # the session before: what a daily vendor tells
    actions = pa.Table.from_pylist(rows, schema=actions.schema)
    whole = curated(root / "whole", bars, actions)
    known = whole.calendar.offset(whole.last, -NEW)
    after = whole.calendar.next(known)
    base = curated(root / "base", until(bars, "date", known), until(actions, "effective", after))
    return World(root, bars, actions, whole, base, known)


def curated_as_told(world: World, told: Sequence[ReportedBar], last: date, folder: Path, *, known: date | None = None) -> Manifest:
    """What the trainer makes of the base and of what a source told up to `last`.

    Of the corporate actions it has those effective up to the session after `known`, by default `last`.
    """
    told = [row for row in told if row.day <= last]
    rows = {name: [getattr(row, name) for row in told] for name in ("symbol", *ReportedBar._fields[2:])}
    base = until(world.bars, "date", world.known)
    kinds = {row["symbol"]: (row["kind"], row["sector"]) for row in base.select(["symbol", "kind", "sector"]).to_pylist()}
    first = next(row["symbol"] for row in world.actions.to_pylist() if row["new_symbol"] == "FRESH")
    kinds["FRESH"] = kinds[first]
    extra = (
        pa.table(
            {
                **rows,
                "date": pa.array([row.day for row in told], pa.date32()).cast(base.schema.field("date").type),
                "kind": [kinds[name][0] for name in rows["symbol"]],
                "sector": [kinds[name][1] for name in rows["symbol"]],
            }
        )
        .select(base.column_names)
        .cast(base.schema)
    )
    actions = until(world.actions, "effective", world.calendar.next(known or last))
    return curated(folder, pa.concat_tables([base, extra]), actions)


@dataclass
class Evening:
    """A clock that a test sets and that never waits."""

    at: datetime
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return sum(self.waits)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@dataclass
class Recorded:
    """A source that keeps what it told, and spoils it on request."""

    inner: AlpacaData
    spoil: Callable[[list[ReportedBar]], list[ReportedBar]] = lambda rows: rows
    told: list[ReportedBar] = field(default_factory=list)

    def final(self, first: date, last: date, calendar: Calendar) -> list[date]:
        return self.inner.final(first, last, calendar)

    def bars(self, symbols: Sequence[str], first: date, last: date, calendar: Calendar) -> list[ReportedBar]:
        rows = self.spoil(self.inner.bars(symbols, first, last, calendar))
        self.told += rows
        return rows

    def actions(self, symbols: Sequence[str], first: date, last: date) -> tuple[list[ReportedAction], list[str]]:
        return self.inner.actions(symbols, first, last)


def serving(world: World) -> Exchange:
    """An exchange that knows the whole delivery, an hour after its last close."""
    market = ServedMarket.from_dataset(world.root / "whole" / "data")
    return Exchange(market, ExchangeVirtualClock(world.calendar.session(world.whole.last).close + timedelta(hours=1)))


def source(served: Exchange, at: datetime) -> Recorded:
    return Recorded(AlpacaData("http://127.0.0.1", Keys("k", "s"), Evening(at), adapter=InProcessAdapter(served)))


def evening(world: World, day: date) -> datetime:
    return world.calendar.session(day).close + timedelta(minutes=16)
