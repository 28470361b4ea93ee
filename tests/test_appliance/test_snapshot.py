"""Sessions that the device completed itself: a newer dataset keeps them, whatever interrupts, spoils or contradicts it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest

from appliance.bundles.pull import is_current
from appliance.market import publication_differences
from appliance.market.bar_columns import columns_in
from appliance.market.vendor_record import read_record
from appliance.market.vendor_sessions import CompletionResult
from execution.exchange.api.exchange import Exchange
from signals.errors import BrokerUnreachable, DataNotUsable, StoreUnreachable
from signals.market.dataset import read_manifest
from signals.market.sessions import SessionStatus
from tests.fakes import bundles
from tests.fakes import exchange as fake
from tests.fakes.completing import Dying, Month, Silent, actions_of, completed, fill, id_of, opened, rows_of, scaled, spoilt_record, take
from tests.fakes.device import Workbench
from tests.fakes.store import publish_bundle, publish_version, recipe, sign_data
from tests.fakes.vendor import NEW, World, build, curated_as_told, evening, serving, source

SPLIT, RENAME, DELISTING = date(2025, 6, 9), date(2025, 6, 16), date(2025, 6, 23)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def served(world: World) -> Exchange:
    return serving(world)


@pytest.fixture(scope="module")
def month(world: World, served: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Month:
    return completed(world, served, tmp_path_factory.mktemp("month") / "device", NEW)


@pytest.fixture(scope="module")
def evenings(world: World, served: Exchange, tmp_path_factory: pytest.TempPathFactory) -> Month:
    """The same month, an evening at a time."""
    return completed(world, served, tmp_path_factory.mktemp("evenings") / "device", 1)


# -- the id -----------------------------------------------------------------------------------------------------


def test_a_published_dataset_alone_is_known_by_its_manifest(world: World, month: Month, tmp_path: Path) -> None:
    """Up to its last session, too, where the device has completed later ones."""
    digest = hashlib.sha256((world.root / "base" / "data" / "manifest.json").read_bytes()).hexdigest()
    with opened(world, month.copied(tmp_path / "device")) as market:
        assert id_of(market, world.known) == digest != id_of(market, world.calendar.next(world.known))


def test_anybody_can_compute_the_id_from_the_files_and_the_files_from_what_was_told(world: World, month: Month, tmp_path: Path) -> None:
    """hashlib and json over the files give the id at each asof; DuckDB finds in the bars the rows of the files."""
    folder = month.copied(tmp_path / "device")
    manifest = hashlib.sha256((world.root / "base" / "data" / "manifest.json").read_bytes()).hexdigest()
    days = world.calendar.between(world.calendar.next(world.known), world.whole.last)
    parts, told = [], []
    with opened(world, folder) as market:
        for day in days:
            (path,) = (folder / "completed").glob(f"{day}_told_*.json")
            parts.append({"session": str(day), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
            text = {"format": 1, "manifest": manifest, "completed": parts}
            content = json.dumps(text, sort_keys=True, separators=(",", ":")).encode()
            assert id_of(market, day) == hashlib.sha256(content).hexdigest()
            told += [(day, *row) for row in json.loads(path.read_bytes())["bars"]]
    assert sorted(told) == sorted(tuple(row) for row in month.told)
    store = duckdb.connect(str(folder / "market.duckdb"), read_only=True)
    held = "SELECT session, symbol, open, high, low, close, volume FROM bars WHERE session > ? ORDER BY ALL"
    assert store.execute(held, [world.known]).fetchall() == sorted(told)
    store.close()


def test_bars_that_nothing_vouches_for_are_not_decided_on_and_are_asked_for_again(
    world: World, month: Month, served: Exchange, tmp_path: Path
) -> None:
    """As a store of an earlier version holds them: no record says what they were made of."""
    folder = month.copied(tmp_path / "device")
    bare = world.calendar.offset(world.whole.last, -1)
    with opened(world, folder) as market:
        whole = rows_of(market, world.known)
        market.connection().execute("DELETE FROM completed WHERE session = ?", [bare])
        assert id_of(market, world.calendar.previous(bare))
        with pytest.raises(DataNotUsable, match=str(bare)):
            market.snapshot(bare)
        one = source(served, evening(world, world.whole.last))
        assert fill(market, one, world.base, world, folder).sessions == (bare, world.whole.last)
        assert rows_of(market, world.known) == whole and id_of(market, bare)


def test_a_store_of_the_version_before_is_read_and_brought_up_to_date(world: World, month: Month, served: Exchange, tmp_path: Path) -> None:
    """It has neither of the tables, so nothing vouches for any session; yet its dataset is known, a newer one taken.

    A pull asks what is published before it asks for sessions again: it must get that far.
    """
    folder, last = month.copied(tmp_path / "device"), world.calendar.offset(world.whole.last, -2)
    with opened(world, folder) as market:
        whole = rows_of(market, world.known)
        market.connection().execute("DROP TABLE completed; DROP TABLE differences")
    shutil.copytree(folder, tmp_path / "other")
    with opened(world, folder) as market:
        assert is_current(market, world.base, world.known)
        one = source(served, evening(world, world.whole.last))
        assert len(fill(market, one, world.base, world, folder).sessions) == NEW
        assert rows_of(market, world.known) == whole and id_of(market, world.whole.last)
    curated_as_told(world, month.told, last, tmp_path / "newer")
    with opened(world, tmp_path / "other") as market:
        manifest = take(market, tmp_path / "newer" / "data", tmp_path / "other")
        one = source(served, evening(world, world.whole.last))
        assert len(fill(market, one, manifest, world, tmp_path / "other").sessions) == 2
        assert rows_of(market, world.known) == whole and id_of(market, world.whole.last)


# -- a newer dataset --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("way", "event"), [("month", SPLIT), ("evenings", SPLIT), ("evenings", RENAME), ("evenings", DELISTING)])
def test_a_newer_dataset_keeps_the_sessions_after_its_last_one_without_asking_anybody(
    world: World, request: pytest.FixtureRequest, tmp_path: Path, event: date, way: str
) -> None:
    """Published to the eve of a split, a rename or a delisting, of which its publisher does not know yet.

    Alpaca is away. The sessions after it are, to the bit, what they were, and what the trainer makes of them.
    """
    month: Month = request.getfixturevalue(way)
    folder, eve = month.copied(tmp_path / "device"), world.calendar.previous(event)
    curated_as_told(world, month.told, eve, tmp_path / "newer", known=world.calendar.previous(eve))
    with opened(world, folder) as market:
        before, acts = rows_of(market, world.known), actions_of(market, eve, world.whole.last)
        audits = [market.audit(day) for day in world.calendar.between(event, world.whole.last)]
        old = market.snapshot()
        manifest = take(market, tmp_path / "newer" / "data", folder)
        done = fill(market, Silent(), manifest, world, folder)
        assert done == CompletionResult(derived=world.calendar.between(event, world.whole.last))
        assert rows_of(market, world.known) == before
        assert [market.audit(day) for day in done.derived] == audits
        assert actions_of(market, eve, world.whole.last) == acts and any(str(event) in str(act[2]) for act in acts)
        new = market.snapshot()
        assert old is not None and new is not None and new.manifest_id == manifest.snapshot_id
        assert new.completed == old.completed[-len(done.derived) :]  # the same records, over another manifest
        assert publication_differences.differences(market.connection()) == ()


def test_a_dataset_that_says_otherwise_is_believed_and_what_follows_is_derived_anew(
    world: World, month: Month, served: Exchange, tmp_path: Path
) -> None:
    """One close of the dataset's last session and one volume of the session before differ from what the device had.

    Both are noted by name; the first session of the device's own then has the return from the published close.
    """
    folder, last = month.copied(tmp_path / "device"), world.calendar.offset(world.whole.last, -3)
    changed = {(last, "FRESH"): {"close": 1.01}, (world.calendar.previous(last), "GIGL"): {"volume": 2.0}}
    other = [scaled(row, changed.get((row.day, row.symbol), {})) for row in month.told]
    curated_as_told(world, other, last, tmp_path / "newer")
    with opened(world, folder) as market:
        before = rows_of(market, last)
        manifest = take(market, tmp_path / "newer" / "data", folder)
        noted = publication_differences.differences(market.connection())
        assert {one.session: one.symbols for one in noted} == {day: (symbol,) for day, symbol in changed}
        assert noted[1].sentence() == f"{last}: 1 names (FRESH)"
        done = fill(market, Silent(), manifest, world, folder)
        assert done.derived == world.calendar.between(world.calendar.next(last), world.whole.last)
        after = rows_of(market, last)
    both = [*(row for row in other if row.day <= last), *(row for row in month.told if row.day > last)]
    curated_as_told(world, both, world.whole.last, tmp_path / "theirs")
    reader, files = duckdb.connect(), tmp_path / "theirs" / "data" / "bars" / "*.parquet"
    select = f"SELECT {columns_in(reader, files)} FROM read_parquet('{files}') WHERE session > ? ORDER BY ALL"
    theirs = reader.execute(select, [last]).fetchall()
    assert after == theirs
    differing = [(a[0], a[1]) for a, b in zip(after, before, strict=True) if a != b]
    assert differing == [(world.calendar.next(last), "FRESH")]


def test_what_differs_stays_noted_until_it_is_told(world: World, month: Month, tmp_path: Path) -> None:
    """The process ends right after the take-over: whoever opens the store next still finds it."""
    folder, last = month.copied(tmp_path / "device"), world.calendar.offset(world.whole.last, -1)
    other = [scaled(row, {"volume": 1.5}) if row.symbol == "GIGL" and row.day == last else row for row in month.told]
    curated_as_told(world, other, last, tmp_path / "newer")
    with opened(world, folder) as market:
        take(market, tmp_path / "newer" / "data", folder)
    with opened(world, folder) as market:
        assert [one.session for one in publication_differences.differences(market.connection())] == [last]
        publication_differences.drop_differences(market.connection())
    with opened(world, folder) as market:
        assert publication_differences.differences(market.connection()) == ()


# -- killed, spoilt, refused ------------------------------------------------------------------------------------


def test_a_take_over_that_is_cut_off_anywhere_goes_on_where_it_was(world: World, month: Month, tmp_path: Path) -> None:
    """After the published rows, and in the midst of each session derived again: nobody is asked, the rows are equal."""
    folder, last = month.copied(tmp_path / "device"), world.calendar.offset(world.whole.last, -3)
    curated_as_told(world, month.told, last, tmp_path / "newer")
    with opened(world, folder) as market:
        before = rows_of(market, world.known)
        manifest = take(market, tmp_path / "newer" / "data", folder)
        assert id_of(market, world.whole.last) == manifest.snapshot_id  # nothing is shown that is not there
    for survives, newest in ((0, last), (1, world.calendar.offset(last, 1)), (1, world.calendar.offset(last, 2))):
        dying = Dying(folder / "market.duckdb", world.calendar)
        dying.survives = survives
        with pytest.raises(KeyboardInterrupt):
            fill(dying, Silent(), manifest, world, folder)
        dying.close()
        with opened(world, folder) as market:
            assert market.newest(world.whole.last) == newest and market.snapshot() is not None
    with opened(world, folder) as market:
        assert fill(market, Silent(), manifest, world, folder).derived == (world.whole.last,)
        assert rows_of(market, world.known) == before


def test_a_record_on_disk_without_its_session_is_nothing(world: World, served: Exchange, tmp_path: Path) -> None:
    """The plug is pulled between the record and the store's transaction: the vendor is asked as if nothing had been."""
    folder, asof = tmp_path / "device", world.calendar.next(world.known)
    with opened(world, folder) as market:
        take(market, world.root / "base" / "data", folder)
    dying = Dying(folder / "market.duckdb", world.calendar)
    with pytest.raises(KeyboardInterrupt):
        fill(dying, source(served, evening(world, asof)), world.base, world, folder, asof)
    dying.close()
    assert len(list((folder / "completed").glob("*_told_*"))) == 1
    with opened(world, folder) as market:
        assert id_of(market, asof) == world.base.snapshot_id
        assert fill(market, source(served, evening(world, asof)), world.base, world, folder, asof).sessions == (asof,)
        assert len(list((folder / "completed").glob("*_told_*"))) == 1


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"{}")])
def test_a_session_whose_record_is_gone_is_asked_for_again_with_all_after_it(
    world: World, month: Month, served: Exchange, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    folder, last = month.copied(tmp_path / "device"), world.calendar.offset(world.whole.last, -3)
    kept, gone, after = world.calendar.between(world.calendar.next(last), world.whole.last)
    curated_as_told(world, month.told, last, tmp_path / "newer")
    (record,) = (folder / "completed").glob(f"{gone}_told_*")
    spoil(record)
    with opened(world, folder) as market:
        before = rows_of(market, last)
        manifest = take(market, tmp_path / "newer" / "data", folder)
        with pytest.raises(BrokerUnreachable):
            fill(market, Silent(), manifest, world, folder)
        assert market.newest(world.whole.last) == kept  # nothing is traded at `after`
        one = source(served, evening(world, world.whole.last))
        done = fill(market, one, manifest, world, folder)
        assert (done.derived, done.sessions) == ((), (gone, after)) and {row.day for row in one.told} == {gone, after}
        assert rows_of(market, last) == before


def test_what_the_vendor_was_asked_for_again_is_never_taken_from_the_older_record(
    world: World, month: Month, served: Exchange, tmp_path: Path
) -> None:
    """The record before the evening's is gone, both are asked for, and the evening's answer is RED now: it stays so."""
    folder, asof = month.copied(tmp_path / "device"), world.whole.last
    gone, last = world.calendar.offset(asof, -1), world.calendar.offset(asof, -2)
    curated_as_told(world, month.told, last, tmp_path / "newer")
    next((folder / "completed").glob(f"{gone}_told_*")).unlink()
    one = source(served, evening(world, asof))
    one.spoil = lambda rows: [row for row in rows if row.day != asof or row.symbol < "GD"]
    with opened(world, folder) as market:
        manifest = take(market, tmp_path / "newer" / "data", folder)
        with pytest.raises(StoreUnreachable, match="RED"):
            fill(market, one, manifest, world, folder)
        with pytest.raises(BrokerUnreachable):
            fill(market, Silent(), manifest, world, folder)
        assert market.newest(asof) == gone


def test_a_session_that_is_worse_over_the_newer_dataset_is_asked_for_again(
    world: World, month: Month, served: Exchange, tmp_path: Path
) -> None:
    """The old dataset lacked a name of which the newer one expects a bar: the records hold none."""
    day = world.calendar.offset(world.whole.last, -2)
    folder, last = tmp_path / "device", world.calendar.previous(day)
    curated_as_told(world, month.told, last, tmp_path / "newer")
    ((missing,),) = duckdb.sql(
        f"SELECT min(symbol) FROM '{tmp_path}/newer/data/bars/*.parquet' WHERE session = '{last}' AND eligible AND symbol LIKE 'G%'"
    ).fetchall()  # a name that the rule lets in
    with opened(world, folder) as market:
        take(market, world.root / "base" / "data", folder)
        market.connection().execute("DELETE FROM bars WHERE symbol = ?", [missing])  # a dataset without it
        one = source(served, evening(world, world.whole.last))
        fill(market, one, world.base, world, folder)
        assert missing not in {row.symbol for row in one.told}
        manifest = take(market, tmp_path / "newer" / "data", folder)
        with pytest.raises(BrokerUnreachable):
            fill(market, Silent(), manifest, world, folder)
        assert market.newest(world.whole.last) == last
        two = source(served, evening(world, world.whole.last))
        done = fill(market, two, manifest, world, folder)
        assert done.derived == () and done.sessions[0] == day
        assert missing in {row[1] for row in rows_of(market, last)}


def test_a_row_that_the_audit_refused_stays_refused_and_stays_in_the_record(
    world: World, month: Month, served: Exchange, tmp_path: Path
) -> None:
    """A negative low of a name that nobody expects: AMBER before and after the newer dataset, and never a bar."""
    last, asof = world.calendar.offset(world.whole.last, -1), world.whole.last
    folder = tmp_path / "device"
    etf = next(row["symbol"] for row in world.bars.to_pylist() if row["kind"] == "etf")
    one = source(served, evening(world, asof))
    one.spoil = lambda rows: [r._replace(low=-1.0) if (r.day, r.symbol) == (asof, etf) else r for r in rows]
    with opened(world, folder) as market:
        take(market, world.root / "base" / "data", folder)
        assert fill(market, one, world.base, world, folder).quarantined == 1
        audit, snapshot = market.audit(asof), market.snapshot()
        assert snapshot is not None
        curated_as_told(world, month.told, last, tmp_path / "newer")
        manifest = take(market, tmp_path / "newer" / "data", folder)
        assert fill(market, Silent(), manifest, world, folder).derived == (asof,)
        assert market.audit(asof) == audit and audit is not None and audit.status is SessionStatus.AMBER
        assert (asof, etf) not in {(row[0], row[1]) for row in rows_of(market, last)}
    assert [bar.low for bar in read_record(folder / "completed", snapshot.completed[-1]).bars if bar.symbol == etf] == [-1.0]


def test_a_session_that_comes_out_red_over_the_newer_dataset_is_never_the_evening_s(world: World, month: Month, tmp_path: Path) -> None:
    """Two thirds of the bars of the record are of names that the newer dataset does not know: RED, asked for again."""
    folder, last = month.copied(tmp_path / "device"), world.calendar.offset(world.whole.last, -1)
    curated_as_told(world, month.told, last, tmp_path / "newer")
    part = spoilt_record(folder, world.whole.last, lambda bars: bars[: len(bars) // 3])
    with opened(world, folder) as market:
        market.connection().execute("UPDATE completed SET sha256 = ? WHERE session = ?", [part.sha256, world.whole.last])
        manifest = take(market, tmp_path / "newer" / "data", folder)
        with pytest.raises((BrokerUnreachable, StoreUnreachable)):
            fill(market, Silent(), manifest, world, folder)
        assert market.audit(world.whole.last) is None and market.newest(world.whole.last) == last


# -- by the command line ----------------------------------------------------------------------------------------


def test_an_order_leads_back_to_every_byte_that_it_was_decided_on(world: World, month: Month, served: Exchange, tmp_path: Path) -> None:
    """Ledger, trace, files and hashlib agree on one id. A newer dataset that disagrees is told once and with names;
    the order keeps its own id; a spoilt record is named."""
    store, bench = tmp_path / "store", Workbench(tmp_path / "state")
    shutil.copytree(world.root / "base" / "data", store / "data")
    sign_data(store / "data")
    publish_bundle(store, recipe(store / "data", world.base.last))
    (store / "root.pub").write_text(bundles.roots()[0].text)
    asof = world.calendar.previous(world.whole.last)
    session, following = str(world.whole.last), str(world.calendar.next(world.whole.last))
    with fake.serving(served) as url:
        options = ("--url", url, "--store", str(store), "--fixed-ic", "0.05", "--bars", "alpaca")
        assert bench("init", "--venue", "exchange", *options).code == 0
        for command in ("pull", "score", "reconcile", "plan"):
            done = bench(command, "--session", session)
            assert done.code == 0, (command, done.out, done.err)
        joined = "SELECT client_order_id, snapshot_id FROM intents JOIN plans USING (session) LIMIT 1"
        ((order, snapshot),) = bench.rows(joined)
        facts = _traced(bench, order)
        document = next((bench.state / "completed").glob(f"{asof}_snapshot_*.json")).read_bytes()
        assert facts["snapshot"] == [snapshot] == [hashlib.sha256(document).hexdigest()]
        assert facts["dataset"] == [world.base.snapshot_id] and len(facts["told"]) == NEW - 1
        assert facts["completed"][0].endswith("every record holds") and "not proven" not in facts
        assert "not the plan's" not in facts  # what the model read came from the same bytes

        eve = world.calendar.previous(asof)
        other = [scaled(r, {"volume": 3.0}) if (r.day, r.symbol) == (eve, "GIGL") else r for r in month.told]
        curated_as_told(world, other, eve, tmp_path / "newer")
        shutil.rmtree(store / "data")
        shutil.copytree(tmp_path / "newer" / "data", store / "data")
        publish_version(store / "data", replace(read_manifest(store / "data"), version=2))
        done = bench("pull", "--session", following, "--json")
        assert done.code == 0, (done.out, done.err)
        figures = done.json["figures"]
        assert figures["derived"] == [str(asof)] and figures["sessions"] == [str(world.whole.last)]
        assert "1 of this device's own derived again" in done.json["summary"]
        told = bench.rows("SELECT body FROM alerts WHERE title LIKE 'what was published differs%'")
        assert len(told) == 1 and f"{eve}: 1 names (GIGL)" in told[0][0]
    assert _traced(bench, order) == facts
    record = next((bench.state / "completed").glob(f"{eve}_told_*.json"))
    record.write_bytes(record.read_bytes().replace(b"GIGL", b"GIGX"))
    spoilt = _traced(bench, order)
    assert spoilt["not proven"] == [f"a record is not what was written ({record.name})"]
    assert "every record holds" not in spoilt["completed"][0]
    next((bench.state / "completed").glob(f"{asof}_snapshot_{snapshot[:12]}.json")).unlink()
    assert _traced(bench, order)["completed"] == [f"{NEW - 1} sessions, whose record is no longer kept"]


def _traced(bench: Workbench, order: str) -> dict[str, list[str]]:
    """Facts of data and features: those of the same name together."""
    found: dict[str, list[str]] = {}
    for row in bench("trace", order, "--json").json["rows"]:
        if row["section"] == "data" or row["fact"] == "not the plan's":
            found.setdefault(row["fact"], []).append(row["value"])
    return found
