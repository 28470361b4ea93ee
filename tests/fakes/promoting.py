"""A person's shell at a small generated market, and the life of its champions: refused, promoted, challenged, rolled back."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from signals.files import write_atomic
from signals.market.dataset import read_manifest
from signals.market.manifest import PriceBasis
from tests.fakes.shadowing import device_log
from trainer.__main__ import app
from trainer.curation.config import CurationConfig
from trainer.curation.generated import generate
from trainer.curation.generated.market import UNIVERSE_FILE
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import CpcvConfig, RecipeConfig, SearchConfig
from trainer.runs.evidence import Evidence
from trainer.search.challenger import Challenger

SLEEVE = "equities_xs"
RECIPE = RecipeConfig(
    lightgbm=LightGbmConfig(trees=20, num_leaves=7, min_data_in_leaf=100, learning_rate=0.1),
    cpcv=CpcvConfig(groups=4, test_groups=2, embargo_sessions=5, holdout_sessions=60),
    search=SearchConfig(startup_trials=2, lightgbm={"num_leaves": (3, 7)}),
)
POOR = RECIPE.model_copy(update={"lightgbm": LightGbmConfig(trees=6, num_leaves=2, min_data_in_leaf=500)})
BARS = {
    "min_sessions": 60,
    "champion_sessions": 40,
    "shadow_sessions": 20,
    "champion_margin": 3.0,
    "min_decile_order": 0.2,
    "max_sure_ic": 1.0,
    "max_plausible_sharpe": 100.0,
}
WORD = ("--replace-for", "age", "--word", "it knows thirty sessions more", "--by", "A. Person")
SESSIONS, NAMES, STRENGTH = 620, 45, 0.5


@dataclass(frozen=True)
class Desk:
    """A person's shell: a folder, its dataset, and the last sessions."""

    folder: Path
    ends: tuple[str, str]

    def call(self, *words: str, exits: int = 0) -> dict[str, Any]:
        """Run a command with --json and return its answer."""
        result = CliRunner().invoke(app, [*words, "--json"])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exits, result.output
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def said(self, *words: str, exits: int = 0) -> str:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == exits, result.output
        return result.stdout

    def train(self, name: str, end: str, *, recipe: str = "recipe.yml", bars: str = "bars.yml", trials: int = 0, seed: int = 1) -> Path:
        run = self.folder / "runs" / name
        given = ("--sleeve", SLEEVE, "--data", self.of("curated"), "--config", self.of(recipe), "--end", end, "--bars", self.of(bars))
        search = ("--trials", str(trials), "--search", self.of(f"search-{name}"))
        self.call("train", *given, "--run", str(run), "--workers", "1", *search, "--seed", str(seed))
        return run

    def promote(self, run: Path, *more: str, bars: str = "bars.yml", exits: int = 0) -> dict[str, Any]:
        return self.call("promote", *self.judging(run, bars), *more, exits=exits)

    def judging(self, run: Path, bars: str = "bars.yml") -> list[str]:
        given = ["--run", str(run), "--data", self.of("curated"), "--registry", self.of("registry"), "--bars", self.of(bars)]
        leak = "leak: the signal is planted, at many times an honest strength"
        return [*given, "--waive", "long embargo: a market of 620 sessions", "--waive", leak, "--by", "Ada"]

    def of(self, name: str) -> str:
        return str(self.folder / name)


def desk_at(folder: Path, ends: tuple[str, str] = ("", "")) -> Desk:
    """A shell without a market: its files of settings are there, and nothing to judge."""
    (folder / "recipe.yml").write_text(yaml.safe_dump(RECIPE.model_dump(mode="json")))
    (folder / "poor.yml").write_text(yaml.safe_dump(POOR.model_dump(mode="json")))
    (folder / "bars.yml").write_text(yaml.safe_dump({"promotion": BARS}))
    (folder / "steep.yml").write_text(yaml.safe_dump({"promotion": {**BARS, "min_sharpe": 50.0}}))
    return Desk(folder, ends)


def desk_of_a_market(folder: Path) -> Desk:
    """A shell with a market whose signal is far stronger than any real one; its bars are of that scale."""
    market = generate(11, NAMES, SESSIONS, strength=STRENGTH, with_defects=False)
    bars, actions = market.write(folder / "vendor", seasoning=30)
    ingest(
        DeliveryFiles(bars, actions, folder / "vendor" / UNIVERSE_FILE),
        folder / "curated",
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig(min_history=30)),
    )
    days = [str(day) for day in market.truth.sessions]
    return desk_at(folder, (days[-70], days[-40]))


