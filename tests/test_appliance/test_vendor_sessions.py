"""Bars straight from a vendor: the trainer's rows to the bit, the same audit, and no session before it is usable."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pytest

from appliance.bundles.pull import is_current, pull_data
from appliance.config import StoresConfig
from appliance.market.store import MarketStore
from appliance.market.vendor_curation import StoredBars, curated
from appliance.market.vendor_sessions import CompletionResult, complete
from appliance.storage.published_sources import unverified_manifest
from appliance.storage.published_store import PublishedFolder
from appliance.system.state_folder import DurableFs
from execution.brokers.market_data import AlpacaData, Keys
from execution.brokers.reported import ReportedBar
from execution.exchange.api.exchange import Exchange
from execution.exchange.doors.inprocess import InProcessAdapter
from signals.config import parse
from signals.errors import BadConfig, BrokerUnreachable, StoreUnreachable
from signals.market.actions import ActionKind
from signals.market.bars import CLASSIFIED, days_array
from signals.market.dataset import load_actions, read_manifest
from signals.market.manifest import FileRole, PriceBasis
from signals.market.sessions import SessionStatus
from tests.fakes import bundles
from tests.fakes import exchange as fake
from tests.fakes.device import Workbench
from tests.fakes.store import publish_bundle, recipe, sign_data
from tests.fakes.vendor import NEW, Evening, World, build, curated_as_told, evening, serving, source

ROWS = """
SELECT session, symbol, security, open, high, low, close, volume, total_return, overnight_return, eligible, kind, sector
FROM {source} WHERE session > ? ORDER BY session, symbol
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture
def market(world: World, tmp_path: Path) -> Iterator[MarketStore]:
    found = MarketStore(tmp_path / "market.duckdb", world.calendar)
    store = PublishedFolder(world.root / "base" / "data")
    at = world.calendar.session(world.known).close
    pull_data(store, found, unverified_manifest(store), world.known, tmp_path / "incoming", at)
    yield found
    found.close()  # DuckDB gives whoever opens the same path meanwhile the same database, and names of folders come again


@pytest.fixture(scope="module")
def served(world: World) -> Exchange:
    return serving(world)


def stored(market: MarketStore, after: date) -> list[tuple[object, ...]]:
    return market.connection().execute(ROWS.format(source="bars"), [after]).fetchall()


def as_curated(folder: Path, after: date) -> list[tuple[object, ...]]:
    """The trainer's rows, read by DuckDB from the trainer's files."""
    source = f"read_parquet('{folder}/data/bars/*.parquet')"
    return duckdb.connect().execute(ROWS.format(source=source), [after]).fetchall()


@pytest.mark.parametrize("step", [NEW, 7, 1])
def test_what_the_device_stores_is_what_the_trainer_curates_from_the_same_rows(
    world: World, market: MarketStore, served: Exchange, tmp_path: Path, step: int
) -> None:
    """After a month off, after a week, and every evening: bars, returns, eligibility, audits and actions to the bit."""
    days = world.calendar.between(world.calendar.next(world.known), world.whole.last)
    told = []
    for asof in days[step - 1 :: step]:
        one = source(served, evening(world, asof))
        done = complete(market, one, world.base, world.calendar, asof, DurableFs(), tmp_path)
        assert done.sessions[-1] == asof and not done.unsupported
        told += one.told
    last = done.sessions[-1]
    theirs = curated_as_told(world, told, last, tmp_path / "theirs")
    ours = stored(market, world.known)
    assert ours == as_curated(tmp_path / "theirs", world.known) and len(ours) > 30 * NEW
    crossing = "SELECT count(*) FROM (SELECT security FROM bars WHERE session > ? GROUP BY security HAVING {})"
    both = market.connection().execute(crossing.format("count(DISTINCT eligible) = 2"), [world.known]).fetchall()
    assert both[0][0] > 2  # the rule of price and dollar volume decided within the sessions completed
    for day in days[: days.index(last) + 1]:
        assert market.audit(day) == theirs.status(day)
        known = [a for a in load_actions(tmp_path / "theirs" / "data", theirs) if a.effective == day]
        assert market.actions(day, last) == tuple(sorted(known, key=lambda a: (a.symbol, a.kind)))
    kinds_seen = {a.kind for day in days for a in market.actions(day, last)}
    assert kinds_seen == set(ActionKind) - {ActionKind.CONFIRMED}
    assert market.bars(last, 260).symbols  # the panel reads it like any other session


