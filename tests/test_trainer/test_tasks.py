"""Tasks beside the ranking of returns and the forecast of volatility, and recipes whose parts disagree."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from signals.errors import BadConfig, FixInput
from signals.market.dataset import load_bars
from signals.market.manifest import PriceBasis
from signals.models.inference import GraphMember, infer, predict
from signals.sleeves.equities_xs import EQUITIES_XS
from signals.sleeves.risk import RISK
from signals.views import WindowsView
from tests.fakes.bars import synthetic_bars
from tests.fakes.curated import END, YOUNG, curate
from tests.fakes.labelled import samples_of
from tests.fakes.plugin import write_calm, write_reversal
from trainer.__main__ import app
from trainer.curation.generated import generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping
from trainer.labels.horizon import horizon_labels
from trainer.labels.triple_barrier import Barriers, trailing_volatility, triple_barrier_labels
from trainer.learners.base import FitDevice
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.runs.artefacts import form_of
from trainer.samples.samples import samples
from trainer.tasks import TASKS
from trainer.tasks.recipes import RECIPES, config_of, recipe_named, require_agreement, task_of
from trainer.tasks.series_return import SERIES_RETURN, timing
from trainer.tasks.triple_barrier import CLASSES, TRIPLE_BARRIER, BarrierRecipe
from trainer.validation.probabilities import class_figures

SMALL = """
lightgbm: {trees: 12, num_leaves: 7, min_data_in_leaf: 60}
seeds: 1
cpcv: {groups: 4, test_groups: 2, embargo_sessions: 5, long_embargo_sessions: 0, holdout_sessions: 40}
"""


def call(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*words, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curate(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def recipe(data: Path) -> Path:
    path = data.parent / "small.yml"
    path.write_text(SMALL)
    return path


def test_a_triple_barrier_is_trained_by_one_option(data: Path, recipe: Path, tmp_path: Path) -> None:
    """`--label triple_barrier`: 2 and 1 sigma of 20 sessions, 10 sessions of patience, classes learned, trades' returns judged."""
    run = tmp_path / "run"
    words = ("--data", str(data), "--run", str(run), "--config", str(recipe))
    known = call("train", "--sleeve", "equities_xs", "--label", "triple_barrier", *words)
    assert (known["label"], known["horizon"], known["entry"], known["leak_certificate"]["total"]) == ("triple_barrier", 10, "opg", 0)
    classes = known["classes"]
    assert classes["profit"] + classes["stop"] + classes["time"] == pytest.approx(1.0)
    assert classes["stop"] > classes["profit"] > 0.05, "a stop at one sigma is nearer than a profit at two"
    assert known["calibration"]["event"] == "the profit target is touched first"
    assert known["calibration"]["judged"]["came"] < 0.5
    config = json.loads((run / "training_cfg.json").read_bytes())["config"]
    assert config["label"] | {"profit": 2.0, "stop": 1.0, "k": 10, "window": 20, "quality": True} == config["label"]
    with np.load(run / "golden.npz") as golden:
        np.testing.assert_array_equal(predict([(run / "model.onnx").read_bytes()], golden["inputs"]), golden["scores"])
    assert "Log loss of profit against stop" in (run / "report.md").read_text()


@pytest.mark.slow
def test_the_classes_themselves_are_trained_averaged_and_written_with_a_head_of_their_names(data: Path, tmp_path: Path) -> None:
    run, path = tmp_path / "run", tmp_path / "classes.yml"
    path.write_text(SMALL.replace("seeds: 1", "seeds: 2") + "label: {kind: triple_barrier, classes: true}\n")
    known = call("train", "--sleeve", "equities_xs", "--data", str(data), "--run", str(run), "--config", str(path))
    assert known["parity"]["max_difference"] <= known["parity"]["tolerance"]
    [line] = form_of(run).heads
    assert line.head == CLASSES
    with np.load(run / "golden.npz") as golden:
        again = infer([GraphMember((run / "model.onnx").read_bytes(), {"score": 3})], {"features": golden["features"]})
        np.testing.assert_array_equal(again["score"], golden["score"])


