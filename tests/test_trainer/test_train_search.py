"""`trainer train --trials`, `trainer search` and `trainer compare` on a small curated market."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from distributed import LocalCluster
from typer.testing import CliRunner

from signals.bundle.graph import check_model
from signals.config import load
from signals.errors import FixInput
from signals.models.inference import predict
from tests.fakes.curated import curate
from trainer.__main__ import app
from trainer.learners.parameters import LightGbmConfig
from trainer.learners.table import LEARNERS
from trainer.recipes.base import CpcvConfig, RecipeConfig, SearchConfig
from trainer.runs import chain
from trainer.runs.looks import LOOKS
from trainer.search import trial_log

CONFIG = RecipeConfig(
    lightgbm=LightGbmConfig(trees=8, num_leaves=7, min_data_in_leaf=100),
    cpcv=CpcvConfig(groups=4, test_groups=2, embargo_sessions=5, holdout_sessions=40),
    search=SearchConfig(startup_trials=2, lightgbm={"num_leaves": (3, 7), "learning_rate": (0.05, 0.1)}, catboost={"depth": (2, 3)}),
)
SLEEVE = ["--sleeve", "equities_xs"]
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    curate(folder)
    (folder / "recipe.yml").write_text(yaml.safe_dump(CONFIG.model_dump(mode="json")))
    return folder


def call(place: Path, *words: str, data: Path | None = None) -> Answer:
    plain = ["--data", str(data or place / "curated"), "--config", str(place / "recipe.yml"), "--workers", "1", "--json"]
    result = CliRunner().invoke(app, [words[0], *SLEEVE, *plain, *words[1:]])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    answer: Answer = json.loads(result.stdout)
    return answer


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copied(data: Path, folder: Path, *, with_record: bool = True) -> Path:
    """The dataset in a folder of its own, with its record of trials or as if nothing had been tried."""
    left_out = () if with_record else (trial_log.FILE, f"{trial_log.FILE}.head")
    shutil.copytree(data, folder / "curated", ignore=shutil.ignore_patterns(*left_out))
    return folder / "curated"


@pytest.fixture(scope="module")
def trained(place: Path) -> Answer:
    """A search of three and the training of its best; `after` is the dataset as it was then."""
    data = copied(place / "curated", place / "after", with_record=False)
    return call(place, "train", "--run", str(place / "run"), "--trials", "3", "--importance", data=data)


@pytest.fixture
def after(place: Path, trained: Answer, tmp_path: Path) -> Path:
    return copied(place / "after" / "curated", tmp_path / "after")


@pytest.fixture
def fresh(place: Path, tmp_path: Path) -> Path:
    return copied(place / "curated", tmp_path / "fresh", with_record=False)


def test_the_evidence_counts_the_trials_and_judges_the_chosen_one(place: Path, trained: Answer, after: Path) -> None:
    """The training of a search's best trial is that trial: three in all."""
    found = trained["trials"]
    assert found["n_trials"] == 3 and sum(found["states"].values()) == 3
    history = trial_log.read(after)
    assert found["chain"]["head"] in history.heads
    searched = history.studies[found["study"]]
    assert len(searched.trials) == 3 and found["trial"] in {trial.key for trial in searched.trials}
    best = max(t.sharpe for t in history.studies[found["study"]].trials if t.state == "completed")
    assert found["bins"]["shared"] == pytest.approx(best * 252**0.5, abs=1e-14)
    assert 0.0 <= found["dsr"] <= found["psr"] <= 1.0
    assert not found["pbo"]["applicable"] and 0.0 <= found["pbo"]["probability_of_loss"] <= 1.0
    assert 0.0 < found["max_t"]["p"] < 1.0 and found["max_t"]["trials"] == 3