def test_doing_it_twice_changes_nothing(world: World, market: MarketStore, served: Exchange, tmp_path: Path) -> None:
    asof = world.calendar.next(world.known)
    one = source(served, evening(world, asof))
    assert complete(market, one, world.base, world.calendar, asof, DurableFs(), tmp_path).sessions == (asof,)
    before = stored(market, world.known)
    assert complete(market, one, world.base, world.calendar, asof, DurableFs(), tmp_path) == CompletionResult()
    assert stored(market, world.known) == before
    assert is_current(market, world.base, world.known)


def test_a_session_is_not_asked_for_before_16_minutes_after_its_close(
    world: World, market: MarketStore, served: Exchange, tmp_path: Path
) -> None:
    asof = world.calendar.next(world.known)
    early = source(served, evening(world, asof) - timedelta(seconds=1))
    with pytest.raises(StoreUnreachable, match="not final yet"):
        complete(market, early, world.base, world.calendar, asof, DurableFs(), tmp_path)
    assert early.told == [] and market.audit(asof) is None


def negative(rows: list[ReportedBar]) -> list[ReportedBar]:
    return [rows[0]._replace(low=-1.0), *rows[1:]]


def upside_down(rows: list[ReportedBar]) -> list[ReportedBar]:
    return [rows[0]._replace(high=rows[0].low / 2), *rows[1:]]


def twice_apart(rows: list[ReportedBar]) -> list[ReportedBar]:
    return [*rows, rows[0]._replace(close=rows[0].open)]


def one_gone(rows: list[ReportedBar]) -> list[ReportedBar]:
    return rows[1:]


def a_third_gone(rows: list[ReportedBar]) -> list[ReportedBar]:
    return rows[len(rows) // 3 :]


def nothing(rows: list[ReportedBar]) -> list[ReportedBar]:
    return []


def no_volume(rows: list[ReportedBar]) -> list[ReportedBar]:
    return [row._replace(volume=float("nan")) for row in rows]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (a_third_gone, "of expected names usable"),
        (nothing, "no usable bar"),
        (no_volume, "null_volume"),
        (negative, "of expected names usable"),
        (one_gone, "of expected names usable"),
    ],
)
def test_a_red_answer_is_asked_for_again_and_never_stored(
    world: World,
    market: MarketStore,
    served: Exchange,
    spoil: Callable[[list[ReportedBar]], list[ReportedBar]],
    reason: str,
    tmp_path: Path,
) -> None:
    """One of the few names that the rule lets in is more than 2 %; the next answer, being whole, is taken."""
    asof = world.calendar.next(world.known)
    one = source(served, evening(world, asof))
    ((expected,),) = market.connection().execute("SELECT min(symbol) FROM bars WHERE session = ? AND eligible", [world.known]).fetchall()
    one.spoil = lambda rows: spoil(sorted(rows, key=lambda row: row.symbol != expected))
    before = stored(market, date.min)
    with pytest.raises(StoreUnreachable, match="RED") as caught:
        complete(market, one, world.base, world.calendar, asof, DurableFs(), tmp_path)
    assert reason in caught.value.what
    assert stored(market, date.min) == before and market.audit(asof) is None
    one.spoil = lambda rows: rows
    assert complete(market, one, world.base, world.calendar, asof, DurableFs(), tmp_path).sessions == (asof,)


