"""`trainer train` from a dataset to a run folder: what it writes, what it refuses, and that it repeats itself."""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import duckdb
import lightgbm
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from signals.config import load
from signals.errors import BadConfig, BadDataset, DataNotUsable, FixInput, InvariantBroken, NotASession, TooLittleHistory, UnknownSymbol
from signals.market.dataset import SessionStatus, load_bars, read_manifest
from signals.models.inference import predict
from tests.fakes.curated import END, curate
from trainer.__main__ import app
from trainer.commands.training import overridden
from trainer.learners.export import export
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import CpcvConfig, RecipeConfig
from trainer.runs.run_folder import write_run
from trainer.samples.samples import Range, prepare
from trainer.tasks.recipes import RECIPES, read_config
from trainer.training.train import TrainingRequest, steps, train

ROOT = Path(__file__).resolve().parents[2]
RECIPE = RECIPES["equities_xs"]
CONFIG = RecipeConfig(
    lightgbm=LightGbmConfig(trees=15, num_leaves=7, min_data_in_leaf=100),
    cpcv=CpcvConfig(groups=4, test_groups=2, embargo_sessions=5, holdout_sessions=40),
)
FILES = {
    "model.onnx",
    "model.txt",
    "model.pkl",
    "model_before_holdout.txt",
    "feature_list.json",
    "training_cfg.json",
    "oof.parquet",
    "walk_forward.parquet",
    "evidence.json",
    "golden.npz",
    "drift_reference.json",
    "report.html",
    "report.md",
    "plots/ic_by_path.png",
    "plots/cumulative_ic.png",
    "plots/deciles.png",
    "plots/importance.png",
    "plots/coverage.png",
    "plots/drawdown.png",
    "plots/capacity.png",
    "plots/reliability.png",
    "plots/trials.png",
}


def request(data: Path, run: Path, /, **changes: object) -> TrainingRequest:
    plain = TrainingRequest(data=data, run=run, start=None, end=None, symbols=(), seed=1, workers=2, code_version="test")
    return replace(plain, **changes)


def no_step(_: str) -> None:
    """Nobody watches."""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curate(tmp_path_factory.mktemp("market"))


def test_a_recipe_may_learn_from_the_newest_sessions_alone(data: Path) -> None:
    """A window rolls with the end of the data; without one the recipe keeps the hash that it had before there were any."""
    windowed, manifest = CONFIG.model_copy(update={"window_sessions": 150}), read_manifest(data)
    days = manifest.calendar.between(manifest.first, manifest.last)
    for last in (days[-1], days[-2]):
        material = prepare(RECIPE, windowed, Range(data, end=last))
        learned = material.source.bars.sessions[np.unique(material.rows.t0)].astype(object).tolist()
        first = days[days.index(last) - 149]
        assert learned[0] == first and len(learned) <= 150, (learned[0], first)
    assert windowed.fingerprint() != CONFIG.fingerprint() and "window_sessions" not in CONFIG.identity()


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    folder = data.parent / "run"
    told: list[str] = []
    train(RECIPE, CONFIG, request(data, folder, second=data), told.append)
    assert len(told) == steps(CONFIG)
    return folder


@pytest.fixture(scope="module")
def known(run: Path) -> dict[str, object]:
    evidence: dict[str, object] = json.loads((run / "evidence.json").read_bytes())
    return evidence


def test_the_run_folder_holds_every_file_and_no_other(run: Path) -> None:
    assert set(contents(run)) == FILES


def test_the_same_data_and_seed_give_the_same_bytes_however_many_work_at_it(data: Path, run: Path, tmp_path: Path) -> None:
    train(RECIPE, CONFIG, request(data, tmp_path / "again", workers=1, second=data), no_step)
    first, second = contents(run), contents(tmp_path / "again")
    assert [name for name in FILES if first[name] != second[name]] == []


def test_the_leak_battery_s_checks_stand_in_the_evidence(known: dict) -> None:
    checks = known["leaks"]["checks"]
    assert [check["check"] for check in checks] == [
        "early moves",
        "entry 1 later",
        "entry 5 later",
        "features lagged one session",
        "labels shifted",
        "session replaced",
        "second vendor",
    ]
    assert all(check["why"] for check in checks)
    assert known["leaks"]["second_vendor"]["closes"]["lag_+0"] == 1.0
    told = [w for w in known["warnings"] if w.startswith("LEAK SUSPECTED")]
    assert len(told) >= sum(not check["passed"] for check in checks)


