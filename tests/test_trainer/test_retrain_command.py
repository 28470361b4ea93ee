"""`trainer retrain` as a person types it: real trainings, accepted, trained again, published, pulled by a device and traded."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from signals.errors import FixInput
from signals.features.panel import FeaturePanel
from signals.features.treatment import Treatment
from signals.market.dataset import read_manifest
from signals.models.inference import predict
from signals.monitoring.drift import read_reference, trailing_psi
from signals.sleeves.equities_xs import EQUITIES_XS
from tests.fakes.curated import curate
from tests.fakes.device import Workbench
from trainer.__main__ import app
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import CpcvConfig, RecipeConfig
from trainer.samples.samples import Range, prepare
from trainer.tasks.recipes import recipe_named

SLEEVE = "equities_xs"
BOOSTED = RecipeConfig(
    seeds=2,
    lightgbm=LightGbmConfig(trees=12, num_leaves=4, min_data_in_leaf=200, learning_rate=0.1),
    cpcv=CpcvConfig(groups=3, test_groups=1, embargo_sessions=5, holdout_sessions=40),
)
CALM = BOOSTED.model_copy(update={"learner": "ridge", "features": Treatment(winsorise_sd=3.0, half_life_sessions=2)})


@dataclass(frozen=True)
class Desk:
    folder: Path
    days: tuple[str, ...]

    def call(self, *words: str, exits: int = 0, as_json: bool = True) -> Any:
        result = CliRunner().invoke(app, [*words, *(["--json"] if as_json else [])])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exits, result.output
        return json.loads(result.stdout) if as_json else result.stdout

    def of(self, name: str) -> str:
        return str(self.folder / name)

    def retrain(self, name: str, end: str, exits: int = 0, registry: str = "registry", workers: str = "1", **more: Any) -> Any:
        return self.call(
            "retrain",
            "--sleeve",
            SLEEVE,
            "--role",
            "evaluation",
            "--data",
            self.of("curated"),
            "--run",
            self.of(name),
            "--registry",
            self.of(registry),
            "--end",
            end,
            "--workers",
            workers,
            exits=exits,
            **more,
        )

    def publish(self, name: str, *more: str, registry: str = "registry", store: str = "store") -> Any:
        places = ("--keys", self.of("keys"), "--to", self.of(store), "--registry", self.of(registry))
        return self.call("publish", "--run", self.of(name), "--role", "evaluation", *places, *more)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    manifest = read_manifest(curate(folder))
    days = tuple(str(day) for day in manifest.calendar.between(manifest.first, manifest.last))
    made = Desk(folder, days)
    made.call("keys", "--to", made.of("keys"))
    for name, config in (("calm", CALM), ("boosted", BOOSTED)):
        (folder / f"{name}.yml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
        made.call(
            "train",
            "--sleeve",
            SLEEVE,
            "--data",
            made.of("curated"),
            "--run",
            made.of(name),
            "--config",
            made.of(f"{name}.yml"),
            "--end",
            days[-11],
            "--workers",
            "1",
            "--seed",
            "3",
        )
    made.publish("calm", "--accept", "to learn operations on")
    return made


def test_an_accepted_evaluation_is_trained_again_and_goes_out_in_its_role(desk: Desk) -> None:
    root = json.loads(Path(desk.of("calm/evidence.json")).read_bytes())
    early = desk.retrain("early", desk.days[-9], 1, as_json=False)
    assert "FAIL  week" in early and "REFUSED: retraining 1" in early and not Path(desk.of("early")).exists()
    found = desk.retrain("week", desk.days[-6])
    assert found["is_kept"], found["why"]
    evidence = json.loads(Path(desk.of("week/evidence.json")).read_bytes())
    assert (evidence["config_hash"], evidence["seed"]) == (root["config_hash"], 3)
    assert evidence["last_training_session"] > root["last_training_session"] and evidence["holdout"]["opened"] == 0
    lineage = evidence["lineage"]
    assert (lineage["of"], lineage["role"]) == (1, "evaluation")
    assert lineage["predecessor"] == lineage["ancestor"] == found["facts"]["ancestor"]
    assert lineage["predecessor"]["rank_correlation"] >= 0.95 and lineage["predecessor"]["sessions"] == 21
    assert desk.publish("week")["seq"] == 2
    shown = desk.call("history", "--registry", desk.of("registry"), "--verify")
    assert [one["event"] for one in shown["lineages"]] == ["begun", "published", "refused", "retrained", "published"]
    assert shown["verified"]["lineages"] == 5


@pytest.mark.slow
def test_it_is_the_same_to_the_byte_however_many_work_at_it(desk: Desk) -> None:
    """Two registries with the same accepted model of two seeds; the bound is what its evidence says of other seeds."""
    root = json.loads(Path(desk.of("boosted/evidence.json")).read_bytes())
    assert root["seed_null"]["seeds"] == 2 and 0.5 < root["seed_null"]["single"]["low"] < 0.95
    for number in ("1", "2"):
        desk.publish("boosted", "--accept", "again", registry=f"registry{number}")
        found = desk.retrain(f"run{number}", desk.days[-6], 0, f"registry{number}", number)
        row = next(row for row in found["rows"] if row["bar"] == "predecessor")
        assert row["passed"] and row["limit"] == root["seed_null"]["single"]["low"]
    names = ("model.onnx", "model.txt", "evidence.json", "oof.parquet", "golden.npz", "training_cfg.json")
    one, two = ({name: Path(desk.of(f"run{number}/{name}")).read_bytes() for name in names} for number in (1, 2))
    assert [name for name in names if one[name] != two[name]] == []


def test_only_an_evaluation_is_accepted(desk: Desk) -> None:
    words = ["--run", desk.of("calm"), "--keys", desk.of("keys"), "--to", desk.of("store"), "--accept", "x"]
    with pytest.raises(FixInput, match="only an evaluation is accepted"):
        desk.call("publish", "--role", "shadow", *words, "--registry", desk.of("registry"))


@pytest.fixture(scope="module")
def published(desk: Desk) -> Desk:
    """The desk with a store of its own for devices: the dataset and the model that was accepted first."""
    desk.call("publish-data", "--data", desk.of("curated"), "--keys", desk.of("keys"), "--to", desk.of("served/data"))
    desk.publish("calm", "--accept", "to learn operations on", registry="registry of devices", store="served")
    return desk


def on_a_device(desk: Desk, state: Path) -> Workbench:
    bench = Workbench(state)
    done = bench("init", "--venue", "exchange", "--store", desk.of("served"), "--trust", desk.of("keys/root.pub"), "--fixed-ic", "0.05")
    assert done.code == 0, done.err
    return bench


def test_a_treated_model_is_scored_and_traded_by_a_device_as_the_trainer_scores_it(published: Desk, tmp_path: Path) -> None:
    """Its recipe winsorises and smooths. Scores of two evenings are to the bit those of the panel that the trainer learns from, and so
    is the drift, in which untreated features would be beyond their limits; the second evening goes on from the first."""
    bench, (first, last) = on_a_device(published, tmp_path / "device"), published.days[-2:]
    assert bench("arm", "--session", first, "--yes").code == 0
    day = bench("run-day", "--session", first, "--json")
    assert day.code == 0 and {job["status"] for job in day.json["jobs"]} == {"done"}, day.out
    for job in ("pull", "score"):
        assert bench("job", job, "--session", last).code == 0
    (bundle,) = Path(published.of(f"served/{SLEEVE}/evaluation")).glob("1-*")
    material = prepare(recipe_named(SLEEVE), CALM, Range(Path(published.of("curated"))))
    scores = {}
    for asof in published.days[-3:-1]:
        symbols, rows = material.panel.at(date.fromisoformat(asof))
        scores[asof] = dict(zip(symbols, predict([(bundle / "model.onnx").read_bytes()], rows).tolist(), strict=True))
        assert dict(bench.rows("SELECT symbol, score FROM scores WHERE asof = ?", asof)) == scores[asof] and len(symbols) > 40
    said = scores[published.days[-3]]
    bought, sold = ([said[name] for name, how in bench.rows("SELECT symbol, side FROM intents") if how == side] for side in ("buy", "sell"))
    assert len(bought) > 10 < len(sold) and min(bought) > max(sold)

    limits = read_reference(json.loads((bundle / "drift.json").read_bytes()))
    treated, plain = (
        {one.name: one for one in trailing_psi(limits, until(panel, published.days[-3]), []).features}
        for panel in (material.panel, EQUITIES_XS.panel(material.source.bars))
    )
    ((report,),) = bench.rows("SELECT figures FROM job_runs WHERE job = 'report'")
    recorded = {row["name"]: row["psi"] for row in json.loads(report)["drift"]["rows"] if row["name"] != "score"}
    assert recorded == {name: one.value for name, one in treated.items()}
    assert plain["overnight_return"].ratio > 4.0 > 1.0 > treated["overnight_return"].ratio
    judged = dict(bench.rows("SELECT name, value FROM tripwires WHERE session = ? AND NOT tripped", last))
    assert 0.0 < float(judged["DRIFT_STEP"]) < 1.0 and float(judged["DRIFT_RECOMPUTED"]) == 0.0


def until(panel: FeaturePanel, asof: str) -> FeaturePanel:
    end = int(np.searchsorted(panel.sessions, np.datetime64(asof))) + 1
    return replace(panel, sessions=panel.sessions[:end], values=panel.values[:end], eligible=panel.eligible[:end])


def test_a_history_too_short_to_smooth_ends_in_a_skipped_evening_and_no_plan(published: Desk, tmp_path: Path) -> None:
    """The data begin eight sessions ago, and the window reads twelve: nothing is scored by what is there."""
    bench, last = on_a_device(published, tmp_path / "device"), published.days[-1]
    assert bench("job", "pull", "--session", last).code == 0
    with duckdb.connect(str(bench.state / "market.duckdb")) as store:
        for table in ("bars", "audits"):
            store.execute(f"DELETE FROM {table} WHERE session < ?", [published.days[-9]])
    scored = bench("job", "score", "--session", last)
    assert scored.code == 3 and "skipped: DRIFT_RELATIONS" in scored.out, scored.out
    assert bench("job", "plan", "--session", last).code == 3
    assert bench.rows("SELECT count(*) FROM scores") == bench.rows("SELECT count(*) FROM plans") == [(0,)]
