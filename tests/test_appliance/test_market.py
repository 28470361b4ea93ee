"""The market store: nothing after the clock, nothing written twice, the trainer's panel to the bit."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from appliance.bundles.pull import DataPull, pull_data
from appliance.market.store import MarketStore
from appliance.storage.published_sources import unverified_manifest
from appliance.storage.published_store import PublishedFolder
from signals.errors import BadDataset, DataNotUsable, Locked, StoreUnreachable
from signals.files import sha256_of, write_atomic
from signals.market.actions import Action
from signals.market.bars import unknown_returns
from signals.market.dataset import load_actions, load_bars, read_rows, read_table
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.market.sessions import SessionStatus, xnys
from tests.fakes.store import publish_data
from trainer.curation.generated.market import GeneratedMarket, generate
from trainer.curation.writer import parquet_bytes

END = date(2025, 6, 30)
PRICES = ("open", "high", "low", "close", "volume", "total_return", "overnight_return")
FIELDS = (*PRICES, "eligible", "sessions", "gap_return", "gap_overnight", "undecided")


@pytest.fixture(scope="module")
def delivered() -> GeneratedMarket:
    return generate(4, 40, 300, END)


@pytest.fixture(scope="module")
def data(delivered: GeneratedMarket, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "data"
    publish_data(folder, delivered)
    return folder


@pytest.fixture(scope="module")
def manifest(data: Path) -> Manifest:
    return unverified_manifest(PublishedFolder(data))


def pull(data: Path, market: MarketStore, through: date, tmp_path: Path) -> DataPull:
    manifest = unverified_manifest(PublishedFolder(data))
    at = manifest.calendar.session(through).close
    return pull_data(PublishedFolder(data), market, manifest, through, tmp_path / "incoming", at)


@pytest.fixture
def market(manifest: Manifest, tmp_path: Path) -> MarketStore:
    return MarketStore(tmp_path / "market.duckdb", manifest.calendar)


def dump(tmp_path: Path) -> list[tuple[object, ...]]:
    store = duckdb.connect(str(tmp_path / "market.duckdb"), read_only=True)
    rows = store.execute("SELECT * FROM bars ORDER BY session, security").fetchall()
    store.close()
    return rows


def same(market: MarketStore, data: Path, manifest: Manifest, asof: date, sessions: int) -> None:
    first = manifest.calendar.offset(asof, -(sessions - 1))
    theirs, ours = load_bars(data, manifest, first, asof), market.bars(asof, sessions)
    assert (ours.symbols, ours.sectors, ours.has_dollars) == (theirs.symbols, theirs.sectors, theirs.has_dollars)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


@pytest.mark.parametrize("back", [0, 1, 17, 40])
@pytest.mark.parametrize("sessions", [1, 21, 252])
def test_a_panel_is_the_trainer_s_to_the_bit(
    market: MarketStore, data: Path, manifest: Manifest, tmp_path: Path, back: int, sessions: int
) -> None:
    """Symbol changes, delistings, gaps and all: the generated market has every one of them."""
    asof = manifest.calendar.offset(manifest.last, -back)
    pull(data, market, manifest.last, tmp_path)
    same(market, data, manifest, asof, sessions)


def from_before_gaps(folder: Path, published: Manifest) -> Manifest:
    """The dataset in `folder` as it was before returns across gaps: its bars files without those columns."""
    records = []
    for record in published.files:
        if record.role is FileRole.BARS:
            table = read_table(folder, record)
            content = parquet_bytes(table.drop_columns(["gap_return", "gap_overnight", "undecided"]))
            digest = sha256_of(content)
            record = replace(record, path=f"bars/{digest[:12]}.parquet", sha256=digest, size=len(content))
            write_atomic(folder / record.path, content)
        records.append(record)
    older = replace(published, files=tuple(records), version=published.version + 1)
    for name in ("manifest.json", f"manifests/{older.version}.json"):
        write_atomic(folder / name, older.to_bytes())
    return older


def test_a_dataset_and_a_store_from_before_returns_across_gaps_are_read_and_none_are_made_up(
    delivered: GeneratedMarket, tmp_path: Path
) -> None:
    """A store of 13 columns takes over files of 13 columns and gives the trainer's panel; the next version fills it."""
    folder, path = tmp_path / "data", tmp_path / "market.duckdb"
    full = publish_data(folder, delivered)
    older = from_before_gaps(folder, full)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE bars (session DATE, symbol VARCHAR, security VARCHAR, open DOUBLE, high DOUBLE, low DOUBLE,"
            " close DOUBLE, volume DOUBLE, total_return DOUBLE, overnight_return DOUBLE, eligible BOOLEAN,"
            " kind VARCHAR, sector VARCHAR)"
        )
    market = MarketStore(path, older.calendar)
    pull(folder, market, older.last, tmp_path)
    same(market, folder, older, older.last, 252)
    panel = market.bars(older.last, 252)
    assert np.isnan(panel.gap_return).all() and unknown_returns(panel) > 0
    newer = replace(full, version=older.version + 1)
    for name in ("manifest.json", f"manifests/{newer.version}.json"):
        write_atomic(folder / name, newer.to_bytes())
    pull(folder, market, newer.last, tmp_path)
    same(market, folder, newer, newer.last, 252)
    assert np.isfinite(market.bars(newer.last, 252).gap_return).any()


