"""Barriers within sessions: hand-worked trades, the search, the weights, the three parts, and one instrument from minutes to a run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from signals.errors import BadConfig, FixInput, InvariantBroken, TooLittleHistory, TrademlError
from signals.market.dataset import read_manifest
from signals.minutes.grid import Hours
from signals.minutes.stretch import DecisionBars
from signals.models.inference import infer
from signals.serving.outlook import Predictor
from signals.serving.scores import answer_bytes, score_file
from signals.sleeves.bars import BARS
from tests.fakes.minutes import decisions, invented
from trainer.__main__ import app
from trainer.commands.serving import TrainerModel, _minutes
from trainer.labels.triple_barrier import BarrierChoice, search_barriers
from trainer.learners.base import Learner
from trainer.learners.fanout import RowSet
from trainer.learners.networks.rows import NETWORKS
from trainer.runs.evidence import read_evidence
from trainer.samples.intraday import load_minutes, read_intraday, split_of
from trainer.samples.samples import Samples
from trainer.tasks.barrier_classes import task as own
from trainer.tasks.barrier_classes.config import BarsRecipe, barriers_of
from trainer.tasks.barrier_classes.decisions import Decisions
from trainer.tasks.barrier_classes.task import BARRIER_CLASSES, SURE_T, barrier_labels, training_end
from trainer.tasks.recipes import RECIPES, agreed, config_of
from trainer.validation.splits import oof as three
from trainer.validation.splits.oof import parts, score_unseen

ONE = BarrierChoice(1.0, 1.0, 4)


def bars_of(sessions: list[list[tuple[float, float, float, float]]]) -> DecisionBars:
    """Bars (open, high, low, close) of sessions; the average true range is 1 % of 100 at every close, nights are flat."""
    flat = [bar for session in sessions for bar in session]
    number = np.repeat(np.arange(len(sessions)), [len(session) for session in sessions])
    prices = np.array(flat)
    close, count = prices[:, 3], len(flat)
    growth = np.concatenate([[np.nan], close[1:] / close[:-1] - 1.0])
    column = {name: prices[:, [place]] for place, name in enumerate(("open", "high", "low", "close"))}
    return DecisionBars(
        sessions=np.datetime64("2024-01-02T15:00:00") + np.arange(count) * np.timedelta64(300, "s"),
        symbols=("T",),
        **column,
        volume=np.ones((count, 1)),
        total_return=growth[:, None],
        overnight_return=growth[:, None],
        eligible=np.ones((count, 1), dtype=bool),
        session=number[:, None],
        left=np.zeros((count, 1), dtype=np.int64),
        sigma=(1.0 / close)[:, None],
    )


FLAT = (100.0, 100.2, 99.8, 100.0)


@pytest.mark.parametrize(
    ("after", "side", "outcome", "life"),
    [
        ([FLAT, (100.0, 101.2, 99.9, 101.0), FLAT], 1, 0.01, 2),  # up at 101
        ([FLAT, (100.0, 100.1, 98.5, 99.0), FLAT], -1, -0.01, 2),  # down at 99
        ([FLAT, (100.0, 101.5, 98.5, 100.5), FLAT], 0, 0.005, 2),  # both in one bar: neither, at its close
        ([FLAT, (102.0, 102.5, 101.8, 102.2), FLAT], 1, 0.02, 2),  # a gap fills at the open
        ([FLAT, (97.0, 97.5, 96.0, 97.0), FLAT], -1, -0.03, 2),
        ([FLAT, (102.0, 102.5, 98.0, 99.0), FLAT], 1, 0.02, 2),  # a gap, and the other barrier later in the bar
        ([FLAT, FLAT, FLAT], 0, 0.0, 3),  # flat at the close
        ([(100.0, 101.2, 99.9, 101.0), FLAT, FLAT], 1, 0.01, 1),  # in the entry's own bar
        ([FLAT, FLAT, FLAT, (100.0, 100.1, 99.9, 100.05), (100.0, 105.0, 99.0, 104.0)], 0, 0.0005, 4),  # patience
    ],
)
def test_trades_end_as_worked_by_hand(after: list[tuple[float, float, float, float]], side: int, outcome: float, life: int) -> None:
    found = barrier_labels(bars_of([[FLAT, *after], [FLAT] * 3]), ONE, "flat")
    assert found.side[0, 0] == side and found.labels.ends[0, 0] == life
    np.testing.assert_allclose(found.labels.values[0, 0], outcome, atol=1e-12)


def test_a_trade_is_flat_at_the_close_or_carried_and_the_last_bar_decides_nothing() -> None:
    sessions = [[FLAT] * 3, [(100.0, 101.5, 99.9, 101.0), FLAT, FLAT]]
    flat, carried = (barrier_labels(bars_of(sessions), ONE, overnight) for overnight in ("flat", "carry"))
    assert flat.labels.ends[:3, 0].tolist() == [2, 2, -1] and flat.side[:3, 0].tolist() == [0, 0, 0]
    assert carried.labels.ends[:3, 0].tolist() == [3, 3, 3] and carried.side[:3, 0].tolist() == [1, 1, 1]


def test_the_default_barriers_are_the_instrument_s() -> None:
    assert barriers_of("MES") == (1.5, 1.0) and barriers_of("MGC") == (1.0, 1.0) and barriers_of("AAPL") == (1.0, 1.0)
    bars = replace(bars_of([[FLAT, (100.0, 101.3, 99.9, 101.0), (101.0, 101.6, 100.9, 101.5), FLAT]]), symbols=("ES",))
    labels = BARRIER_CLASSES.labels(bars, BarsRecipe(), ())
    np.testing.assert_allclose(labels.values[0, 0], 0.015, atol=1e-12)


def test_quality_is_ranked_among_the_training_part_alone() -> None:
    bars = decisions(90, 14)[0]
    labels = BARRIER_CLASSES.labels(bars, BarsRecipe(), ())
    known = labels.ends >= 0
    quality = labels.quality
    assert quality is not None and quality[known].min() >= 0.5 and quality[known].max() <= 1.5
    end = training_end(bars, BarsRecipe())
    assert abs(float(quality[:end][known[:end]].mean()) - 1.0) < 0.01
    later = replace(bars, sigma=np.where(np.arange(len(bars.sessions))[:, None] >= end + 60, 3.0 * bars.sigma, bars.sigma))
    other = BARRIER_CLASSES.labels(later, BarsRecipe(), ())
    np.testing.assert_array_equal(other.quality[: end - 60], quality[: end - 60])  # type: ignore[index]


def test_the_search_reads_the_training_part_alone_and_repeats() -> None:
    bars, end = decisions(90, 14)[0], 700

    def search(on: DecisionBars) -> tuple[object, object]:
        return search_barriers(lambda choice: barrier_labels(on, choice, "flat"), horizon=5, before=end, cost=2e-4, trials=6)

    close = np.where(np.arange(len(bars.sessions))[:, None] >= end, 1.5, 1.0)
    later = replace(bars, **{name: getattr(bars, name) * close for name in ("open", "high", "low", "close")})
    assert search(bars) == search(bars) == search(later)
    assert search(bars) != search(replace(bars, sigma=2.0 * bars.sigma))


def test_given_barriers_are_not_searched() -> None:
    bars = decisions(90, 14)[0]
    asked = config_of({"label": {"kind": "barrier_classes", "k": 5, "search": 3}}, where="test")
    found, said = BARRIER_CLASSES.settled(bars, asked)
    assert found.label.up is not None and len(said["trials"]) == 3  # type: ignore[attr-defined, arg-type]
    assert BARRIER_CLASSES.settled(bars, found) == (found, {})


@pytest.mark.parametrize("share", [0.05, 0.2, 0.3, 0.45])
def test_barriers_and_quality_are_of_what_is_before_the_sealed_decisions(share: float) -> None:
    """Other prices of the sealed share change neither the barriers that are searched nor any open weight."""
    bars = decisions(90, 14)[0]
    asked = config_of({"minutes": {"test_share": share}, "label": {"kind": "barrier_classes", "k": 5, "search": 3}}, where="test")
    labelled = np.flatnonzero(BARRIER_CLASSES.labels(bars, asked, ()).ends[:, 0] >= 0)
    first = labelled[-round(share * len(labelled))]
    assert training_end(bars, asked) <= first
    rng, sealed = np.random.default_rng(1), np.arange(len(bars.sessions))[:, None] >= first
    level = np.where(sealed, np.exp(0.05 * rng.standard_normal(sealed.shape)), 1.0)
    later = replace(bars, **{name: getattr(bars, name) * level for name in ("open", "high", "low", "close")})
    assert BARRIER_CLASSES.settled(bars, asked) == BARRIER_CLASSES.settled(later, asked)
    one, other = (BARRIER_CLASSES.labels(on, asked, ()) for on in (bars, later))
    known = (one.ends >= 0) & (one.ends < first)
    np.testing.assert_array_equal(one.quality[known], other.quality[known])  # type: ignore[index]


def test_parts_without_a_test_go_to_the_end() -> None:
    t0 = np.arange(850)
    found = parts(t0, t0 + 5, embargo=50, shares=(14 / 17, 3 / 17))
    assert (found.train.max(), found.validation.min(), found.validation.max(), len(found.test)) == (634, 750, 849, 0)


def test_three_parts_are_apart_by_purge_and_embargo() -> None:
    t0 = np.arange(1000)
    found = parts(t0, t0 + 5, embargo=50, purge=60)
    assert found.bounds == (700, 850)
    assert (found.train.max(), found.validation.min(), found.validation.max(), found.test.min()) == (634, 750, 784, 900)
    with pytest.raises(TooLittleHistory, match="no row is left for validation"):
        parts(t0[:300], t0[:300] + 5, embargo=50, purge=60)
    with pytest.raises(InvariantBroken, match="reaches into a later one"):
        three._certify(t0, t0 + 5, replace(found, train=np.arange(750)))


def test_the_embargo_is_five_sessions_and_a_day_of_bars_around_the_clock() -> None:
    config, minutes = BarsRecipe(), invented(90, 14)
    t0 = np.arange(1000)
    assert split_of(config, minutes, t0).embargo_sessions == 390 and split_of(config, minutes, t0).holdout_sessions == 150
    assert split_of(config, replace(minutes, minutes=np.full(14, 1440), **_widened(minutes, 1440)), t0).embargo_sessions == 1440


def _widened(minutes, width: int) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
    found = {}
    for name in ("open", "high", "low", "close", "volume", "traded"):
        array = getattr(minutes, name)
        wide = np.zeros((len(array), width), dtype=bool) if array.dtype == bool else np.full((len(array), width), np.nan)
        wide[:, : array.shape[1]] = array
        found[name] = wide
    return found


def test_information_counts_sessions_not_bars() -> None:
    session = np.repeat(np.arange(50), 20)
    rng = np.random.default_rng(4)
    outcome = rng.normal(size=1000)
    what = Decisions(np.arange(1000), session, session, np.zeros(1000, np.int8), outcome, np.ones(1000), np.full(1000, "calm"))
    found = what.information(outcome)
    assert found.mean == pytest.approx(1.0) and found.sessions == 50
    score = np.where(session < 25, np.nan, rng.normal(size=1000))
    assert np.isnan(what.by_session(what.products(score))[:25]).all() and abs(what.information(score).t) < 3.0
    assert what.information(score).sessions == 25


def test_trades_that_are_carried_over_nights_have_errors_by_their_life() -> None:
    """Every decision of a session is a bet on the 10 sessions after it: a score that lasts and knows nothing is seldom called sure."""
    rng, session = np.random.default_rng(4), np.arange(500)
    flat, carried = [], []
    for _ in range(200):
        moves, score = rng.standard_normal(511), np.convolve(rng.standard_normal(520), np.ones(21), "valid")
        came = np.convolve(moves, np.ones(11), "valid")[:500]
        what = Decisions(session, session, session + 10, np.zeros(500, np.int8), came, np.ones(500), np.full(500, "calm"))
        carried.append(what.information(score).t)
        flat.append(replace(what, ends=session).information(score).t)
    assert what.lag == 30 and replace(what, ends=session).lag == 1
    assert np.mean(np.array(carried) >= SURE_T) <= 0.05 < np.mean(np.array(flat) >= SURE_T)


def test_parts_of_a_recipe_that_disagree_are_refused() -> None:
    recipe = RECIPES["bars"]
    with pytest.raises(BadConfig, match="do not both read minutes"):
        agreed(RECIPES["equities_xs"], recipe.config.model_copy(update={"sleeve": ""}))
    with pytest.raises(BadConfig, match="a timeframe is one of"):
        config_of({"label": {"kind": "barrier_classes"}, "minutes": {"timeframe": 7}}, where="test")
    with pytest.raises(FixInput, match="has no --importance"):
        agreed(recipe, recipe.config, wishes=("--importance",))


def test_learners_of_the_recipe_that_scale_do_so_by_median_and_quartiles() -> None:
    scaled = [name for name in NETWORKS if name != "bar_cnn"]  # whose pictures are bytes, with a scale of their own
    assert {RECIPES["bars"].config.of(name).scaling for name in (*scaled, "logistic", "svm")} == {"quartiles"}


RECIPE = """\
sleeve: bars
label: {kind: barrier_classes, k: 6}
lightgbm: {trees: 25, num_leaves: 15, min_data_in_leaf: 100}
cpcv: {groups: 3, test_groups: 1}
"""
FILES = ("model.onnx", "oof.parquet", "golden.npz", "drift_reference.json", "stages/14_report.json")


def ran(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A planted instrument of 80 sessions, its noise twin, a recipe, and the planted one's run."""
    root = tmp_path_factory.mktemp("bars")
    (root / "bars.yml").write_text(RECIPE)
    for name, strength in (("planted", "5"), ("noise", "0")):
        ran("generate-minutes", "--sessions", "80", "--strength", strength, "--to", str(root / f"{name}.parquet"))
        ran("ingest", "--minutes", str(root / f"{name}.parquet"), "--calendar", "XNYS", "--to", str(root / name))
    trained(root, "planted", "run")
    return root