@dataclass(frozen=True)
class Life:
    """`steep` refused, `a` champion, `b` lost, `c` refused without a word and champion with one, back to `a`."""

    desk: Desk
    answers: dict[str, dict[str, Any]]

    @property
    def registry(self) -> Path:
        return self.desk.folder / "registry"

    def run(self, name: str) -> Path:
        return self.desk.folder / "runs" / name

    def copied(self, name: str, folder: Path) -> Path:
        """A copy of a run that a test may change."""
        return Path(shutil.copytree(self.run(name), folder / name))

    def copied_registry(self, folder: Path) -> str:
        shutil.copytree(self.registry, folder / "registry")
        return str(folder / "registry")

    def challenger(self, evidence: Evidence, registry: Path) -> Challenger:
        """`a` with other evidence."""
        return Challenger(self.run("a"), Path(self.desk.of("curated")), registry, evidence, "model", "settings", "bars")

    def manifest(self, name: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((Path(self.answers[name]["folder"]) / "manifest.json").read_bytes())
        return document


def lived(desk: Desk) -> Life:
    """Type the whole life: three trainings and more, some forty CPU-seconds."""
    answers: dict[str, dict[str, Any]] = {}

    def publish(name: str, run: Path, role: str) -> None:
        words = ["--run", str(run), "--role", role, "--keys", desk.of("keys"), "--to", desk.of("store")]
        answers[name] = desk.call("publish", *words, "--registry", desk.of("registry"))

    desk.call("keys", "--to", desk.of("keys"))
    steep = desk.train("steep", desk.ends[0], bars="steep.yml", seed=2)
    answers["steep"] = desk.promote(steep, bars="steep.yml", exits=1)
    publish("steep published", steep, "evaluation")
    a = desk.train("a", desk.ends[0], trials=2)
    answers["a"] = desk.promote(a)
    answers["a again"] = desk.promote(a)
    publish("a published", a, "champion")
    b = desk.train("b", desk.ends[1], recipe="poor.yml")
    answers["b unseen"] = desk.promote(b, exits=1)
    answers["b shadow"] = shadow(desk, b)
    answers["b"] = desk.promote(b, exits=1)
    c = desk.train("c", desk.ends[1])
    shadow(desk, c)
    answers["c silent"] = desk.promote(c, exits=1)
    answers["c"] = desk.promote(c, *WORD)
    publish("c published", c, "champion")
    answers["a later"] = desk.promote(a, exits=1)
    grant = ["--keys", desk.of("keys"), "--store", desk.of("store"), "--valid-until", "2030-01-31", "--to", desk.of("grant")]
    answers["back"] = desk.call("rollback", *back(desk, "1.0.0"), *grant)
    return Life(desk, answers)


def shadow(desk: Desk, run: Path) -> dict[str, Any]:
    """Publish a run as a shadow, let a device record it until the data end, and judge the record."""
    words = ["--run", str(run), "--role", "shadow", "--keys", desk.of("keys"), "--to", desk.of("store")]
    published = desk.call("publish", *words, "--registry", desk.of("registry"))
    manifest = read_manifest(desk.folder / "curated")
    evidence = json.loads((run / "evidence.json").read_bytes())
    first = manifest.calendar.next(date.fromisoformat(evidence["last_label_session"]))
    log = device_log(Path(published["folder"]), desk.folder / "curated", first, manifest.last)
    write_atomic(desk.folder / f"shadow-{run.name}.json", log.to_bytes())
    return desk.call("shadow", *shadowing(desk, run), "--recorded", desk.of(f"shadow-{run.name}.json"))


def shadowing(desk: Desk, run: Path) -> list[str]:
    return ["--run", str(run), "--data", desk.of("curated"), "--bars", desk.of("bars.yml")]


def back(desk: Desk, version: str, reason: str = "it lost money live") -> list[str]:
    return ["--registry", desk.of("registry"), "--sleeve", SLEEVE, "--version", version, "--reason", reason]


def failed(answer: dict[str, Any]) -> list[str]:
    return [row["bar"] for row in answer["rows"] if not row["passed"]]