@pytest.mark.parametrize("spoil", [negative, upside_down, twice_apart])
def test_a_row_that_cannot_be_believed_is_counted_and_left_out(
    world: World, market: MarketStore, served: Exchange, spoil: Callable[[list[ReportedBar]], list[ReportedBar]], tmp_path: Path
) -> None:
    """Of a name that nobody expects, so that the session is AMBER and no worse."""
    asof = world.calendar.next(world.known)
    one = source(served, evening(world, asof))
    etf = next(row["symbol"] for row in world.bars.to_pylist() if row["kind"] == "etf")
    one.spoil = lambda rows: spoil(sorted(rows, key=lambda row: row.symbol != etf))
    done = complete(market, one, world.base, world.calendar, asof, DurableFs(), tmp_path)
    audit = market.audit(asof)
    assert audit is not None and audit.status is SessionStatus.AMBER
    assert done.quarantined == audit.quarantined == (2 if spoil is twice_apart else 1)
    assert etf not in {row[1] for row in stored(market, world.known)}


def test_names_that_nobody_asked_for_are_not_taken(world: World, market: MarketStore, served: Exchange, tmp_path: Path) -> None:
    asof = world.calendar.next(world.known)
    one = source(served, evening(world, asof))
    one.spoil = lambda rows: [*rows, rows[0]._replace(symbol="INTRUDER")]
    complete(market, one, world.base, world.calendar, asof, DurableFs(), tmp_path)
    assert "INTRUDER" not in {row[1] for row in stored(market, world.known)}


def test_a_newer_dataset_takes_the_place_of_what_the_vendor_told(
    world: World, market: MarketStore, served: Exchange, tmp_path: Path
) -> None:
    asof = world.calendar.offset(world.known, 2)
    complete(market, source(served, evening(world, asof)), world.base, world.calendar, asof, DurableFs(), tmp_path)
    store = PublishedFolder(world.root / "whole" / "data")
    pull_data(store, market, unverified_manifest(store), asof, tmp_path / "incoming", evening(world, asof))
    assert stored(market, date.min) == [row for row in as_curated(world.root / "whole", date.min) if row[0] <= asof]  # type: ignore[operator]


def test_bars_on_another_basis_are_not_continued(world: World, market: MarketStore, served: Exchange, tmp_path: Path) -> None:
    adjusted = replace(world.base, basis=PriceBasis.SPLIT_ADJUSTED)
    asof = world.calendar.next(world.known)
    with pytest.raises(BadConfig, match="do not continue split_adjusted"):
        complete(market, source(served, evening(world, asof)), adjusted, world.calendar, asof, DurableFs(), tmp_path)