def test_another_seed_gives_another_model(data: Path, run: Path, tmp_path: Path) -> None:
    train(RECIPE, CONFIG, request(data, tmp_path / "other", seed=2), no_step)
    assert (tmp_path / "other" / "model.txt").read_bytes() != (run / "model.txt").read_bytes()


def test_the_evidence_agrees_with_its_own_out_of_fold_file(run: Path, known: dict) -> None:
    """scipy and pandas recompute the IC from oof.parquet: per session over paths, then the mean."""
    frame = pq.read_table(run / "oof.parquet").to_pandas()
    assert list(frame.columns) == ["session", "symbol", "path", "score", "label"]
    assert frame.equals(frame.sort_values(["path", "session", "symbol"], ignore_index=True))
    by = frame.groupby(["path", "session"])[["score", "label"]].apply(lambda rows: spearmanr(rows["score"], rows["label"]).statistic)
    assert by.groupby("session").mean().mean() == pytest.approx(known["ic"]["mean"], abs=1e-12)
    paths = [path["mean"] for path in known["ic"]["by_path"]]
    assert by.groupby("path").mean().tolist() == pytest.approx(paths, abs=1e-12)
    assert len(paths) == 3


def test_every_path_scores_every_open_row_once(run: Path, known: dict) -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT path, count(*), count(DISTINCT session || symbol), count(score) FROM '{run / 'oof.parquet'}' "
            "GROUP BY path ORDER BY path"
        ).fetchall()
    assert rows == [(path, *[known["cpcv"]["rows"]] * 3) for path in range(3)]


def test_the_certificate_is_zero_for_every_split_and_parity_covers_every_row(known: dict) -> None:
    assert known["leak_certificate"] == {"total": 0, "by_split": [0] * 6}
    assert known["parity"]["rows"] == known["training"]["rows"]
    assert known["parity"]["rows_with_nan"] > 0
    assert known["parity"]["max_difference"] <= 1e-6


def test_the_last_label_ends_with_the_data_and_the_last_features_k_sessions_and_an_entry_before(data: Path, known: dict) -> None:
    calendar = read_manifest(data).calendar
    assert known["last_label_session"] == END.isoformat()
    assert known["last_training_session"] == calendar.offset(END, -6).isoformat()
    assert known["horizon"] == 5


def test_what_is_open_ends_an_embargo_before_the_holdout(data: Path, known: dict) -> None:
    """The last open label ends at least embargo + 1 sessions before the first sealed features."""
    calendar = read_manifest(data).calendar
    last_open_label = calendar.index(date.fromisoformat(known["cpcv"]["last"])) + 6
    assert calendar.index(date.fromisoformat(known["holdout"]["first"])) - last_open_label == 5 + 1
    assert known["holdout"]["sessions"] == 40
    assert known["holdout"]["last"] == known["last_training_session"]


def test_the_golden_vectors_are_real_rows_with_gaps_that_the_device_s_code_reproduces(run: Path) -> None:
    golden = np.load(io.BytesIO((run / "golden.npz").read_bytes()))
    assert golden["inputs"].shape == (64, len(RECIPE.sleeve.names)) and golden["inputs"].dtype == np.float32
    assert np.isnan(golden["inputs"]).any() and np.ptp(golden["scores"]) > 0
    again = predict([(run / "model.onnx").read_bytes()], golden["inputs"])
    np.testing.assert_array_equal(again, golden["scores"])


def test_text_pickle_and_onnx_are_one_model(run: Path) -> None:
    inputs = np.load(io.BytesIO((run / "golden.npz").read_bytes()))["inputs"]
    text = lightgbm.Booster(model_str=(run / "model.txt").read_text()).predict(inputs, num_threads=1)
    np.testing.assert_array_equal(pickle.loads((run / "model.pkl").read_bytes()).predict(inputs), text)
    np.testing.assert_allclose(predict([(run / "model.onnx").read_bytes()], inputs), text, atol=1e-7)
    assert (run / "model_before_holdout.txt").read_bytes() != (run / "model.txt").read_bytes()


def test_the_feature_list_is_the_sleeve_s(run: Path) -> None:
    listed = json.loads((run / "feature_list.json").read_bytes())
    assert [(f["name"], f["units"], f["lookback_sessions"]) for f in listed["features"]] == list(RECIPE.sleeve.spec)
    assert listed["spec_hash"] == RECIPE.sleeve.spec_hash


