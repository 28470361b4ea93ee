"""Two published sleeves, the second one a plug-in: both are scored, blended and traded, each from its own slot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from appliance.bundles.slots import Slot
from appliance.jobs import score as score_job
from appliance.ledger import Ledger, job_runs
from appliance.ledger.figures import PlanFigures
from appliance.schedule.job import JobReport, JobStatus
from execution.config import ExecutionConfig
from execution.exchange.config import ExchangeConfig
from portfolio.config import PortfolioConfig
from portfolio.policy.blend import Blend, SizedScores, blended
from portfolio.policy.sizing import GRID, MULTIPLIER, STATE, SizingPolicy
from portfolio.risk.kelly import SizingCoefficient
from signals.bundle import Role
from signals.bundle.layout import place_of
from signals.errors import StoreUnreachable, TripwireSkip
from signals.files import sha256_of
from signals.sleeves import SLEEVES
from tests.fakes import policies
from tests.fakes.device import Workbench
from tests.fakes.plugin import write_reversal
from tests.fakes.store import Published, publish_bundle, publish_store, recipe
from tests.flow.test_daemon import rehearsed
from tests.flow.test_pulled_scores import key_folder, score_daily
from trainer.backtest.archive import open_archive
from trainer.backtest.engine import Backtest, BacktestPolicy, Course, opened
from trainer.backtest.scored import Origin
from trainer.backtest.traded import of_sleeves
from trainer.curation.store import FolderObjectStore
from trainer.publishing.signed.documents import publish_stack
from trainer.publishing.signed.sizing import publish_sizing
from trainer.runs import looks

BOTH = {"equities_xs": 0.6, "reversal": 0.4}
FIXED_IC = 0.05
REPLAYED = 5


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


def device(store: Published, folder: Path, *, options: tuple[str, ...] = (), **settings: Any) -> Workbench:
    bench = Workbench(folder)
    asked = ("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", str(FIXED_IC))
    done = bench(*asked, *options)
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


@pytest.fixture(scope="module")
def first(both: Published, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workbench, dict[str, Any], date]:
    """A device after its first session, and each job's row."""
    day = both.sessions(1)[0]
    bench = device(both, tmp_path_factory.mktemp("first") / "device")
    return bench, run_day(bench, day), day