def test_one_symbol_is_trained_sealed_published_and_has_an_outlook(recipe: Path, tmp_path: Path) -> None:
    """The label decides how many names a session needs: a ranking cannot be learned of one, a series' own return can.

    The seal is opened by its promotion alone; the bundle then says by Platt's map, worked by hand, whether the symbol rises.
    """
    bars, actions = generate(5, 10, 700, END).write(tmp_path / "vendor")
    terms = DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=YOUNG)
    data, run, registry = tmp_path / "curated", tmp_path / "one", str(tmp_path / "registry")
    manifest = ingest(DeliveryFiles(bars, actions), data, terms)
    whole = load_bars(data, manifest, manifest.first, manifest.last)
    symbol = whole.symbols[int(whole.eligible.sum(axis=0).argmax())]
    words = ("--data", str(data), "--config", str(recipe), "--symbols", symbol)
    with mock.patch.object(Figure, "savefig", lambda figure, file, **_: file.write(b"\x89PNG")):
        known = call("train", "--sleeve", "equities_xs", "--label", "series_return", "--run", str(run), *words)
    assert known["training"]["symbols"] == 1 and known["training"]["rows"] == known["training"]["sessions"]
    assert known["label"] == "series_return" and known["timing"]["hit_rate"]["sessions"] > 50
    assert (run / "plots" / "cumulative_ic.png").exists() and not (run / "promotion").exists()
    refused = CliRunner().invoke(app, ["train", "--sleeve", "equities_xs", "--run", str(tmp_path / "none"), *words])
    assert "eligible names" in str(refused.exception)

    loose = tmp_path / "loose.yml"
    loose.write_text("promotion: {min_sessions: 20, champion_sessions: 20, max_best_of_all_p: 1.0}\n")
    answered = ("--waive", "a market that was generated", "--by", "Ada", "--registry", registry, "--bars", str(loose), "--json")
    judged = CliRunner().invoke(app, ["promote", "--data", str(data), "--run", str(run), *answered])
    found = json.loads(judged.stdout)
    assert judged.exit_code == int(found["event"] == "refused"), judged.output
    assert "correlation" in found["why"] and "still sealed: another bar fails" in found["why"]

    keys, store, rows = str(tmp_path / "keys"), tmp_path / "store", tmp_path / "rows.parquet"
    call("keys", "--to", keys)
    call("publish", "--run", str(run), "--role", "evaluation", "--keys", keys, "--to", str(store), "--registry", registry)
    [folder] = store.glob("equities_xs/evaluation/[0-9]*")
    newest = EQUITIES_XS.features(whole.select((symbol,)), whole.asof)
    values = {name: pa.array(newest.values[0, :, at]) for at, name in enumerate(newest.names)}
    pq.write_table(pa.table({"symbol": [symbol], "asof": [whole.asof], **values}), rows)
    asked = call("outlook", "--bundle", str(folder), "--rows", str(rows), "--data", str(data), "--keys", keys)
    [said] = asked["outlooks"]
    raw = float(predict([(folder / "model.onnx").read_bytes()], newest.values[0])[0])
    platt = json.loads((folder / "manifest.json").read_bytes())["heads"][0]["calibration"]
    assert platt["event"] == "its return over the label's sessions is above zero"
    up = 1.0 / (1.0 + np.exp(-(platt["map"]["slope"] * raw + platt["map"]["intercept"])))
    assert said["probabilities"] == [pytest.approx(up)] and said["signal"] == (1 if up > 0.5 else -1) and said["symbol"] == symbol


def test_what_a_triple_barrier_teaches_is_how_the_trade_ended_and_its_quality_weighs_a_session_as_before() -> None:
    bars = synthetic_bars(3, sessions=120, symbols=30)
    config = BarrierRecipe()
    labels, plain = (TRIPLE_BARRIER.labels(bars, one, ()) for one in (config, config_of(_without_quality(), where="test")))
    known = labels.ends >= 0
    found = triple_barrier_labels(bars, Barriers())
    np.testing.assert_array_equal(labels.target[known], found.side[known])
    assert set(np.unique(labels.target[known])) == {-1.0, 0.0, 1.0} and plain.quality is None
    means = np.nanmean(np.where(known, labels.quality, np.nan)[known.any(axis=1)], axis=1)
    np.testing.assert_allclose(means, 1.0)
    assert np.nanmin(labels.quality) == 0.5 and np.nanmax(labels.quality) == 1.5
    panel = EQUITIES_XS.panel(bars)
    weighed, alike = (samples(panel, one, first=60) for one in (labels, plain))
    for rows in (weighed, alike):
        by_session = np.bincount(rows.t0, rows.weight)[np.unique(rows.t0)]
        np.testing.assert_allclose(by_session, by_session[0])
    assert len(np.unique(weighed.weight.round(9))) > len(np.unique(alike.weight.round(9)))


