"""Two published sleeves, the second one a plug-in: both are scored, blended and traded, each from its own slot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from execution.config import ExecutionConfig
from execution.exchange.config import ExchangeConfig
from portfolio.config import PortfolioConfig
from portfolio.policy.blend import Blend, SizedScores, blended
from portfolio.risk.kelly import SizingCoefficient
from signals.bundle import Role
from signals.bundle.layout import place_of
from signals.scoring.scores import Scores
from signals.sleeves import SLEEVES
from tests.fakes.device import Workbench
from tests.fakes.plugin import write_reversal
from tests.fakes.store import Published, publish_bundle, publish_store, recipe
from trainer.backtest.archive import open_archive
from trainer.backtest.engine import Backtest, BacktestPolicy, Course, opened

BOTH = {"equities_xs": 0.6, "reversal": 0.4}
FIXED_IC = 0.05
REPLAYED = 9


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package of the second sleeve, in a folder on the path of this process and of every one that it starts."""
    folder = write_reversal(tmp_path_factory.mktemp("plugin"))
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        patched.setenv("PYTHONPATH", str(folder))
        yield folder


def publish_reversal(store: Published, seq: int = 1, **changes: object) -> str:
    made = recipe(store.root / "data", store.last_training, seq, sleeve=SLEEVES["reversal"])
    return publish_bundle(store.root, made.but(**changes))