def test_a_panel_of_total_return_prices_has_no_dollars_on_either_host(
    market: MarketStore, data: Path, manifest: Manifest, tmp_path: Path
) -> None:
    pull(data, market, manifest.last, tmp_path)
    assert market.bars(manifest.last, 5).has_dollars
    market.connection().execute("UPDATE snapshot SET basis = 'total_return'")
    assert not market.bars(manifest.last, 5).has_dollars
    rows = read_rows(data, replace(manifest, basis=PriceBasis.TOTAL_RETURN), manifest.last, manifest.last)
    assert not rows.panel(manifest.last, manifest.last).has_dollars


def test_a_symbol_that_two_securities_bore_one_after_the_other_belongs_to_the_newest(tmp_path: Path) -> None:
    """Three rows of X, first of one security, then of another: both readers name the older one by its last day."""
    days = xnys(date(2025, 6, 2), date(2025, 6, 30)).days[:3]
    names = ["X", "X", "X"]
    owners = ["one", "two", "two"]
    market = MarketStore(tmp_path / "market.duckdb", xnys(days[0], date(2025, 6, 30)))
    store = market._open()
    for day, symbol, owner in zip(days, names, owners, strict=True):
        store.execute(
            "INSERT INTO bars VALUES (?, ?, ?, 1, 1, 1, 1, 1, NULL, NULL, true, 'stock', '', NULL, NULL, false, NULL, NULL)",
            [day, symbol, owner],
        )
    assert market.bars(days[-1], 3).symbols == ("X", f"X@{days[0]}")
    assert market.bars(days[0], 1).symbols == ("X",)


def test_nothing_after_the_clock_is_stored(market: MarketStore, data: Path, manifest: Manifest, tmp_path: Path) -> None:
    through = manifest.calendar.offset(manifest.last, -30)
    pull(data, market, through, tmp_path)
    assert market.newest(manifest.last) == through
    assert market.audit(manifest.calendar.next(through)) is None
    everything = [a for a in load_actions(data, manifest) if a.known_at > through]
    assert everything
    for action in everything:
        assert action not in market.actions(action.effective, manifest.last)
    with pytest.raises(DataNotUsable):
        MarketStore(tmp_path / "empty.duckdb", manifest.calendar).bars(through, 5)


def test_session_by_session_is_the_same_store_as_all_at_once(market: MarketStore, data: Path, manifest: Manifest, tmp_path: Path) -> None:
    days = manifest.calendar.between(manifest.calendar.offset(manifest.last, -12), manifest.last)
    pull(data, market, days[0], tmp_path)
    assert [pull(data, market, day, tmp_path).changed_sessions for day in days[1:]] == [1] * (len(days) - 1)
    market.close()
    stepwise = dump(tmp_path)
    other = tmp_path / "other"
    whole = MarketStore(other / "market.duckdb", manifest.calendar)
    pull(data, whole, days[-1], other)
    whole.close()
    assert dump(other) == stepwise


def test_pulling_again_changes_nothing_and_transfers_nothing(market: MarketStore, data: Path, manifest: Manifest, tmp_path: Path) -> None:
    pull(data, market, manifest.last, tmp_path)
    before = market.snapshot()
    again = pull(data, market, manifest.last, tmp_path)
    assert (again.files, again.changed_sessions) == (0, 0)
    assert market.snapshot() == before
    assert not (tmp_path / "incoming").exists()


def test_a_restated_session_is_replaced_and_the_others_are_left_alone(delivered: GeneratedMarket, tmp_path: Path) -> None:
    """A new version of the dataset with one corrected bar: one session is written again."""
    folder = tmp_path / "data"
    old = publish_data(folder, delivered)
    market = MarketStore(tmp_path / "market.duckdb", old.calendar)
    pull(folder, market, old.last, tmp_path)
    day = old.calendar.offset(old.last, -20)
    table = delivered.bars
    of_day = pc.equal(table.column("date"), pa.scalar(day))
    hit = pc.and_(of_day, pc.equal(table.column("symbol"), pa.scalar(symbol_of(delivered, day))))
    volume = pc.if_else(hit, pc.add(table.column("volume"), 1000), table.column("volume"))
    at = table.schema.get_field_index("volume")
    fresh = publish_data(folder, replace(delivered, bars=table.set_column(at, "volume", volume)))
    assert fresh.version == 2
    done = pull(folder, market, fresh.last, tmp_path)
    assert done.changed_sessions == 1
    same(market, folder, fresh, fresh.last, 60)


