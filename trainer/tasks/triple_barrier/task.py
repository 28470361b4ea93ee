"""Labels and class figures of the task `triple_barrier`; as a ranking of returns it is judged like one.

The outcome is the trade's return, the class is what ended it: profit, stop or time. The learner fits the class as +1, -1 and 0,
so that its score is P(profit) - P(stop). Shares of three classes are mostly volatility and patience: skill is direction, so
the log loss is that of profit against stop, next to the base rate's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from pydantic import Field

from signals.heads import ClassesHead, Head
from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from trainer.labels.horizon import EntryPrice
from trainer.labels.panel import Labels
from trainer.labels.triple_barrier import Barriers, triple_barrier_labels
from trainer.learners.base import FitDevice, Learner, Matrix, Model, Rows
from trainer.recipes.base import LabelConfig, RecipeConfig
from trainer.reports.training import Lines
from trainer.runs.evidence import Evidence
from trainer.samples.samples import Samples
from trainer.tasks.base import TaskFindings, TrainingCase
from trainer.tasks.rank_return.task import RankReturn
from trainer.validation.calibration import fit_platt, log_loss
from trainer.validation.probabilities import halves

CLASSES = ClassesHead(("stop", "time", "profit"))


class BarrierLabel(LabelConfig):
    """The barriers, in standard deviations of `window` sessions, and k, the sessions of patience.

    With `classes` the learner fits the classes themselves: a raw score each, whose softmax are their probabilities. Without,
    it fits their mean, which more learners can; what ranks is P(profit) - P(stop) either way.
    `quality` weighs a label by its own outcome: soon and without a move against it counts more
    (`trainer.labels.triple_barrier`).
    """

    kind: Literal["triple_barrier"] = "triple_barrier"
    k: int = Field(default=10, ge=1, le=252)
    entry: Literal[EntryPrice.OPG] = EntryPrice.OPG
    profit: float = Field(default=2.0, gt=0.0)
    stop: float = Field(default=1.0, gt=0.0)
    window: int = Field(default=20, ge=2)
    quality: bool = True
    classes: bool = False


class BarrierRecipe(RecipeConfig):
    """A recipe whose label is a triple barrier."""

    label: BarrierLabel = BarrierLabel()


@dataclass(frozen=True)
class Numbered:
    """A learner of classes, to which the sides -1, 0 and 1 are their numbers, from the worst to the best."""

    learner: Learner

    @property
    def device(self) -> FitDevice:
        """Where it fits."""
        return self.learner.device

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> Model:
        """Fit on rows float32 (n, F); targets are sides."""
        return self.learner.fit(features, target + 1.0, weight, names, sessions)


@dataclass(frozen=True)
class ClassFigures:
    """How trades ended, as shares of the open rows, and the log loss of profit against stop.

    The losses are those of a map of the score that was fitted on the earlier half of the sessions, judged on the later one,
    and of the base rate of the earlier half; NaN where either half lacks one of the two.
    """

    profit: float
    stop: float
    time: float
    log_loss: float = float("nan")
    base_log_loss: float = float("nan")

    @property
    def is_skilled(self) -> bool:
        """Whether the score tells profit from stop better than the base rate does."""
        return self.log_loss < self.base_log_loss


class TripleBarrier(RankReturn):
    """Which of profit target, stop and time limit a trade meets first."""

    name = "triple_barrier"
    kind = "triple_barrier"
    config = BarrierRecipe
    event = "the profit target is touched first"

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label by the trade's return; its class is what is learned."""
        own = cast(BarrierRecipe, config).label
        found = triple_barrier_labels(bars, Barriers(own.profit, own.stop, own.k, own.window), delistings=actions)
        return replace(found.labels, target=found.side.astype(np.float64), quality=found.quality if own.quality else None)

    def head_of(self, config: RecipeConfig) -> Head:
        """Return one score, or one a class."""
        return CLASSES if cast(BarrierRecipe, config).label.classes else self.head

    def learner(self, config: RecipeConfig, seed: int, device: FitDevice, checkpoints: Path | None = None) -> Learner:
        """Return what is fitted to the sides, or to the classes."""
        learner = super().learner(config, seed, device, checkpoints)
        return Numbered(learner) if cast(BarrierRecipe, config).label.classes else learner

    def judge(self, case: TrainingCase) -> TaskFindings:
        """Judge as a ranking of returns, and by the classes."""
        found = super().judge(case)
        classes = class_figures(case.proof.rows, case.proof.oof.scores[0])
        told = () if classes.is_skilled else ("the score does not tell profit from stop better than their base rate does",)
        fields = {**found.fields, "others": {"classes": asdict(classes)}}
        return replace(found, fields=fields, warnings=(*found.warnings, *told))

    def beside(self, known: Evidence) -> Lines:
        """Lines about the classes."""
        return class_rows(known.others)


def class_figures(rows: Samples, scores: Floats) -> ClassFigures:
    """Return the figures of the classes, which are the rows' targets, and of scores of rows unseen, shape (n,)."""
    profit, stop, time = (float(np.mean(rows.target == side)) for side in (1.0, -1.0, 0.0))
    touched = rows.target != 0.0
    early, late = (half & touched for half in halves(rows))
    came = (rows.target > 0.0).astype(np.float64)
    if any(not 0.0 < float(came[half].mean() if half.any() else 0.0) < 1.0 for half in (early, late)):
        return ClassFigures(profit, stop, time)
    said = fit_platt(scores[early], came[early]).probability(scores[late])
    base = np.full(int(late.sum()), came[early].mean())
    return ClassFigures(profit, stop, time, log_loss(came[late], said), log_loss(came[late], base))


def class_rows(others: Mapping[str, Any]) -> Lines:
    """(what, figure) lines of the classes; none where the evidence has no classes."""
    if (found := others.get("classes")) is None:
        return ()
    losses = [found["log_loss"], found["base_log_loss"]]
    told = " against ".join("n/a" if one is None or one != one else f"{one:.4f}" for one in losses)
    return (
        ("Trades that end by profit, stop, time", ", ".join(f"{found[name]:.1%}" for name in ("profit", "stop", "time"))),
        ("Log loss of profit against stop, and the base rate's", told),
    )


TRIPLE_BARRIER = TripleBarrier()
