"""The whole line on a small market: from a published store to a reconciled blotter."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from appliance.bundles.pull import pull_data
from appliance.market.store import MarketStore
from appliance.schedule.timetable import JOBS
from appliance.storage.published_store import PublishedFolder
from appliance.system.clock import VirtualClock
from signals.market.dataset import load_bars
from signals.sleeves import SLEEVES
from tests.fakes.device import Workbench
from tests.fakes.store import END, SESSIONS, SYMBOLS, Published, publish_data, publish_store
from trainer.curation.generated.market import GeneratedMarket, generate

Make = Callable[..., Workbench]
PRICES = ("open", "high", "low", "close", "volume", "total_return", "overnight_return")


def armed(make: Make, store: Published, day: date, name: str = "device") -> Workbench:
    bench = make(store, name)
    assert bench("arm", "--session", str(day), "--yes").code == 0
    return bench


def test_a_fresh_device_is_halted_and_says_that_nothing_is_wrong(make: Make, published: Published) -> None:
    bench = make(published)
    done = bench("status", "--json")
    assert done.code == 2
    assert done.json["verdict"] == "halted"
    assert "nothing is wrong; no orders are sent until you arm it" in done.json["latch"]


def test_one_session_ends_in_a_blotter_that_the_exchange_agrees_with(make: Make, published: Published) -> None:
    day = published.sessions(1)[0]
    bench = armed(make, published, day)
    old = bench.state / "reports" / "equity.png"
    old.parent.mkdir(exist_ok=True)
    old.write_bytes(b"as an earlier release drew it")
    done = bench("run-day", "--session", str(day), "--json")
    assert done.code == 0, done.out
    assert [job["status"] for job in done.json["jobs"]] == ["done"] * len(JOBS)
    blotter = bench("blotter", "--session", str(day), "--json").json
    assert blotter["total"] > 10
    assert {row["state"] for row in blotter["rows"]} == {"filled"}
    assert all(blotter["provenance"].values())
    cash = bench.rows("SELECT cash FROM accounts WHERE phase = 'close'")[0][0]
    traded = sum(
        (Decimal(q) * Decimal(p) * (-1 if s == "buy" else 1)).quantize(Decimal("0.01"))
        for q, p, s in bench.rows("SELECT quantity, price, side FROM fills")
    )
    assert Decimal(cash) == 100_000 + traded
    assert bench("status").code == 0
    shown = bench("signals", "--session", str(day), "--json").json["rows"]
    assert all(abs(row["contribution"] - row["z"]) < 0.002 for row in shown)  # the only sleeve is all of the blend
    report = json.loads((bench.state / "reports" / f"report_{day}.json").read_text())
    assert report["plan"]["orders"] == blotter["total"] == len(report["fills"])
    assert (bench.state / "reports" / "equity.svg").read_bytes().startswith(b"<svg") and not old.exists()
    text = (bench.state / "reports" / f"report_{day}.md").read_text()
    assert text.startswith(f"# Session {day}\n") and "Unproven bundle" in text


def test_rerunning_any_command_of_a_session_changes_nothing(make: Make, published: Published) -> None:
    day = published.sessions(1)[0]
    bench = armed(make, published, day)
    assert bench("run-day", "--session", str(day)).code == 0
    before, latch = bench.tables(), (bench.state / "latch.json").read_bytes()
    reports = {path.name: path.read_bytes() for path in (bench.state / "reports").iterdir()}
    for command in ("pull", "score", "reconcile", "plan", "trade", "confirm", "reconcile", "report", "run-day"):
        done = bench(command, "--session", str(day))
        assert done.code == 0, done.err
        assert "nothing was changed" in done.out
    assert bench.tables() == before
    assert (bench.state / "latch.json").read_bytes() == latch
    assert {path.name: path.read_bytes() for path in (bench.state / "reports").iterdir()} == reports


def test_every_order_row_joins_to_plan_score_bundle_snapshot_configuration_and_program(make: Make, published: Published) -> None:
    """B9."""
    day = published.sessions(1)[0]
    bench = armed(make, published, day)
    bench("run-day", "--session", str(day))
    joined = bench.rows(
        "SELECT count(*), count(s.score), min(length(p.bundle_sha256)), min(length(p.snapshot_id)),"
        " min(length(p.config_hash)), min(length(p.code_version)) FROM intents i JOIN plans p ON p.session = i.session"
        " LEFT JOIN scores s ON s.asof = p.asof AND s.symbol = i.symbol AND s.source = p.bundle_sha256"
    )[0]
    assert joined[0] == joined[1] > 10
    assert joined[2:5] == (64, 64, 64) and joined[5] > 10


def test_a_replay_agrees_with_the_exchange_and_repeats_to_the_digest(
    make: Make, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program's own version is held still: it is part of the digest, and someone may be editing the sources."""
    monkeypatch.setattr("appliance.runtime.device.code_version", lambda host: "0.1.0+test")
    days = published.sessions(4)
    seen = []
    for name in ("one", "two"):
        like = make(published, f"like-{name}")
        bench = Workbench(like.state.parent / name)
        done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
        assert done.code == 0, done.err
        assert (done.json["sessions"], done.json["plans"], done.json["skipped"], done.json["halted"]) == (4, 4, [], "")
        assert done.json["fills"] >= done.json["orders"] > 50
        seen.append((bench.rows("SELECT session, digest FROM plans"), bench.rows("SELECT * FROM nav")))
    assert seen[0] == seen[1]