@pytest.mark.slow
def test_every_route_to_one_model_has_the_same_deflated_sharpe_ratio(
    place: Path, trained: Answer, fresh: Path, after: Path, tmp_path: Path
) -> None:
    """Search and train at once; search, compare, then train; train what was searched on a copy of the data.

    Whatever the run folder and whether or not the search is named, the trials are the same three, and ridge, which the
    comparison tried, is a fourth one for everybody.
    """
    made = call(place, "search", "--to", str(tmp_path / "s"), "--trials", "3", data=fresh)
    one = ("--run", str(tmp_path / "one"), "--config", made["recipe"])
    second = call(place, "train", *one, data=fresh)
    third = call(place, "train", "--run", str(tmp_path / "two"), "--config", made["recipe"], data=after)
    ratios = [known["trials"]["dsr"] for known in (trained, second, third)]
    assert ratios[0] == ratios[1] == ratios[2] == made["dsr"]
    assert [known["trials"]["n_trials"] for known in (trained, second, third)] == [3, 3, 3]
    models = {(place / "run" / "model.onnx").read_bytes(), *((tmp_path / n / "model.onnx").read_bytes() for n in ("one", "two"))}
    assert len(models) == 1
    words = ("--to", str(tmp_path / "c"), "--learners", "lightgbm,ridge", "--config", made["recipe"])
    call(place, "compare", *words, data=fresh)
    again = call(place, "train", "--run", str(tmp_path / "three"), "--config", made["recipe"], data=fresh)
    assert again["trials"]["n_trials"] == 4 and again["trials"]["dsr"] < ratios[0]


def test_a_recipe_carries_its_search_and_is_refused_where_that_is_on_no_record(
    place: Path, trained: Answer, after: Path, fresh: Path, tmp_path: Path
) -> None:
    """Until the record of the data that was searched is merged: then it trains, and counts them."""
    recipe = json.loads((place / "run" / "training_cfg.json").read_bytes())["config"]
    (tmp_path / "best.yml").write_text(yaml.safe_dump(recipe))
    assert recipe["study"] == trained["trials"]["study"]
    words = ("--run", str(tmp_path / "run"), "--config", str(tmp_path / "best.yml"))
    with pytest.raises(FixInput, match=r"whose trials are not on record.*trainer trials"):
        call(place, "train", *words, data=fresh)
    merge = ["trials", "--data", str(fresh), "--merge", str(after), "--json"]
    merged = json.loads(CliRunner().invoke(app, merge).stdout)
    assert merged["sleeves"]["equities_xs"]["trials"] == 3 and set(merged["merged"].values()) == {14}
    assert set(json.loads(CliRunner().invoke(app, merge).stdout)["merged"].values()) == {0}
    assert call(place, "train", *words, data=fresh)["trials"]["dsr"] == trained["trials"]["dsr"]


def test_what_a_search_chose_is_published_as_if_there_had_been_no_search(place: Path, trained: Answer, after: Path, tmp_path: Path) -> None:
    """Its shared bins reach no model, no score and no figure but those that count and compare the trials."""
    recipe = json.loads((place / "run" / "training_cfg.json").read_bytes())["config"]
    (tmp_path / "best.yml").write_text(yaml.safe_dump(recipe))
    words = ("--run", str(tmp_path / "run"), "--importance", "--config", str(tmp_path / "best.yml"))
    known = call(place, "train", *words, data=after)
    of_search = {"trials": None, "run": None}
    assert {**known, **of_search} == {**trained, **of_search}
    assert known["trials"]["sharpe"] == trained["trials"]["sharpe"] and known["trials"]["bins"] is None
    told_of_trials = {"evidence.json", "report.md", "report.html"}
    with_search, without = contents(place / "run"), contents(tmp_path / "run")
    differing = {name for name in with_search if with_search[name] != without.get(name)}
    assert differing <= told_of_trials and "model.onnx" in without and "walk_forward.parquet" in without


def test_the_gap_between_shared_bins_and_each_split_s_own_is_told(place: Path, trained: Answer) -> None:
    bins = trained["trials"]["bins"]
    assert bins["per_split"] == trained["trials"]["sharpe"]["annual"] != bins["shared"]
    assert bins["gap"] == bins["shared"] - bins["per_split"]
    for name in ("report.md", "report.html"):
        assert f"gap {bins['gap']:+.2f}" in (place / "run" / name).read_text()


def test_the_run_is_of_the_best_trial_s_parameters(place: Path, trained: Answer, after: Path) -> None:
    config = json.loads((place / "run" / "training_cfg.json").read_bytes())["config"]
    study = trial_log.read(after).studies[trained["trials"]["study"]]
    best = max((t for t in study.trials if t.state == "completed"), key=lambda t: t.sharpe)
    assert {name: config["lightgbm"][name] for name in best.parameters} == best.parameters


def test_nothing_of_the_search_reads_a_sealed_session(trained: Answer, after: Path) -> None:
    study = trial_log.read(after).studies[trained["trials"]["study"]]
    assert study.sessions[-1] == trained["cpcv"]["last"] < trained["holdout"]["first"]
    assert study.identity["last"] == trained["cpcv"]["last"]