@pytest.fixture(scope="module")
def alone(both: Published, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """The same session of a device that trades the first sleeve only."""
    bench = device(both, tmp_path_factory.mktemp("alone") / "device", sleeves={"equities_xs": 1.0})
    run_day(bench, both.sessions(1)[0])
    return bench


First = tuple[Workbench, dict[str, Any], date]


def test_both_are_scored_blended_and_traded_from_slots_of_their_own(first: First, alone: Workbench) -> None:
    """Each in its folder with its own pointer and high-water; the book is another one than one sleeve's alone."""
    bench, jobs, _ = first
    scored = dict(bench.rows("SELECT sleeve, count(*) FROM scores GROUP BY sleeve"))
    assert scored["equities_xs"] == scored["reversal"] > 30
    sources = dict(bench.rows("SELECT DISTINCT sleeve, source FROM scores"))
    for sleeve in BOTH:
        pointer = json.loads((bench.state / "bundles" / sleeve / "current.json").read_text())
        mark = json.loads((bench.state / "bundles" / sleeve / "high_water.json").read_text())
        assert (pointer["sha256"], pointer["seq"], mark["seq"]) == (sources[sleeve], 1, 1)
    figures = jobs["plan"]["figures"]
    assert figures["sleeves"] == pytest.approx({"equities_xs": 0.6, "reversal": 0.4})
    assert (figures["sources"], figures["missing"]) == (sources, {})
    assert set(jobs["score"]["figures"]["by_sleeve"]) == set(BOTH)
    assert len(traded(bench)) > 10 and traded(bench) != traded(alone)
    assert "parts" not in json.loads(alone.rows("SELECT figures FROM job_runs WHERE job = 'plan'")[0][0])


def traded(bench: Workbench) -> dict[str, str]:
    return dict(bench.rows("SELECT symbol, side || ' ' || quantity FROM intents"))


def test_each_names_part_is_shown_by_sleeve(first: First) -> None:
    """Signals, blotter, trace and report: what each sleeve said of a name, and every bundle by its sleeve."""
    bench, _, day = first
    rows = [row for row in bench("signals", "--session", str(day), "--json").json["rows"] if row["contribution"] is not None]
    assert {row["sleeve"] for row in rows} == set(BOTH)
    assert max(abs(row["contribution"]) for row in rows) > 0.5
    blotter = bench("blotter", "--session", str(day), "--json").json["rows"]
    assert all("equities_xs " in row["sleeves"] and "reversal " in row["sleeves"] for row in blotter)
    trace = bench("trace", blotter[0]["client_order_id"], "--json").json["rows"]
    facts = {(row["section"], row["fact"]) for row in trace}
    for sleeve in BOTH:
        assert {("signal", sleeve), ("signal", f"part of {sleeve}"), ("bundle", f"which {sleeve}")} <= facts
    report = (bench.state / "reports" / f"report_{day}.md").read_text()
    assert "sleeve equities_xs" in report and "sleeve reversal" in report
    shown = bench("bundle", "--verify", "--json").json["rows"]
    assert {row["place"]: row["verdict"] for row in shown if row["is_traded"]} == dict.fromkeys(BOTH, "HOLDS")
    assert "equities_xs " in bench("overview", "--json").out and "reversal " in bench("overview", "--json").out


def test_a_sleeve_that_fails_leaves_its_share_unallocated_and_is_an_alert(own: Published, alone: Workbench, tmp_path: Path) -> None:
    """The same scores of the first sleeve: its own book at 60 % of the size, or less. The next evening both are back.

    Each has a sequence of its own: 3 of one says nothing of the other, whose 2 is news.
    """
    day, following = own.sessions(2)
    bench = device(own, tmp_path / "device")
    spoil(bench, day)
    jobs = run_day(bench, day)
    assert jobs["score"]["status"] == jobs["plan"]["status"] == "done"
    assert "SHA-256 differs" in jobs["plan"]["figures"]["missing"]["reversal"]
    asof = own.manifest.calendar.previous(day)
    assert {f"no reversal scores at {asof}", "sleeves without scores"} <= set(titles(bench))
    assert 0 < gross(bench, day) <= 0.6 * gross(alone, day) + 5e-4
    query = "SELECT symbol, weight > 0 FROM targets WHERE weight <> 0"
    assert set(bench.rows(query)) <= set(alone.rows(query))
    publish_reversal(own, seq=2)
    publish_bundle(own.root, recipe(own.root / "data", own.last_training, 3))
    assert run_day(bench, following, armed=True)["plan"]["figures"]["missing"] == {}
    marks = {s: json.loads((bench.state / "bundles" / s / "high_water.json").read_text())["seq"] for s in BOTH}
    assert marks == {"equities_xs": 3, "reversal": 2}


def spoil(bench: Workbench, day: date) -> None:
    """Pull, then spoil the second sleeve's model on the device."""
    assert bench("pull", "--session", str(day)).code == 0
    (model,) = (bench.state / "bundles" / "reversal").glob("*/model.onnx")
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(bytes(content))


def test_a_session_is_refused_rather_than_traded_on_too_little(both: Published, tmp_path: Path) -> None:
    """More than half of the weight is missing; then, with less of it missing, the settings ask for every sleeve."""
    day = both.sessions(1)[0]
    bench = device(both, tmp_path / "device", sleeves={"equities_xs": 0.4, "reversal": 0.6})
    spoil(bench, day)
    for settings in ({}, {"sleeves": BOTH, "missing_sleeve": "refuse"}):
        done = configured(bench, **settings)("score", "--session", str(day))
        assert done.code == 6 and "SHA-256 differs" in done.err
    assert configured(bench, missing_sleeve="reduce")("score", "--session", str(day)).code == 0


def test_a_routed_sleeve_that_was_never_published_is_an_alert_and_no_bundle_takes_its_place(own: Published, tmp_path: Path) -> None:
    """What was published last never stands in for another sleeve, in the layout of now or of the release before."""
    shutil.rmtree(own.root / "reversal")
    publish_bundle(own.root, recipe(own.root / "data", own.last_training, 5), as_before=True)
    day = str(own.sessions(1)[0])
    bench = device(own, tmp_path / "device")
    assert "no reversal bundle is published" in bench("pull", "--session", day).out
    assert bench("score", "--session", day).code == 0
    assert not (bench.state / "bundles" / "reversal" / "current.json").exists()
    assert any(title.startswith("no reversal scores") for title in titles(bench))
    assert {row for (row,) in bench.rows("SELECT DISTINCT sleeve FROM scores")} == {"equities_xs"}


def test_a_shadow_of_any_sleeve_is_scored_and_never_traded(own: Published, first: First, tmp_path: Path) -> None:
    publish_reversal(own, seq=2, role=Role.SHADOW, refusal=None)
    assert (own.root / place_of("reversal", Role.SHADOW)).is_dir()
    bench = device(own, tmp_path / "device")
    run_day(bench, own.sessions(1)[0])
    assert "reversal shadow" in {row for (row,) in bench.rows("SELECT DISTINCT sleeve FROM scores")}
    assert traded(bench) == traded(first[0])
    assert (bench.state / "bundles" / "reversal" / "shadow" / "current.json").is_file()


def test_a_published_stack_weighs_the_sleeves_and_where_it_is_refused_the_settings_do(own: Published, first: First, tmp_path: Path) -> None:
    """One day by the stack's weights, the next, with its file spoilt on the device, by those of the settings, with an alert.

    A sleeve with a scoring mode of its own takes the scores that the trainer delivers: the same, so the same orders. And a sizing
    policy that has held next to nothing for twenty plans trades many times the usual on the second day, which is no jump: the whole
    book moved as usual.
    """
    days = own.sessions(2)
    keys = key_folder(tmp_path / "keys")
    (tmp_path / "stack").mkdir()
    judged = {
        "promotable": True,
        "last": str(own.last_training),
        "members": [{"sleeve": sleeve, "config_hash": "c" * 64} for sleeve in BOTH],
        "device_weights": {"equities_xs": 0.25, "reversal": 0.75},
    }
    (tmp_path / "stack" / "stack.json").write_text(json.dumps(judged))
    known = sha256_of((tmp_path / "stack" / "stack.json").read_bytes())
    looks.record(tmp_path, looks.Look(looks.STACK, "equities_xs", known, str(own.last_training), str(own.last_training), known))
    publish_stack(tmp_path / "stack", tmp_path, keys, FolderObjectStore(own.root), datetime.now(UTC))
    read = STATE[:16]  # of an earlier version, which knew no plans before
    half = np.zeros((len(GRID), len(GRID), 1 + len(read)))
    half[:, 2, 0] = 1.0
    policy = SizingPolicy(read, np.zeros(len(read)), np.ones(len(read)), half)
    policies.record_policy(tmp_path / "policy", tmp_path, policies.judged(policy, own.last_training))
    publish_sizing(tmp_path / "policy", tmp_path, keys, FolderObjectStore(own.root), datetime.now(UTC))
    score_daily(own, keys, own.manifest.calendar.previous(days[0]))
    pulled = {"equities_xs": 0.6, "reversal": {"weight": 0.4, "scoring": "pulled"}}
    bench = device(own, tmp_path / "device", sleeves=pulled, stack=True, sizing=True)
    figures = run_day(bench, days[0])["plan"]["figures"]
    assert figures["sleeves"] == pytest.approx({"equities_xs": 0.25, "reversal": 0.75}) and figures["weighed_by"] == "stack 1"
    assert figures["multiplier"] == 0.5 and dict(figures["decisions"])[MULTIPLIER] == "0.5, 1 before (sizing policy 1)"
    [[order]] = bench.rows("SELECT min(client_order_id) FROM intents")
    assert "policy multiplier 0.5, 1 before" in str(bench("trace", order, "--json").json["rows"])
    scores = "SELECT sleeve, symbol, score, source FROM scores ORDER BY sleeve, symbol"
    assert bench.rows(scores) == first[0].rows(scores)
    assert traded(bench) != traded(first[0])
    weights = bench.state / "bundles" / "stack" / "weights.json"
    weights.write_bytes(weights.read_bytes().replace(b"0.75", b"0.95"))
    (own.root / "stack" / "latest.json").write_bytes(weights.read_bytes())
    kept = bench.state / "bundles" / "sizing" / "policy.json"
    kept.write_bytes(kept.read_bytes().replace(b"0.005", b"0.004"))
    (own.root / "sizing" / "latest.json").write_bytes(kept.read_bytes())
    configured(bench, sleeves=BOTH)
    with Ledger(bench.state / "ledger.sqlite") as ledger:
        for back in range(1, 21):
            day = own.manifest.calendar.offset(days[0], -back)
            assert job_runs.begin(ledger, day, "plan", datetime.now(UTC))
            report = JobReport("plan", day, JobStatus.DONE, "", PlanFigures(turnover=1e-4, whole_turnover=0.3))
            job_runs.finish(ledger, report, datetime.now(UTC))
    figures = run_day(bench, days[1], armed=True)["plan"]["figures"]
    [(jump,)] = bench.rows("SELECT value FROM tripwires WHERE name = 'TURNOVER_JUMP' AND session = ?", str(days[1]))
    assert figures["turnover"] > 3 * 1e-4
    assert 0 < float(jump) < 3 and float(jump) == pytest.approx(figures["whole_turnover"] / 0.3, rel=1e-4)
    assert figures["sleeves"] == pytest.approx(BOTH) and "weighed_by" not in figures
    assert figures["multiplier"] == 0.5 and dict(figures["decisions"])[MULTIPLIER].startswith("0.5, as before: ")
    assert {"the published sizing policy is refused", "the sizing policy is refused"} <= set(titles(bench))
    assert {"the published stack is refused", "the stack does not weigh the sleeves"} <= set(titles(bench))


@pytest.mark.slow
def test_both_are_scored_blended_and_traded_under_the_daemon(both: Published, first: First, tmp_path: Path) -> None:
    """Its jobs are processes of their own, which find the second sleeve's package as this one does."""
    day = both.sessions(1)[0]
    make = lambda store, name, *options: device(store, tmp_path / name, options=options)  # noqa: E731
    with rehearsed(make, both, tmp_path, "--cash", "100000") as rehearsal:
        rehearsal.start()
        rehearsal.live(day, "pull", "score", "reconcile_morning", "plan", "trade")
        assert rehearsal.ends(day) == dict.fromkeys(("pull", "score", "reconcile_morning", "plan", "trade"), "done")
        scored = dict(rehearsal.bench.rows("SELECT sleeve, count(*) FROM scores GROUP BY sleeve"))
        assert scored["equities_xs"] == scored["reversal"] > 30
        assert traded(rehearsal.bench) == traded(first[0])
        assert rehearsal.bench.rows("SELECT count(*) FROM intents WHERE posts > 0")[0][0] > 10
        assert rehearsal.stop() == 0


def replay(store: Published, folder: Path, sessions: int) -> Workbench:
    """A device of both sleeves after so many sessions."""
    like, bench = device(store, folder / "like"), Workbench(folder / "replayed")
    days = store.sessions(sessions)
    done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    assert (done.json["sessions"], done.json["skipped"], done.json["halted"]) == (sessions, [], "")
    return bench


def backtest(store: Published, bench: Workbench, sessions: int) -> Course:
    """Trade the very scores that the device recorded, of both sleeves."""
    archive = open_archive(store.root / "data")
    ic = SizingCoefficient(0.01, 1.2, 20.0)

    def on(asof: date) -> Blend:
        parts, missing = [], {}
        for sleeve, weight in BOTH.items():
            scores = bench.recorded_scores(asof, sleeve)
            if scores is None:  # an evening on which the device had no scores of it
                missing[sleeve] = weight
                continue
            parts.append(SizedScores(scores, ic, 5, weight))
        return blended(parts, missing, FIXED_IC)

    policy = BacktestPolicy(PortfolioConfig(fixed_ic=FIXED_IC), ExecutionConfig(), ic, 5, "test")
    days = store.sessions(sessions)
    return Backtest(archive, opened(archive, ExchangeConfig(cash=Decimal(100_000)), 0, days[0]), policy).run(days, on)


def require_equal(store: Published, bench: Workbench, sessions: int) -> int:
    """Require the orders of the backtest and its account to the cent; return how many orders there were."""
    course = backtest(store, bench, sessions)
    ours = sorted((o.client_order_id, o.intent.side.value, o.intent.quantity, o.intent.time_in_force.value, o.state) for o in course.orders)
    theirs = sorted(
        (cid, side, Decimal(quantity), tif, state)
        for cid, side, quantity, tif, state in bench.rows("SELECT client_order_id, side, quantity, tif, state FROM intents")
    )
    assert ours == theirs
    nav = bench.rows("SELECT session, paper_nav FROM nav ORDER BY session")
    assert [(str(d.session), d.equity) for d in course.days] == [(day, Decimal(paper)) for day, paper in nav]
    return len(ours)


def test_two_sleeves_in_a_replay_are_the_backtest_order_for_order(both: Published, tmp_path: Path) -> None:
    """And every session's selection is shared out among the sleeves that spoke for its names, to the cent.

    `make two-sleeves` does the same over 60 sessions.
    """
    bench = replay(both, tmp_path, REPLAYED)
    assert require_equal(both, bench, REPLAYED) > 50
    compared = 0
    evenings = of_sleeves(both.root, BOTH, both.trust, both.root / "data", fixed_ic=FIXED_IC, in_sample=False).evenings
    recorded = "SELECT symbol, score FROM scores WHERE asof = ? AND sleeve = ? ORDER BY symbol"
    for (asof,) in bench.rows("SELECT asof FROM scores GROUP BY asof HAVING count(DISTINCT sleeve) = 2"):
        said = evenings.on(date.fromisoformat(asof))
        if said is None:  # the last evening that a label of the training reached
            assert evenings.origin(date.fromisoformat(asof)) is Origin.NONE
            continue
        assert isinstance(said, Blend) and [part.weight for part in said.parts] == pytest.approx([0.6, 0.4])
        for part in said.parts:  # the command `trainer backtest --sleeves` blends what the device scored
            assert bench.rows(recorded, asof, part.scores.sleeve) == list(zip(part.scores.symbols, part.scores.values, strict=True))
        compared += 1
    assert compared > 0
    rows = bench("attribution", "--session", str(both.sessions(REPLAYED)[-1]), "--json").json["rows"]
    assert len(rows) >= REPLAYED - 2
    assert any(set(row["by sleeve"]) == {*BOTH, "no sleeve"} for row in rows)
    for row in rows:
        assert abs(sum(map(Decimal, row["by sleeve"].values())) - Decimal(row["selection"])) < Decimal("0.50")  # names round alone


def test_scores_that_a_later_attempt_refuses_are_not_traded(both: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 18:31 reversal is scored and the other is not there yet; at 18:32 that one has come, and reversal's newer delivery trips."""
    day = both.sessions(1)[0]
    bench, real = device(both, tmp_path / "device"), score_job._traded
    late = {"equities_xs": StoreUnreachable("not delivered yet")}
    trips = {"reversal": TripwireSkip("names exchanged", where="DRIFT_STEP")}

    def attempt(faults: dict[str, Any], *, is_early: bool) -> int:
        def traded(slot: Slot, *rest: Any) -> score_job.SleeveReport:
            if slot.sleeve in faults:
                raise faults[slot.sleeve]
            return real(slot, *rest)

        with monkeypatch.context() as patched:
            patched.setattr(score_job, "_is_early", lambda *_: is_early)
            patched.setattr(score_job, "_traded", traded)
            return bench("score", "--session", str(day)).code

    bench("pull", "--session", str(day))
    assert [attempt(late, is_early=True), attempt(trips, is_early=False)] == [5, 0]
    figures = run_day(bench, day)["plan"]["figures"]
    assert any(title.startswith("no reversal scores") for title in titles(bench))
    assert "reversal" not in figures["sleeves"] and "reversal" in figures["missing"], "its share was said to stay unallocated"


@pytest.mark.parametrize("spoilt", ["object", "pointer before pull", "pointer before score"])
def test_a_bundle_that_is_never_traded_stops_nothing(own: Published, tmp_path: Path, spoilt: str) -> None:
    publish_reversal(own, seq=2, role=Role.SHADOW, refusal=None)
    bench = device(own, tmp_path / "device")
    day, pointer = own.sessions(1)[0], bench.state / "bundles" / "reversal" / "shadow" / "current.json"
    if spoilt == "object":
        next((own.root / place_of("reversal", Role.SHADOW)).rglob("model.onnx")).unlink()
    elif spoilt == "pointer before pull":
        pointer.parent.mkdir(parents=True)
        pointer.write_text("{")
    else:
        bench("pull", "--session", str(day))
        pointer.write_bytes(pointer.read_bytes()[:-20])
    assert [bench(name, "--session", str(day)).code for name in ("pull", "score")] == [0, 0]
    assert any("reversal" in title for title in titles(bench)), "nobody was notified"