def _without_quality() -> dict[str, Any]:
    return {"label": {"kind": "triple_barrier", "quality": False}}


def test_log_loss_of_profit_against_stop_is_below_the_base_rates_for_a_score_that_knows_alone() -> None:
    rng = np.random.default_rng(0)
    sessions, names = 200, 20
    t0 = np.repeat(np.arange(sessions), names)
    side = rng.choice([-1.0, 0.0, 1.0], len(t0), p=[0.5, 0.2, 0.3])
    rows = samples_of(
        np.busday_offset(np.datetime64("2020-01-01"), np.arange(sessions + 5), roll="forward"),
        tuple(f"N{i:02d}" for i in range(names)),
        ("f",),
        features=np.zeros((len(t0), 1), np.float32),
        t0=t0,
        t1=t0 + 3,
        column=np.tile(np.arange(names), sessions),
        label=side,
        target=side,
        weight=np.ones(len(t0)),
    )
    knows, guesses = class_figures(rows, side + rng.normal(size=len(t0))), class_figures(rows, rng.normal(size=len(t0)))
    assert knows.is_skilled and not np.isnan(guesses.log_loss) and guesses.log_loss > guesses.base_log_loss - 0.01
    assert (round(knows.profit, 1), round(knows.stop, 1), round(knows.time, 1)) == (0.3, 0.5, 0.2)
    assert np.isnan(class_figures(rows.where(side > 0), np.ones(int((side > 0).sum()))).log_loss)


def test_a_series_is_measured_in_its_own_volatility_and_by_its_own_ranks() -> None:
    """The correlation through time of a score with itself is 1, but for names that have fewer sessions than others."""
    bars = synthetic_bars(5, sessions=160, symbols=6)
    labels = SERIES_RETURN.labels(bars, RecipeConfig(), ())
    known = labels.ends >= 0
    expected = horizon_labels(bars, 5).values / (trailing_volatility(bars.total_return, 20) * np.sqrt(5))
    np.testing.assert_allclose(labels.target[known], expected[known])
    values = np.where(known, labels.values, np.nan)
    assert np.nanmean(timing(values, values)) == pytest.approx(1.0, abs=0.05)
    assert np.nanmean(timing(-values, values)) == pytest.approx(-1.0, abs=0.05)
    assert np.isnan(timing(values[:20], values[:20])).all(), "twenty sessions of a name rank nothing"


@pytest.mark.parametrize(
    ("sleeve", "document", "device", "sentence"),
    [
        (EQUITIES_XS, {"label": {"kind": "volatility"}}, FitDevice.AUTO, "the feature log_volatility_22, which the sleeve equities_xs"),
        (EQUITIES_XS, {"sleeve": "risk"}, FitDevice.AUTO, "the recipe is of the sleeve risk, not of equities_xs"),
        (EQUITIES_XS, {"view": {"kind": "windows", "length": 20}}, FitDevice.AUTO, "the learner lightgbm takes no windows, only table"),
        (RISK, {"learner": "ridge"}, FitDevice.CUDA, "no CUDA device"),
    ],
)
def test_a_recipe_whose_parts_disagree_is_refused_in_one_sentence(
    sleeve: Any, document: dict[str, Any], device: FitDevice, sentence: str, tmp_path: Path
) -> None:
    config = config_of(document, where="test")
    with pytest.raises(BadConfig, match=sentence) as told:
        require_agreement(Recipe(sleeve, task_of(config), config), device)
    assert str(told.value).count(". ") <= 1


def test_the_refusal_comes_before_any_data_are_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yml"
    path.write_text("label: {kind: volatility}\n")
    nowhere = ("--data", str(tmp_path / "no dataset"), "--run", str(tmp_path / "run"))
    answer = CliRunner().invoke(app, ["train", "--sleeve", "equities_xs", "--config", str(path), *nowhere])
    assert isinstance(answer.exception, BadConfig) and "log_volatility_22" in str(answer.exception)


