"""`trainer retrain` as a person types it: real trainings, accepted, trained again, published."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from signals.errors import FixInput
from signals.market.dataset import read_manifest
from tests.fakes.curated import curate
from trainer.__main__ import app
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import CpcvConfig, RecipeConfig

SLEEVE = "equities_xs"
BOOSTED = RecipeConfig(
    seeds=2,
    lightgbm=LightGbmConfig(trees=12, num_leaves=4, min_data_in_leaf=200, learning_rate=0.1),
    cpcv=CpcvConfig(groups=3, test_groups=1, embargo_sessions=5, holdout_sessions=40),
)
CALM = BOOSTED.model_copy(update={"learner": "ridge"})


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

    def publish(self, name: str, *more: str, registry: str = "registry") -> Any:
        return self.call(
            "publish",
            "--run",
            self.of(name),
            "--role",
            "evaluation",
            "--keys",
            self.of("keys"),
            "--to",
            self.of("store"),
            "--registry",
            self.of(registry),
            *more,
        )


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