@pytest.fixture(scope="module")
def both(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Published:
    """A store with a bundle of each sleeve, published under the same sequence."""
    store = publish_store(tmp_path_factory.mktemp("both"))
    publish_reversal(store)
    return store


@pytest.fixture
def own(both: Published, tmp_path: Path) -> Published:
    root = tmp_path / "store"
    shutil.copytree(both.root, root)
    return Published(root, root / "root.pub", both.manifest, both.last_training)


def device(store: Published, folder: Path, **settings: Any) -> Workbench:
    bench = Workbench(folder)
    done = bench("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", str(FIXED_IC))
    assert done.code == 0, done.err
    return configured(bench, **{"sleeves": BOTH, **settings})


def configured(bench: Workbench, **settings: Any) -> Workbench:
    path = bench.state / "config.yml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))
    return bench


def run_day(bench: Workbench, day: date, *, armed: bool = False) -> dict[str, Any]:
    """Run the session; return each job's row by name."""
    if not armed:
        assert bench("arm", "--session", str(day), "--yes").code == 0
    done = bench("run-day", "--session", str(day), "--json")
    assert done.code == 0, done.out + done.err
    return {row["job"]: row for row in done.json["jobs"]}


def titles(bench: Workbench) -> list[str]:
    return [row["title"] for row in bench("alerts", "--json").json["rows"]]


def gross(bench: Workbench, day: date) -> float:
    ((figures,),) = bench.rows("SELECT figures FROM job_runs WHERE job = 'plan' AND session = ?", str(day))
    return float(dict(json.loads(figures)["decisions"])["target gross"])


def test_both_are_scored_blended_and_traded_from_slots_of_their_own(own: Published, tmp_path: Path) -> None:
    """Each in its folder with its own pointer and high-water; the book is another one than either sleeve's alone."""
    day = own.sessions(1)[0]
    bench = device(own, tmp_path / "both")
    jobs = run_day(bench, day)
    scored = dict(bench.rows("SELECT sleeve, count(*) FROM scores GROUP BY sleeve"))
    assert scored["equities_xs"] == scored["reversal"] > 30
    sources = dict(bench.rows("SELECT DISTINCT sleeve, source FROM scores"))
    for sleeve in BOTH:
        pointer = json.loads((bench.state / "bundles" / sleeve / "current.json").read_text())
        mark = json.loads((bench.state / "bundles" / sleeve / "high_water.json").read_text())
        assert (pointer["sha256"], pointer["seq"], mark["seq"]) == (sources[sleeve], 1, 1)
    figures = jobs["plan"]["figures"]
    assert figures["sleeves"] == pytest.approx({"equities_xs": 0.6, "reversal": 0.4})
    assert figures["sources"] == sources
    assert figures["missing"] == {}
    assert set(jobs["score"]["figures"]["by_sleeve"]) == set(BOTH)
    orders = {bench.state.name: traded(bench)}
    for sleeve in BOTH:
        alone = device(own, tmp_path / sleeve, sleeves={sleeve: 1.0})
        run_day(alone, day)
        orders[sleeve] = traded(alone)
    assert len(orders["both"]) > 10
    assert len({tuple(sorted(rows.items())) for rows in orders.values()}) == 3


def traded(bench: Workbench) -> dict[str, str]:
    return dict(bench.rows("SELECT symbol, side || ' ' || quantity FROM intents"))


def test_each_names_part_is_shown_by_sleeve(own: Published, tmp_path: Path) -> None:
    """Signals, blotter, trace and report: the parts of a name sum to what ranked it, and every bundle is named."""
    day = own.sessions(1)[0]
    bench = device(own, tmp_path / "device")
    run_day(bench, day)
    rows = [row for row in bench("signals", "--session", str(day), "--json").json["rows"] if row["contribution"] is not None]
    assert {row["sleeve"] for row in rows} == set(BOTH)
    largest = max(rows, key=lambda row: abs(row["contribution"]))
    assert abs(largest["contribution"]) > 0.5
    blotter = bench("blotter", "--session", str(day), "--json").json["rows"]
    assert all("equities_xs " in row["sleeves"] and "reversal " in row["sleeves"] for row in blotter if row["side"] == "buy")
    trace = bench("trace", blotter[0]["client_order_id"], "--json").json["rows"]
    facts = {(row["section"], row["fact"]) for row in trace}
    for sleeve in BOTH:
        assert {("signal", sleeve), ("signal", f"part of {sleeve}"), ("bundle", f"which {sleeve}")} <= facts
    report = (bench.state / "reports" / f"report_{day}.md").read_text()
    assert "sleeve equities_xs" in report and "sleeve reversal" in report
    shown = bench("bundle", "--verify", "--json").json["rows"]
    assert {row["place"]: row["verdict"] for row in shown if row["is_traded"]} == dict.fromkeys(BOTH, "HOLDS")


def test_a_sleeve_that_fails_leaves_its_share_unallocated_and_is_an_alert(own: Published, tmp_path: Path) -> None:
    """The same scores of the first sleeve; without the second the book's gross is at most 60 % of its own alone."""
    day, following = own.sessions(2)
    bench = device(own, tmp_path / "device")
    spoil(bench, own, day)
    jobs = run_day(bench, day)
    assert jobs["score"]["status"] == jobs["plan"]["status"] == "done"
    assert "reversal" in jobs["plan"]["figures"]["missing"]
    asof = own.manifest.calendar.previous(day)
    assert f"no reversal scores at {asof}" in titles(bench)
    assert "sleeves without scores" in titles(bench)
    alone = device(own, tmp_path / "alone", sleeves={"equities_xs": 1.0})
    run_day(alone, day)
    assert 0 < gross(bench, day) <= 0.6 * gross(alone, day) + 5e-4
    held = bench.rows("SELECT symbol FROM targets WHERE weight <> 0 ORDER BY symbol")
    assert held == alone.rows("SELECT symbol FROM targets WHERE weight <> 0 ORDER BY symbol")
    publish_reversal(own, seq=2)
    assert run_day(bench, following, armed=True)["plan"]["figures"]["missing"] == {}


def spoil(bench: Workbench, store: Published, day: date) -> None:
    """Pull, then spoil the second sleeve's model on the device."""
    assert bench("pull", "--session", str(day)).code == 0
    (model,) = (bench.state / "bundles" / "reversal").glob("*/model.onnx")
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("settings", "why"),
    [({"missing_sleeve": "refuse"}, "SHA-256 differs"), ({"sleeves": {"equities_xs": 0.4, "reversal": 0.6}}, "SHA-256 differs")],
    ids=["every sleeve is asked for", "more than half of the weight is missing"],
)
def test_a_session_is_refused_rather_than_traded_on_too_little(own: Published, tmp_path: Path, settings: dict[str, Any], why: str) -> None:
    day = own.sessions(1)[0]
    bench = device(own, tmp_path / "device", **settings)
    spoil(bench, own, day)
    assert bench("arm", "--session", str(day), "--yes").code != 0
    done = bench("score", "--session", str(day))
    assert done.code == 6 and why in done.err
    assert bench.rows("SELECT count(*) FROM intents") == [(0,)]