def trained(root: Path, data: str, run: str, *more: str) -> Path:
    at = root / run
    words = ["--symbol", "GEN", "--data", str(root / data), "--run", str(at), "--config", str(root / "bars.yml")]
    ran("train", "--sleeve", "bars", *words, *more)
    return at


def test_what_is_validated_is_not_sealed(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bars.yml").write_text(RECIPE + "minutes: {test_share: 0.3}\n")
    shown: list[str] = []

    def spied(rows: Samples, learner: Learner, train: RowSet, test: RowSet) -> np.ndarray:
        shown.extend(str(day)[:10] for day in rows.sessions[rows.t1[test.numbers]])
        return score_unseen(rows, learner, train, test)

    monkeypatch.setattr(own, "score_unseen", spied)
    asked = ["--symbol", "GEN", "--data", str(market / "planted"), "--run", str(tmp_path / "run"), "--config", str(tmp_path / "bars.yml")]
    ran("train", "--sleeve", "bars", *asked)
    assert shown and max(shown) < read_evidence(tmp_path / "run").holdout.first


def test_a_planted_signal_is_found_and_the_clock_alone_is_not_skilled(market: Path) -> None:
    known = read_evidence(market / "run")
    rows = known.others["direction"]
    assert known.forward_ic.t > 3.0 and known.ic.t_newey_west > 3.0
    assert rows["model"]["log_loss"] < rows["model"]["base_log_loss"]
    assert abs(rows["clock alone"]["ic"]["t"]) < 2.0
    assert known.leak_certificate.total == 0 and known.holdout is not None
    assert not any("no skill" in warning for warning in known.warnings)


def test_a_run_keeps_what_each_class_was_worth_and_the_cost_that_an_edge_must_reach(market: Path) -> None:
    """Means of the trade's return over ATR / close by the barrier that was met first, over all rows that the model learned from."""
    sleeve, config = RECIPES["bars"].sleeve, config_of(yaml.safe_load(RECIPE), where="test")
    found = read_intraday(sleeve, config, market / "planted", ("GEN",), (None, None), None)  # type: ignore[arg-type]
    made = barrier_labels(found.bars, BarrierChoice(1.0, 1.0, 6), "flat")
    units, side = (made.labels.values / found.bars.sigma)[:, 0], made.side[:, 0]
    learned = found.panel.eligible[:, 0] & (made.labels.ends[:, 0] >= 0)
    with np.load(market / "run" / "parameters.npz") as stored:
        np.testing.assert_allclose(stored["outlook_means"], [units[learned & (side == kind)].mean() for kind in (-1, 0, 1)], rtol=1e-12)
        assert stored["outlook_limits"].tolist() == [0.0, 2e-4]
        assert stored["outlook_means"][0] < -0.8 < 0.8 < stored["outlook_means"][2]


@pytest.fixture(scope="module")
def asked(market: Path) -> tuple[str, ...]:
    """Words that ask the planted run's published bundle."""
    ran("keys", "--to", str(market / "keys"))
    words = ("--run", str(market / "run"), "--to", str(market / "store"), "--registry", str(market / "registry"), "--json")
    done = json.loads(ran("publish", "--role", "evaluation", "--keys", str(market / "keys"), *words))
    return ("outlook", "--bundle", done["folder"], "--data", str(market / "planted"), "--keys", str(market / "keys"))


def test_a_published_run_gives_the_outlook_of_the_newest_bar_by_hand_and_the_same_bytes_by_program(
    market: Path, asked: tuple[str, ...]
) -> None:
    source = TrainerModel(Path(asked[2]), market / "planted", market / "keys")
    content = score_file(source, market / "planted.parquet", None, _minutes).content
    assert json.loads(content) == json.loads(ran(*asked, "--bars", str(market / "planted.parquet"), "--json"))
    bundle = source.load().bundle
    kept = load_minutes(market / "planted", read_manifest(market / "planted"), "GEN", Hours.RTH)
    assert answer_bytes(Predictor(bundle).predict_bars(kept)) == content
    (said,) = json.loads(content)["outlooks"]
    bars, panel = BARS.intraday(kept)
    raw = infer(bundle.members, {"features": panel.values[-1]})["score"][0]
    odds = np.exp(raw) / np.exp(raw).sum()
    means = bundle.parameters["outlook_means"]
    np.testing.assert_allclose(said["probabilities"], odds, rtol=1e-6)
    np.testing.assert_allclose(said["expected_return"], bars.sigma[-1, 0] * (odds @ means), rtol=1e-5)
    assert (said["symbol"], said["asof"]) == ("GEN", f"{bars.sessions[-1]}+00:00")
    assert said["signal"] == (int(np.argmax(odds)) - 1 if abs(said["expected_return"]) >= 2e-4 else 0)


def test_a_session_under_way_is_scored_at_its_last_ended_bar_and_bad_minutes_are_refused(
    market: Path, asked: tuple[str, ...], tmp_path: Path
) -> None:
    whole = pd.read_parquet(market / "planted.parquet")
    cut = tmp_path / "cut.parquet"

    def says(frame: pd.DataFrame, match: str) -> None:
        frame.to_parquet(cut)
        with pytest.raises(TrademlError, match=match):
            CliRunner().invoke(app, [*asked, "--bars", str(cut)], catch_exceptions=False)

    whole.iloc[:-298].to_parquet(cut)  # to 92 minutes after the open
    (said,) = json.loads(ran(*asked, "--bars", str(cut), "--json"))["outlooks"]
    kept = load_minutes(market / "planted", read_manifest(market / "planted"), "GEN", Hours.RTH)
    assert said["asof"] == f"{kept.opens[-1].astype('datetime64[s]') + np.timedelta64(90, 'm')}+00:00"
    says(whole.iloc[:-298].drop(whole.index[-380:-340]), "the newest session of GEN misses minutes")
    says(whole.assign(low=whole["low"] * 2.0), "contradict themselves")
    says(pd.concat([whole, whole.assign(symbol="OTHER")]), "2 instruments")
    for words in ((), ("--bars", str(cut), "--rows", str(cut))):
        with pytest.raises(FixInput, match="exactly one of --rows and --bars"):
            CliRunner().invoke(app, [*asked, *words], catch_exceptions=False)


def test_its_noise_twin_is_called_no_skill(market: Path) -> None:
    known = read_evidence(trained(market, "noise", "noise_run"))
    assert known.forward_ic.t < 2.0 and any("not distinguishable from no skill" in warning for warning in known.warnings)


def test_the_same_seed_writes_the_same_bytes_with_two_workers_and_on_from_where_it_broke_off(
    market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, again = market / "run", market / "again"

    def broken(*_: object, **__: object) -> object:
        raise FixInput("broken off")

    with monkeypatch.context() as patch:
        patch.setattr(type(BARRIER_CLASSES), "judge", broken)
        words = ["train", "--sleeve", "bars", "--data", str(market / "planted"), "--run", str(again), "--config", str(market / "bars.yml")]
        with pytest.raises(FixInput, match="broken off"):
            CliRunner().invoke(app, [*words, "--workers", "2"], catch_exceptions=False)
    assert json.loads(ran("status", "--run", str(again), "--json"))["done"] == 13
    with monkeypatch.context() as patch:
        patch.setattr("trainer.training.train.prove", broken)
        patch.setattr("signals.code_version.code_version", lambda host: "2.0+of a later program")
        with pytest.raises(FixInput, match="broken off"):
            CliRunner().invoke(app, words, catch_exceptions=False)
    monkeypatch.setattr("trainer.training.train.prove", lambda *_, **__: pytest.fail("what was proved is taken up again"))
    trained(market, "planted", "again", "--workers", "2")
    for name in FILES:
        assert (again / name).read_bytes() == (one / name).read_bytes(), name
    documents = [json.loads((run / "evidence.json").read_text()) for run in (one, again)]
    for known in documents:
        known.pop("trials")  # the record of trials has grown
    assert documents[0] == documents[1]
    assert not (market / "again.stages").exists()


def test_a_run_is_validated_and_a_changed_one_is_named(market: Path) -> None:
    run = market / "run"
    status = json.loads(ran("status", "--run", str(run), "--json"))
    assert status["done"] == 14 and status["stages"][0]["symbol"] == "GEN"
    assert json.loads(ran("validate", "--run", str(run), "--json"))["faults"] == []
    spoiled = run / "feature_list.json"
    kept = spoiled.read_text()
    spoiled.write_text(kept.replace(json.loads(kept)["spec_hash"], "0" * 64))
    done = CliRunner().invoke(app, ["validate", "--run", str(run), "--json"])
    spoiled.write_text(kept)
    assert done.exit_code == 1 and json.loads(done.stdout)["faults"] == ["the features are not those of this program's sleeve"]
