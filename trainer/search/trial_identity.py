"""Identity of a trial: data, recipe, seed and device; and recording a single trial.

A trial is known by its key, the hash of what can change its outcome: the sleeve, its features, the version of the data,
the names, the open sessions, the recipe with its parameters, the seed and the device. The run folder, the command, the
space that a search drew from and other learners' sections are no part of it. So a search's trial that is trained
afterwards, compared or trained again is the same trial, and counts once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from signals.files import sha256_of
from signals.market.bars import Days, Floats
from trainer.learners.base import FitDevice
from trainer.learners.table import LEARNERS
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.runs.documents import canonical_json
from trainer.samples.samples import Samples
from trainer.samples.source import TrainingBars
from trainer.search import trial_log
from trainer.search.trial_log import Trial, TrialOutcome, ended

BARS_KEY = "promotion_bars"
SEARCH, TRAIN, PROVED, COMPARE, STACK, JUDGED = "search", "train", "proved", "compare", "stack", "judged"
DATA = ("sleeve", "spec_hash", "snapshot_id", "symbols", "first", "last")
NAME_DIGITS = 16


@dataclass(frozen=True, eq=False)
class Series:
    """Net session returns, float64 (n,), and their sessions, datetime64[D] (n,)."""

    days: Days
    net: Floats


@dataclass(frozen=True)
class OneTrial:
    """One trial outside a search: what was asked, and the key and recipe of the trial (`Trial`)."""

    identity: Mapping[str, object]
    key: str
    recipe: str = ""
    lineage: str = ""

    @property
    def study(self) -> str:
        """Name of the study that holds it."""
        return trial_hash(self.identity)


def asked(
    command: str, data: Mapping[str, object], config: RecipeConfig, *, seed: int, device: FitDevice, bars_hash: str = "", lineage: str = ""
) -> OneTrial:
    """Return the question that `command` asks by one training on `data` (`data_of`).

    `lineage` is the key of the trial whose recipe is trained again on later data: such a training is recorded and
    counts as no further trial where that ancestor is on record with the same recipe and seed (`counting`).
    """
    key, of_recipe = trial_key(data, config, seed, device), recipe_hash(data, config, seed)
    more = {"lineage": lineage} if lineage else {}
    return OneTrial({"command": command, **data, "trial": key, BARS_KEY: bars_hash, **more}, key, of_recipe, lineage)


def data_of(recipe: Recipe, source: TrainingBars, open_rows: Samples) -> dict[str, object]:
    """Return what a trial learns from and is judged on, as far as it names a trial."""
    return {
        "sleeve": recipe.sleeve.name,
        "spec_hash": recipe.sleeve.spec_hash,
        "snapshot_id": source.manifest.snapshot_id,
        "symbols": list(open_rows.symbols),
        "first": day_of(open_rows, int(open_rows.t0.min())),
        "last": day_of(open_rows, int(open_rows.t0.max())),
    }


def day_of(rows: Samples, row: int) -> str:
    """ISO date of a row of the samples' axis, which may hold days or moments."""
    return str(rows.sessions[row].astype("datetime64[D]"))


def trial_key(data: Mapping[str, object], config: RecipeConfig, seed: int, device: FitDevice) -> str:
    """Key of a trial of `config` on `data` (`data_of`)."""
    known = {name: data.get(name) for name in DATA}
    return trial_hash({**known, "recipe": recipe_hash(data, config, seed), "device": str(device)})


def recipe_hash(data: Mapping[str, object], config: RecipeConfig, seed: int) -> str:
    """Hash of features, recipe and seed, without the data."""
    chosen = config.identity()
    for section in ("search", *(name for name in LEARNERS if name != config.learner)):
        chosen.pop(section, None)
    return trial_hash({"spec_hash": data.get("spec_hash"), "config": chosen, "seed": seed})


def begin(data: Path, question: OneTrial) -> None:
    """Record that the trial was started, before anything of it is known; it counts from now on."""
    if question.study not in trial_log.read(data).studies:
        opening = {"kind": "study", "study": question.study, "identity": question.identity, "sessions": []}
        trial_log.append(data, opening, _started(question, 0))


def end(data: Path, question: OneTrial, series: Series) -> None:
    """Record what came out; an answer that is on record already adds nothing, another one is another trial."""
    trials = trial_log.read(data).studies[question.study].trials
    if any(_is_same(trial, series) for trial in trials if trial.state is TrialOutcome.COMPLETED):
        return
    is_first = len(trials) == 1 and trials[0].state is TrialOutcome.INTERRUPTED
    number = 0 if is_first else len(trials)
    outcome = ended(Trial(number, TrialOutcome.COMPLETED, {}, series.net, days=series.days))
    begun = [] if is_first else [_started(question, number)]
    trial_log.append(data, *begun, {"study": question.study, **outcome})


def _started(question: OneTrial, number: int) -> dict[str, object]:
    return {
        "kind": "started",
        "study": question.study,
        "number": number,
        "parameters": {},
        "trial": question.key,
        "recipe": question.recipe,
    }


def _is_same(trial: Trial, series: Series) -> bool:
    return bool(np.array_equal(trial.net, series.net) and np.array_equal(trial.days, series.days))


def trial_hash(document: Mapping[str, object]) -> str:
    """Return the short hash by which studies, trials and recipes are named."""
    return sha256_of(canonical_json(document))[:NAME_DIGITS]
