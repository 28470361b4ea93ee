"""What was tried for one training, and the search that a training may begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signals.bars import Floats
from signals.holding import Opens
from trainer.models.base import Device
from trainer.recipes.base import Recipe, RecipeConfig, learner_of
from trainer.samples import Samples, seal_holdout
from trainer.search import store
from trainer.search.judgement import Evidence, judge
from trainer.search.run import Arena, Found, Plan, search
from trainer.search.trial import Trial
from trainer.source import Source
from trainer.validation.oof import Step
from trainer.validation.walk_forward import walk_forward

BARS_KEY = "promotion_bars"


@dataclass(frozen=True)
class SearchRequest:
    """Where a sleeve's trials are remembered, and how many the study shall have; 0 counts those that are there.

    `bars_hash` names the promotion bars that hold, before anything is known: another search than under other bars.
    """

    folder: Path
    trials: int
    storage: str = ""
    bars_hash: str = ""


@dataclass(frozen=True, eq=False)
class Tried:
    """Everything that was tried before a model was chosen.

    Attributes
    ----------
    study : str
        Empty without a search.
    trials, baselines
        Of that study.
    tries : int
        Of every study of the folder, and 1 for a training whose parameters no search chose.
    anchor : Anchor
        How much of the folder's file this is.
    content : bytes
        The file; empty without one.
    searched : float64, shape (T,), or None
        Net returns of the best trial as the search saw them, when its trials shared bins.
    """

    study: str
    trials: tuple[Trial, ...]
    baselines: Mapping[str, Floats]
    tries: int
    anchor: store.Anchor
    content: bytes
    searched: Floats | None = None

    def judged(self, chosen: Floats) -> dict[str, Any]:
        """Figures of the chosen net returns, and the anchor that gives a removed trial away.

        `chosen` come from bins of each split's own, whatever the search did.
        """
        case = Evidence(chosen, self.trials, self.baselines, self.tries, self.searched)
        chain = {"records": self.anchor.records, "head": self.anchor.head}
        return {**judge(case), "study": self.study or None, "chain": chain}

    @property
    def files(self) -> Mapping[str, bytes]:
        """The file of trials, for the run folder."""
        return {store.FILE: self.content} if self.content else {}


NOTHING_TRIED = Tried("", (), {}, 1, store.Anchor(0, store.FIRST), b"")


def counted(folder: Path) -> Tried:
    """Return what a folder's studies tried before a training without a search of its own."""
    history = store.read(folder)
    return Tried("", (), {}, history.tries + 1, history.anchor, _content(folder)) if history.tries else NOTHING_TRIED


def searched(
    recipe: Recipe, config: RecipeConfig, source: Source, rows: Samples, following: Opens, request: SearchRequest,
    *, seed: int, device: Device, workers: int, step: Step,
) -> tuple[Found, Tried]:  # fmt: skip
    """Search on the open rows, and return the best recipe with all that was tried for it."""
    open_rows, _ = seal_holdout(rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
    identity = {
        "sleeve": recipe.sleeve.name, "spec_hash": recipe.sleeve.spec_hash,
        "snapshot_id": source.manifest.snapshot_id, "symbols": list(rows.symbols),
        BARS_KEY: request.bars_hash,
        "first": str(open_rows.sessions[open_rows.t0.min()]), "last": str(open_rows.sessions[open_rows.t0.max()]),
    }  # fmt: skip
    plan = Plan(request.folder, request.trials, seed, device, workers, request.storage)
    found = search(config, Arena(open_rows, following, config.label.k), identity, plan, step)
    study = found.history.studies[found.study]
    tried = Tried(
        found.study, study.trials, study.baselines, found.history.tries, found.history.anchor, _content(request.folder),
        found.best.net if study.identity["bins"] else None,
    )  # fmt: skip
    return found, tried


def per_split(
    config: RecipeConfig, rows: Samples, following: Opens, *, seed: int, device: Device, workers: int, step: Step
) -> Floats:
    """Net returns of a recipe's walk-forward decile book on the open rows, each split's features in bins of its own."""
    open_rows, _ = seal_holdout(rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
    learner = learner_of(config, seed, device)
    scores = walk_forward(open_rows, learner, groups=config.cpcv.groups, workers=workers, step=step)
    return Arena(open_rows, following, config.label.k).net(scores)


def _content(folder: Path) -> bytes:
    return (folder / store.FILE).read_bytes()