def symbol_of(delivered: GeneratedMarket, day: date) -> str:
    rows = delivered.bars.filter(pc.equal(delivered.bars.column("date"), pa.scalar(day)))
    name: str = rows.column("symbol")[3].as_py()
    return name


def test_red_sessions_stay_in_the_panel_as_rows_without_bars(delivered: GeneratedMarket, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    old = publish_data(folder, delivered)
    red = old.calendar.offset(old.last, -3)
    audits = tuple(replace(a, status=SessionStatus.RED) if a.session == red else a for a in old.audits)
    spoiled = replace(old, audits=audits, version=2)
    for name in ("manifest.json", "manifests/2.json"):
        write_atomic(folder / name, spoiled.to_bytes())
    market = MarketStore(tmp_path / "market.duckdb", old.calendar)
    pull(folder, market, old.last, tmp_path)
    same(market, folder, spoiled, old.last, 10)
    panel = market.bars(old.last, 10)
    assert np.isnan(panel.close[panel.index(red)]).all() and not panel.eligible[panel.index(red)].any()


def test_a_changed_file_is_refused_and_the_store_stays_as_it_was(delivered: GeneratedMarket, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    manifest = publish_data(folder, delivered)
    market = MarketStore(tmp_path / "market.duckdb", manifest.calendar)
    through = manifest.calendar.offset(manifest.last, -5)
    pull(folder, market, through, tmp_path)
    before = market.snapshot()
    newest = sorted((folder / "bars").iterdir())[-1]
    newest.write_bytes(newest.read_bytes() + b"x")
    with pytest.raises(BadDataset, match="not what the manifest vouches for"):
        pull(folder, market, manifest.last, tmp_path)
    assert market.snapshot() == before and market.newest(manifest.last) == through


def test_a_store_that_cannot_be_read_is_tried_again_later(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match=r"manifest\.json"):
        unverified_manifest(PublishedFolder(tmp_path / "nowhere"))


def test_one_process_at_a_time(market: MarketStore, data: Path, manifest: Manifest, tmp_path: Path) -> None:
    import subprocess
    import sys

    pull(data, market, manifest.last, tmp_path)
    program = (
        "import sys, datetime; from pathlib import Path; from appliance.market.store import MarketStore\n"
        "from tests.fakes.bundles import weekdays; from signals.errors import Locked\n"
        "try:\n    MarketStore(Path(sys.argv[1]), weekdays()).snapshot()\nexcept Locked:\n    sys.exit(5)\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "market.duckdb")], cwd=root, check=False)
    assert done.returncode == Locked("").exit_code


def test_a_corrupt_store_says_that_it_can_be_rebuilt(manifest: Manifest, tmp_path: Path) -> None:
    """F43."""
    (tmp_path / "market.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(DataNotUsable, match="will be rebuilt"):
        MarketStore(tmp_path / "market.duckdb", manifest.calendar).snapshot()


def test_closes_and_volumes_are_those_of_the_bars(market: MarketStore, data: Path, manifest: Manifest, tmp_path: Path) -> None:
    pull(data, market, manifest.last, tmp_path)
    bars = load_bars(data, manifest, manifest.calendar.offset(manifest.last, -19), manifest.last)
    expected = {s: c for s, c in zip(bars.symbols, bars.close[-1], strict=True) if np.isfinite(c)}
    assert {s: float(c) for s, c in market.closes(manifest.last).items()} == expected
    volumes = market.dollar_volumes(manifest.last, 20)
    for symbol in list(expected)[:5]:
        column = bars.column(symbol)
        dollars = np.nanmean(bars.close[:, column] * bars.volume[:, column])
        assert float(volumes[symbol]) == pytest.approx(dollars, rel=1e-12)


def test_actions_keep_their_figures_to_the_digit(market: MarketStore, data: Path, manifest: Manifest, tmp_path: Path) -> None:
    pull(data, market, manifest.last, tmp_path)
    wanted: list[Action] = [a for a in load_actions(data, manifest) if a.known_at <= manifest.last]
    found = [a for day in sorted({a.effective for a in wanted}) for a in market.actions(day, manifest.last)]
    assert sorted(found, key=lambda a: (a.effective, a.symbol, a.kind)) == wanted
    assert any(a.cash not in (None, Decimal(0)) for a in found)