def test_a_vendor_that_is_away_leaves_the_store_as_it_was(world: World, market: MarketStore, served: Exchange, tmp_path: Path) -> None:
    class Away(InProcessAdapter):
        def send(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
            raise ConnectionError("refused")

    asof = world.calendar.next(world.known)
    away = AlpacaData("http://127.0.0.1", Keys("k", "s"), Evening(evening(world, asof)), adapter=Away(served))
    before = stored(market, date.min)
    with pytest.raises(BrokerUnreachable):
        complete(market, away, world.base, world.calendar, asof, DurableFs(), tmp_path)
    assert stored(market, date.min) == before


def test_an_evening_by_the_command_line_asks_the_venue_s_market_data(world: World, served: Exchange, tmp_path: Path) -> None:
    """The published dataset ends a month ago; the exchange tells the rest, and its clock decides what may be asked."""
    store = tmp_path / "store"
    shutil.copytree(world.root / "base" / "data", store / "data")
    sign_data(store / "data")
    publish_bundle(store, recipe(store / "data", world.base.last))
    (store / "root.pub").write_text(bundles.roots()[0].text)
    bench, asof = Workbench(tmp_path / "state"), world.whole.last
    session = str(world.calendar.next(asof))
    with fake.serving(served) as url:
        command = ("init", "--venue", "exchange", "--url", url, "--store", str(store))
        assert bench(*command, "--bars", "alpaca").code == 0
        done = bench("pull", "--session", session, "--json")
        assert done.code == 0, done.err
        figures = done.json["figures"]
        assert figures["status"] != "RED" and figures["asof"] == str(asof)
        assert len(figures["sessions"]) == NEW and figures["files"] > 0
        scored = bench("score", "--session", session)
        assert scored.code == 0 and f"scored at {asof}" in scored.out
        shutil.rmtree(tmp_path / "state")
        assert bench(*command).code == 0
        assert bench("pull", "--session", session).code == 5  # published only: not there yet


def test_the_feed_of_one_venue_is_refused_for_features_by_the_settings() -> None:
    with pytest.raises(BadConfig, match="a few per cent of the volume"):
        parse({"data": "d", "bundles": "b", "alpaca": {"feed": "iex"}}, StoresConfig, where="config.yml")
    assert parse({"data": "d", "bundles": "b", "alpaca": {"feed": "sip"}}, StoresConfig, where="").alpaca.feed == "sip"


def test_the_base_is_raw_and_holds_every_kind_of_event(world: World) -> None:
    """What the other tests lean on."""
    recent = [
        a for a in load_actions(world.root / "whole" / "data", read_manifest(world.root / "whole" / "data")) if a.effective > world.known
    ]
    assert {a.kind for a in recent} == set(ActionKind) - {ActionKind.CONFIRMED}
    assert any(a.ratio not in (None, Decimal(1)) for a in recent)


def test_a_member_that_waited_at_the_last_published_session_is_one_again_when_its_level_has_held(world: World) -> None:
    """Two members at 45 USD more than double on the last held session but one. The one holds its level, the other falls back."""
    days = world.calendar.between(date(2025, 5, 1), date(2025, 6, 2))
    last, jump = 10, 9
    closes = {"A": [45.0] * jump + [110.0] * (len(days) - jump), "B": [45.0] * jump + [110.0, 110.0, *[70.0] * (len(days) - jump - 2)]}
    cells = [(name, at) for name in closes for at in range(last + 1)]
    price = np.array([closes[name][at] for name, at in cells])
    names, is_waiting = np.array([name for name, _ in cells], dtype=object), np.array([at >= jump for _, at in cells])
    rows = {
        "session": np.array([days[at] for _, at in cells], dtype="datetime64[D]"),
        **dict.fromkeys(("symbol", "security"), names),
        **dict.fromkeys(("open", "high", "low", "close"), price),
        "volume": np.arange(1e6, 1e6 + len(cells)),
        "eligible": ~is_waiting,
        "undecided": np.array([at == jump for _, at in cells]),
        "kind": np.full(len(cells), "stock", dtype=object),
        "sector": np.full(len(cells), "Energy", dtype=object),
        **dict.fromkeys(CLASSIFIED, np.full(len(cells), np.nan)),
    }
    held = StoredBars(rows, frozenset(), dict.fromkeys(closes, last + 1), dict.fromkeys(closes, days[0]), ())
    new = days[last + 1 :]
    told = [ReportedBar(day, name, *[closes[name][days.index(day)]] * 4, 2e6 + days.index(day)) for day in new for name in closes]
    [bars_file, *_] = world.base.of_role(FileRole.BARS)
    members = replace(world.base, files=(*world.base.files, replace(bars_file, role=FileRole.UNIVERSE, path="universe/x.parquet")))
    found = curated(held, told, (), new, days_array(days), members)
    eligible = {(day, name): is_it for day, name, is_it in zip(*found.columns[:2], found.columns[10], strict=True)}
    assert [eligible[day, "A"] for day in new] == [False] * 3 + [True] * (len(new) - 3)
    assert not any(eligible[day, "B"] for day in new)