def test_forecasts_are_not_compared_by_a_book(tmp_path: Path) -> None:
    where = ("--data", str(tmp_path / "no dataset"), "--to", str(tmp_path / "to"))
    answer = CliRunner().invoke(app, ["compare", "--learners", "ridge", "--sleeve", "risk", *where])
    assert isinstance(answer.exception, FixInput) and "the task volatility has no" in str(answer.exception)


@pytest.mark.parametrize("command", ["backtest", "stack"])
def test_forecasts_are_neither_backtested_nor_stacked(command: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "evidence.json").write_text(json.dumps({"sleeve": "risk", "label": "volatility"}))
    words = {"backtest": ("--run", str(run)), "stack": ("--runs", str(run), "--runs", str(run))}[command]
    dates = ("--start", "2024-01-02", "--end", "2024-02-01") if command == "backtest" else ()
    answer = CliRunner().invoke(app, [command, *words, "--data", str(tmp_path), "--to", str(tmp_path / "to"), *dates])
    assert isinstance(answer.exception, FixInput) and "ranks nothing to trade" in str(answer.exception)


def test_every_recipe_agrees_with_itself_and_an_unknown_label_is_refused() -> None:
    for name in RECIPES:
        require_agreement(recipe_named(name))
    with pytest.raises(BadConfig, match="there is no label 'oracle'"):
        config_of({"label": {"kind": "oracle"}}, where="test")
    assert len({task.kind for task in TASKS.values()}) == len(TASKS)


def test_a_view_other_than_the_table_changes_the_recipes_hash_and_the_table_does_not() -> None:
    plain = RecipeConfig()
    assert replace(Recipe(EQUITIES_XS, task_of(plain), plain), config=plain).config.fingerprint() == plain.fingerprint()
    assert "view" not in plain.identity() and plain.model_copy(update={"view": WindowsView(20)}).fingerprint() != plain.fingerprint()
    assert config_of({"sleeve": "equities_xs"}, where="test").fingerprint() == plain.fingerprint()


def test_a_sleeve_and_a_task_of_packages_in_a_folder_are_trained_without_touching_the_product(
    data: Path, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the folder on the path neither is there; `tests/contracts` runs on both where they are installed."""
    with monkeypatch.context() as patched:
        for folder in (write_reversal(tmp_path / "sleeve"), write_calm(tmp_path / "task")):
            patched.syspath_prepend(str(folder))
        words = ("--data", str(data), "--run", str(tmp_path / "run"), "--config", str(recipe))
        known = call("train", "--sleeve", "reversal", "--label", "calm", *words)
    assert (known["sleeve"], known["label"], known["horizon"], known["leak_certificate"]["total"]) == ("reversal", "calm", 3, 0)
    assert "calm" not in TASKS and "reversal" not in RECIPES


def test_the_battery_of_tasks_passes_on_a_plug_in(tmp_path: Path) -> None:
    """`tests/contracts/test_tasks.py` runs on what is installed, the plug-in too."""
    code = (
        f"import sys; sys.path.insert(0, {str(write_calm(tmp_path))!r}); import pytest;"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-k', 'calm', 'tests/contracts/test_tasks.py']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def test_classes_can_be_learned_themselves_and_a_learner_without_them_is_refused(tmp_path: Path) -> None:
    """Three raw scores of stop, time and profit; what ranks is P(profit) - P(stop)."""
    config = config_of(
        {"label": {"kind": "triple_barrier", "classes": True}, "lightgbm": {"trees": 10, "min_data_in_leaf": 20}}, where="test"
    )
    assert TRIPLE_BARRIER.head_of(config).names == ("stop", "time", "profit")
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 2)).astype(np.float32)
    side = np.digitize(features[:, 0], [-0.5, 0.8]) - 1.0
    model = TRIPLE_BARRIER.learner(config, 1, FitDevice.CPU).fit(features, side, np.ones(2000), ("a", "b"), np.arange(2000) // 20)
    scores = model.predict(features)
    means = [scores[side == one].mean() for one in (-1.0, 0.0, 1.0)]
    assert means == sorted(means) and -1.0 < scores.min() < scores.max() < 1.0
    linear = config.model_copy(update={"learner": "ridge"})
    with pytest.raises(BadConfig, match="the task triple_barrier asks for classes, the learner ridge gives score"):
        require_agreement(Recipe(EQUITIES_XS, TRIPLE_BARRIER, linear))