def test_a_record_that_was_cut_is_refused_at_the_next_training(place: Path, after: Path, tmp_path: Path) -> None:
    kept = (after / trial_log.FILE).read_bytes().splitlines(keepends=True)[:-2]
    (after / trial_log.FILE).write_bytes(b"".join(kept))
    with pytest.raises(FixInput, match="cut or replaced"):
        call(place, "train", "--run", str(tmp_path / "run"), data=after)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_same_search_and_training_again_give_the_same_bytes_and_no_further_trial(place: Path, after: Path, tmp_path: Path) -> None:
    """In another run folder, with a sampler that remembers nothing: the record has the answers."""
    before = (after / trial_log.FILE).read_bytes()
    call(place, "train", "--run", str(tmp_path / "run"), "--trials", "3", "--importance", data=after)
    assert contents(tmp_path / "run") == contents(place / "run")
    assert (after / trial_log.FILE).read_bytes() == before


@pytest.mark.slow
def test_a_training_on_a_cluster_writes_the_bytes_of_a_local_one(place: Path, trained: Answer, fresh: Path) -> None:
    run = fresh.parent / "run"
    with LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1") as local:
        words = ("--run", str(run), "--trials", "3", "--importance", "--cluster", local.scheduler_address)
        call(place, "train", *words, data=fresh)
    assert contents(run) == contents(place / "run")


@pytest.mark.slow
def test_every_training_counts_whatever_its_folder_seed_or_recipe(place: Path, after: Path, tmp_path: Path) -> None:
    """Three searched, then one of other folds, one of another seed in another folder, and the second one again."""
    words = [("--folds", "3"), ("--seed", "7", "--folds", "3"), ("--seed", "7", "--folds", "3")]
    counts = [
        call(place, "train", "--run", str(tmp_path / str(n) / "run"), *more, data=after)["trials"]["n_trials"]
        for n, more in enumerate(words)
    ]
    assert counts == [4, 5, 5]


def test_without_any_trial_one_is_counted(place: Path, fresh: Path, tmp_path: Path) -> None:
    known = call(place, "train", "--run", str(tmp_path / "run"), "--folds", "3", data=fresh)
    assert known["trials"]["n_trials"] == 1 and known["trials"]["dsr"] == known["trials"]["psr"]
    assert (fresh / trial_log.FILE).exists() and known["importance"] is None