def test_a_replay_needs_a_folder_of_its_own(make: Make, published: Published) -> None:
    bench = make(published)
    day = str(published.sessions(1)[0])
    before = bench.tables()
    done = bench("replay", "--like", str(bench.state), "--start", day, "--end", day)
    assert done.code == 2 and "already holds a device" in done.err
    assert bench.tables() == before


def cut_after(market: GeneratedMarket, last: date) -> GeneratedMarket:
    """The same market as a vendor would have delivered it on the evening of `last`."""
    rows = pa.compute.less_equal(market.bars.column("date"), pa.scalar(last))
    actions = tuple(action for action in market.actions if action.known_at <= last)
    return GeneratedMarket(market.seed, market.bars.filter(rows), actions, market.truth, market.lives)


def test_changing_the_future_changes_no_plan(make: Make, published: Published, tmp_path: Path) -> None:
    """Data that end later, or go on differently, give the same scores, targets and orders for the same session."""
    day, later = published.sessions(1)[0], published.sessions(2)[-1]
    whole = generate(11, SYMBOLS, SESSIONS, END)
    cut = publish_store(tmp_path / "cut", whole)
    publish_data_into(cut, cut_after(whole, later))
    found = []
    for name, store in (("whole", published), ("cut", cut)):
        bench = make(store, name)
        assert bench("arm", "--session", str(day), "--yes").code == 0
        found.append(
            (
                bench.rows("SELECT symbol, score FROM scores ORDER BY symbol"),
                bench.rows("SELECT symbol, weight FROM targets ORDER BY symbol"),
                bench.rows("SELECT symbol, side, quantity, reference_price FROM intents ORDER BY symbol"),
            )
        )
    assert found[0] == found[1]
    assert len(found[0][2]) > 10


def publish_data_into(store: Published, market: GeneratedMarket) -> None:
    """Replace the store's data by another delivery."""
    import shutil

    shutil.rmtree(store.root / "data")
    publish_data(store.root / "data", market)


def pulled(store: Published, path: Path, through: date) -> MarketStore:
    market = MarketStore(path / "market.duckdb", store.manifest.calendar)
    at = store.manifest.calendar.session(through).close
    pull_data(PublishedFolder(store.root / "data"), market, store.manifest, through, path / "incoming", at)
    return market


def test_the_device_reads_the_trainer_s_panel_and_features_to_the_bit(published: Published, tmp_path: Path) -> None:
    asof, sleeve = published.last_training, SLEEVES["equities_xs"]
    market = pulled(published, tmp_path, asof)
    calendar = published.manifest.calendar
    first = calendar.offset(asof, -(sleeve.lookback_sessions - 1))
    ours = market.bars(asof, sleeve.lookback_sessions)
    theirs = load_bars(published.root / "data", published.manifest, first, asof)
    assert ours.symbols == theirs.symbols and ours.sectors == theirs.sectors
    for name in (*PRICES, "sessions", "eligible"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    whole = load_bars(published.root / "data", published.manifest, published.manifest.first, published.manifest.last)
    trained = sleeve.panel(whole).at(asof)
    served = sleeve.features(ours, asof).at(asof)
    known = {name: row.tobytes() for name, row in zip(*trained, strict=True)}
    shared = [name for name in served[0] if name in known]
    assert len(shared) > 30
    assert all(row.tobytes() == known[name] for name, row in zip(*served, strict=True) if name in known)


def test_the_device_cannot_read_d_before_its_close(make: Make, published: Published) -> None:
    """After the morning's jobs of D the store holds nothing of D, although the exchange already knows its open."""
    day = published.sessions(1)[0]
    bench = armed(make, published, day)
    for command in ("trade", "confirm"):
        assert bench(command, "--session", str(day)).code == 0
    store = duckdb.connect(str(bench.state / "market.duckdb"), read_only=True)
    newest = store.execute("SELECT max(session) FROM bars").fetchone()
    late = store.execute("SELECT count(*) FROM actions WHERE known_at > ?", [published.manifest.calendar.previous(day)])
    assert newest == (published.manifest.calendar.previous(day),)
    assert late.fetchone() == (0,)
    store.close()
    clock = VirtualClock(published.manifest.calendar.session(day).close)
    assert published.manifest.calendar.last_closed(clock.now()) == day


def test_a_delivery_that_is_not_published_yet_is_tried_again(make: Make, own_store: Published) -> None:
    day = own_store.sessions(1)[0]
    bench = make(own_store)
    publish_data_into(own_store, cut_after(generate(11, SYMBOLS, SESSIONS, END), day))
    after = own_store.manifest.calendar.offset(day, 2)
    done = bench("pull", "--session", str(after))
    assert done.code == 5 and "are not published yet" in done.err


def test_parquet_on_the_device_s_side_needs_no_arrow(published: Published) -> None:
    """The dataset's files are read by DuckDB alone; Arrow sees the same rows."""
    record = next(record for record in published.manifest.files if record.role == "bars")
    path = published.root / "data" / record.path
    counted = duckdb.connect().execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
    assert counted == (pq.read_metadata(path).num_rows,)