def test_a_routed_sleeve_that_was_never_published_is_an_alert_and_no_bundle_takes_its_place(own: Published, tmp_path: Path) -> None:
    """What was published last never stands in for another sleeve, in the layout of now or of the release before."""
    shutil.rmtree(own.root / "reversal")
    made = recipe(own.root / "data", own.last_training, 5)
    publish_bundle(own.root, made, as_before=True)
    day = own.sessions(1)[0]
    bench = device(own, tmp_path / "device")
    jobs = run_day(bench, day)
    assert not (bench.state / "bundles" / "reversal" / "current.json").exists()
    assert "no reversal bundle is published" in jobs["pull"]["summary"]
    assert any(title.startswith("no reversal scores") for title in titles(bench))
    assert {row for (row,) in bench.rows("SELECT DISTINCT sleeve FROM scores")} == {"equities_xs"}


def test_each_sleeve_has_a_sequence_of_its_own(own: Published, tmp_path: Path) -> None:
    """Sequence 3 of one sleeve says nothing of the other: its 2 is news, and its own 1 is not."""
    days = own.sessions(2)
    bench = device(own, tmp_path / "device")
    run_day(bench, days[0])
    publish_bundle(own.root, recipe(own.root / "data", own.last_training, 3))
    publish_reversal(own, seq=2)
    run_day(bench, days[1], armed=True)
    marks = {s: json.loads((bench.state / "bundles" / s / "high_water.json").read_text())["seq"] for s in BOTH}
    assert marks == {"equities_xs": 3, "reversal": 2}


def test_a_shadow_of_any_sleeve_is_scored_and_never_traded(own: Published, tmp_path: Path) -> None:
    day = own.sessions(1)[0]
    plain = device(own, tmp_path / "plain")
    run_day(plain, day)
    publish_reversal(own, seq=2, role=Role.SHADOW, refusal=None)
    assert (own.root / place_of("reversal", Role.SHADOW)).is_dir()
    bench = device(own, tmp_path / "device")
    run_day(bench, day)
    assert "reversal shadow" in {row for (row,) in bench.rows("SELECT DISTINCT sleeve FROM scores")}
    assert traded(bench) == traded(plain)
    assert (bench.state / "bundles" / "reversal" / "shadow" / "current.json").is_file()


@pytest.fixture(scope="module")
def replayed(both: Published, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    folder = tmp_path_factory.mktemp("replayed")
    like, bench = device(both, folder / "like"), Workbench(folder / "replayed")
    days = both.sessions(REPLAYED)
    done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    assert (done.json["sessions"], done.json["skipped"], done.json["halted"]) == (REPLAYED, [], "")
    return bench


def backtest(store: Published, bench: Workbench) -> Course:
    """Trade the very scores that the device recorded, of both sleeves."""
    archive = open_archive(store.root / "data")
    recorded: dict[tuple[str, str], list[tuple[str, float, str]]] = {}
    for asof, sleeve, symbol, score, source in bench.rows("SELECT asof, sleeve, symbol, score, source FROM scores ORDER BY symbol"):
        recorded.setdefault((asof, sleeve), []).append((symbol, float(score), source))
    ic = SizingCoefficient(0.01, 1.2, 20.0)

    def on(asof: date) -> Blend:
        parts = []
        for sleeve, weight in BOTH.items():
            rows = recorded[str(asof), sleeve]
            scores = Scores(asof, sleeve, tuple(r[0] for r in rows), np.array([r[1] for r in rows]), rows[0][2])
            parts.append(SizedScores(scores, ic, 5, weight))
        return blended(parts, fixed_ic=FIXED_IC)

    policy = BacktestPolicy(PortfolioConfig(fixed_ic=FIXED_IC), ExecutionConfig(), ic, 5, "test")
    days = store.sessions(REPLAYED)
    return Backtest(archive, opened(archive, ExchangeConfig(), 0, days[0]), policy).run(days, on)


def test_two_sleeves_in_a_replay_are_the_backtest_order_for_order(both: Published, replayed: Workbench) -> None:
    course = backtest(both, replayed)
    ours = sorted((o.client_order_id, o.intent.side.value, o.intent.quantity, o.intent.time_in_force.value, o.state) for o in course.orders)
    theirs = sorted(
        (cid, side, Decimal(quantity), tif, state)
        for cid, side, quantity, tif, state in replayed.rows("SELECT client_order_id, side, quantity, tif, state FROM intents")
    )
    assert len(ours) > 100
    assert ours == theirs
    nav = replayed.rows("SELECT session, paper_nav FROM nav ORDER BY session")
    assert [(str(d.session), d.equity) for d in course.days] == [(day, Decimal(paper)) for day, paper in nav]