def test_the_report_prints_the_ic_with_its_error_and_the_universe_s_survivorship(run: Path, known: dict) -> None:
    text = (run / "report.md").read_text()
    assert f"{known['ic']['mean']:+.4f} ± {known['ic']['standard_error']:.4f}" in text
    assert f"| Universe | {known['dataset']['survivorship']} |" in text
    assert "| Eligible names have | at least 5 USD as traded (3 to stay) and 1,000,000 USD a session" in text
    assert all(f"plots/{name}.png" in (run / "report.html").read_text() for name in ("ic_by_path", "coverage"))


def test_nothing_after_end_is_read(data: Path, tmp_path: Path) -> None:
    """--end on the whole dataset and a dataset whose vendor file stops there give the same model and scores."""
    end = read_manifest(data).calendar.offset(END, -20)
    shorter = curate(tmp_path, until=end)
    train(RECIPE, CONFIG, request(data, tmp_path / "cut", end=end), no_step)
    train(RECIPE, CONFIG, request(shorter, tmp_path / "short"), no_step)
    for name in ("model.txt", "oof.parquet", "golden.npz", "drift_reference.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "short" / name).read_bytes(), name


def test_drift_is_measured_against_scores_of_models_that_never_saw_the_session(run: Path) -> None:
    """The score's deciles are those of one path out of fold, but for the first three sessions of each group."""
    rows = pq.read_table(run / "oof.parquet").to_pandas()
    one = rows[rows["path"] == 0]
    sessions = np.unique(one["session"])
    begun = np.concatenate([part[:3] for part in np.array_split(sessions, CONFIG.cpcv.groups)])
    kept = one[~one["session"].isin(begun)]["score"].to_numpy(dtype=np.float64)
    reference = json.loads((run / "drift_reference.json").read_bytes())
    assert reference["score"]["edges"] == pytest.approx(np.quantile(kept, np.arange(1, 10) / 10), rel=1e-5)
    assert "score" in reference["continuity"]["columns"]


def test_start_leaves_earlier_features_out_and_their_look_back_in(data: Path, tmp_path: Path) -> None:
    calendar = read_manifest(data).calendar
    start = calendar.offset(END, -200)
    found = train(RECIPE, CONFIG, request(data, tmp_path / "late", start=start), no_step)
    assert found.first_training_session == start.isoformat()
    first = pq.read_table(tmp_path / "late" / "oof.parquet")["session"].to_numpy().min()
    assert first == np.datetime64(start, "D")


def test_red_sessions_are_refused_by_name_and_nothing_is_written(tmp_path: Path, data: Path) -> None:
    calendar = read_manifest(data).calendar
    missing = tuple(calendar.offset(END, -100 + i) for i in range(5))
    thin = curate(tmp_path, without=missing)
    assert read_manifest(thin).status(missing[0]).status is SessionStatus.RED
    with pytest.raises(DataNotUsable, match=f"5 RED sessions.*{missing[0]}"):
        train(RECIPE, CONFIG, request(thin, tmp_path / "run"), no_step)
    assert not (tmp_path / "run").exists()
    before = calendar.previous(missing[0])
    assert train(RECIPE, CONFIG, request(thin, tmp_path / "run", end=before), no_step).ic.sessions > 0


def test_a_run_folder_is_never_written_over(data: Path, run: Path) -> None:
    before = contents(run)
    with pytest.raises(FixInput, match="the folder exists"):
        train(RECIPE, CONFIG, request(data, run), no_step)
    assert contents(run) == before


def test_too_little_history_is_said_and_leaves_nothing(data: Path, tmp_path: Path) -> None:
    long = CONFIG.model_copy(update={"cpcv": CpcvConfig(groups=4, holdout_sessions=252)})
    with pytest.raises(TooLittleHistory, match="sealed holdout of 252"):
        train(RECIPE, long, request(data, tmp_path / "run"), no_step)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"end": date(2030, 1, 2)}, NotASession, "no bars of 2030-01-02"),
        ({"end": date(2024, 12, 25)}, NotASession, "2024-12-25"),
        ({"symbols": ("NOSUCH",)}, UnknownSymbol, "NOSUCH"),
        ({"data": Path("/nonexistent")}, BadDataset, "no manifest"),
    ],
)
def test_bad_requests_have_one_clear_error(
    data: Path, tmp_path: Path, changes: dict[str, object], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        train(RECIPE, CONFIG, request(data, tmp_path / "run", **changes), no_step)
    assert not (tmp_path / "run").exists()


def test_a_tampered_bars_file_is_refused(tmp_path: Path) -> None:
    folder = curate(tmp_path)
    bars = next(iter(sorted((folder / "bars").iterdir())))
    content = bytearray(bars.read_bytes())
    content[len(content) // 2] ^= 1
    bars.write_bytes(content)
    with pytest.raises(BadDataset, match="not what the manifest vouches for"):
        train(RECIPE, CONFIG, request(folder, tmp_path / "run"), no_step)


def test_a_run_that_fails_while_writing_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_run(tmp_path / "run", {"a": b"1", "b": None})  # type: ignore[dict-item]
    assert not (tmp_path / "run").exists()
    write_run(tmp_path / "run", {"a": b"1"})
    assert contents(tmp_path / "run") == {"a": b"1"}


def test_the_shipped_recipe_is_the_built_in_one() -> None:
    assert read_config(ROOT / "configs" / "sleeves" / "equities_xs.yml", RECIPE) == RECIPE.config


def test_an_unknown_key_of_a_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yml"
    path.write_text("lightgbm: {tree: 10}\n")
    with pytest.raises(BadConfig, match=r"lightgbm\.tree"):
        load(path, RecipeConfig)


def test_the_command_line_overrides_the_recipe_and_is_checked_like_it() -> None:
    changed = overridden(RecipeConfig(), {"label.k": 10, "cpcv.groups": 6, "cpcv.embargo_sessions": 0})
    assert (changed.label.k, changed.cpcv.groups, changed.cpcv.embargo_sessions) == (10, 6, 0)
    with pytest.raises(BadConfig, match="leaves none to train on"):
        overridden(RecipeConfig(), {"cpcv.groups": 2})
    with pytest.raises(BadConfig, match=r"label\.k"):
        overridden(RecipeConfig(), {"label.k": 0})
    with pytest.raises(BadConfig, match=r"label\.kind"):
        overridden(RecipeConfig(), {"label.kind": "oracle"})


def test_the_command_trains_and_prints_the_evidence_as_json(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "recipe.yml"
    config.write_text(json.dumps(CONFIG.model_dump(mode="json")))
    result = CliRunner().invoke(
        app,
        [
            "train",
            "--sleeve",
            "equities_xs",
            "--data",
            str(data),
            "--run",
            str(tmp_path / "run"),
            "--config",
            str(config),
            "--folds",
            "3",
            "--json",
        ],
    )
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    written = json.loads((tmp_path / "run" / "evidence.json").read_bytes())
    assert printed == {**written, "run": str(tmp_path / "run")}
    assert printed["cpcv"]["groups"] == 3


@pytest.mark.parametrize(("option", "match"), [(["--sleeve", "nope"], "no sleeve 'nope'"), (["--end", "soon"], "not a date")])
def test_the_command_names_a_wrong_option(data: Path, tmp_path: Path, option: list[str], match: str) -> None:
    plain = ["train", "--sleeve", "equities_xs", "--data", str(data), "--run", str(tmp_path / "run")]
    result = CliRunner().invoke(app, [*plain, *option])
    assert isinstance(result.exception, FixInput) and match in str(result.exception)


def test_the_panel_that_is_trained_on_is_that_of_the_curated_bars(data: Path, run: Path) -> None:
    """Labels of the oof file are the open-to-open returns of the dataset's own bars, taken from one cell by hand."""
    manifest = read_manifest(data)
    bars = load_bars(data, manifest, manifest.first, manifest.last)
    frame = pq.read_table(run / "oof.parquet").to_pandas()
    line = frame[frame["path"] == 0].iloc[1000]
    t, n = bars.index(line["session"]), bars.column(line["symbol"])
    growth = bars.close[t + 1, n] / bars.open[t + 1, n] * np.prod(1 + bars.total_return[t + 2 : t + 6, n])
    assert line["label"] == pytest.approx(growth * (1 + bars.overnight_return[t + 6, n]) - 1, rel=1e-12)


def test_a_learner_whose_export_is_wrong_stops_the_run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.training.train.export", partial(export, tolerance=-1.0))
    with pytest.raises(InvariantBroken, match="differ from the native ones"):
        train(RECIPE, CONFIG, request(data, tmp_path / "run"), no_step)
    assert not (tmp_path / "run").exists()