def test_a_training_that_dies_is_on_record(place: Path, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("trainer.training.train.prove", die)
        with pytest.raises(MemoryError):
            call(place, "train", "--run", str(tmp_path / "died"), "--seed", "9", data=fresh)
    known = call(place, "train", "--run", str(tmp_path / "run"), "--folds", "3", data=fresh)["trials"]
    assert known["n_trials"] == 2 and known["blind"] == 1 and known["states"]["interrupted"] == 1


def test_importance_stands_in_the_evidence_and_in_the_report(place: Path, trained: Answer) -> None:
    found = trained["importance"]
    assert len(found["by_feature"]) == len(found["shap"]) == 38
    assert sum(len(cluster["features"]) for cluster in found["by_cluster"]) == 38
    for name in ("importance_permuted.png", "importance_clusters.png", "importance_shap.png"):
        assert (place / "run" / "plots" / name).is_file()
        assert f"plots/{name}" in (place / "run" / "report.html").read_text()


def test_the_report_names_the_count_and_the_deflated_ratio(place: Path, trained: Answer) -> None:
    text = (place / "run" / "report.md").read_text()
    assert "| Trials that count | 3 (" in text and f"{trained['trials']['dsr']:.3f}" in text


@pytest.mark.parametrize("learner", [pytest.param("catboost", marks=pytest.mark.slow), "ridge", "logistic"])
def test_a_run_of_any_learner_is_one_that_a_device_accepts(place: Path, tmp_path: Path, learner: str) -> None:
    run = tmp_path / "run"
    known = call(place, "train", "--run", str(run), "--folds", "3", "--learner", learner, "--device", "cpu")
    assert known["learner"] == {"kind": learner, "device": "cpu"}
    assert known["parity"]["max_difference"] <= known["parity"]["tolerance"]
    check_model((run / "model.onnx").read_bytes(), "model.onnx")
    with np.load(run / "golden.npz") as file:
        golden = dict(file)
    names = tuple(f["name"] for f in json.loads((run / "feature_list.json").read_bytes())["features"])
    read = LEARNERS[learner].read((run / "model.txt").read_text(), names)  # type: ignore[index]
    np.testing.assert_allclose(read.predict(golden["inputs"]), golden["scores"], atol=2e-5)
    np.testing.assert_array_equal(predict([(run / "model.onnx").read_bytes()], golden["inputs"]), golden["scores"])


@pytest.mark.slow
def test_searching_alone_writes_a_recipe_that_trains(place: Path, tmp_path: Path) -> None:
    """On data whose record holds no trial yet; asked again, it shows the same and counts none twice."""
    data = tmp_path / "market" / "curated"
    shutil.copytree(place / "curated", data, ignore=shutil.ignore_patterns("trials.jsonl*", f"{LOOKS}*"))
    words = ("search", "--to", str(tmp_path / "s"), "--trials", "2", "--learner", "catboost")
    known = call(place, *words, data=data)
    best = load(Path(known["recipe"]), RecipeConfig)
    assert best.learner == "catboost" and best.catboost.depth == known["best"]["parameters"]["depth"]
    again = call(place, *words, data=data)
    looked = [one for one in chain.read(data / LOOKS, fix="").records if one["command"] == "search"]
    assert known["study"] in {one["model"] for one in looked}
    assert again == known and known["n_trials"] == 2 and known["bins"] is None


def test_a_search_alone_judges_its_best_recipe_as_the_training_of_it_does(place: Path, trained: Answer, tmp_path: Path) -> None:
    known = call(place, "search", "--to", str(tmp_path / "s"), "--trials", "3")
    assert known["sharpe"] == trained["trials"]["sharpe"] and known["bins"] == trained["trials"]["bins"]


@pytest.fixture(scope="module")
def compared(place: Path) -> Answer:
    return call(place, "compare", "--learners", "lightgbm,ridge", "--to", str(place / "compared"))


def test_a_comparison_is_what_each_learner_s_own_training_finds(place: Path, compared: Answer, tmp_path: Path) -> None:
    own = call(place, "train", "--run", str(tmp_path / "run"), "--learner", "ridge")
    row = next(row for row in compared["learners"] if row["learner"] == "ridge")
    assert row["out_of_fold_ic"]["mean"] == own["ic"]["mean"]
    assert row["walk_forward_ic"] == own["walk_forward"]["ic"]
    assert row["sharpe_net_annual"] == pytest.approx(own["trials"]["sharpe"]["annual"])


def test_a_comparison_writes_down_which_sessions_it_has_shown(place: Path, compared: Answer, trained: Answer) -> None:
    known = chain.read(place / "curated" / LOOKS, fix="").records
    shown = {one["command"]: one["last"] for one in known}
    assert {"compare", "train"} <= shown.keys() and shown["compare"] == shown["train"] < trained["last_label_session"]


def test_a_comparison_says_gaps_and_that_the_holdout_stays_sealed(place: Path, compared: Answer) -> None:
    text = (place / "compared" / "comparison.md").read_text()
    assert "sealed holdout is not shown" in text and "| lightgbm |" in text and "| ridge |" in text
    for row in compared["learners"]:
        assert row["gap_train_out_of_fold"] == row["train_ic"]["mean"] - row["out_of_fold_ic"]["mean"]
    memorised = {row["learner"]: row["gap_train_out_of_fold"] for row in compared["learners"]}
    assert memorised["lightgbm"] > memorised["ridge"] > 0


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("compare", "--learners", "lightgbm,oracle"), "no learner oracle"),
        (("compare", "--learners", "ridge", "--device", "tpu"), "no device 'tpu'"),
        (("compare", "--learners", "ridge", "--device", "cuda"), "no CUDA device"),
        (("search", "--learner", "oracle"), "learner"),
    ],
)
def test_a_wrong_choice_is_named(place: Path, tmp_path: Path, words: tuple[str, ...], match: str) -> None:
    with pytest.raises(FixInput, match=match):
        call(place, *words, "--to", str(tmp_path / "to"))


def test_the_oof_file_is_not_touched_by_importance(place: Path, trained: Answer) -> None:
    assert pq.read_table(place / "run" / "oof.parquet").num_rows == trained["cpcv"]["rows"] * trained["cpcv"]["paths"]
