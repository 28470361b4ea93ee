"""Labels and class figures of the task `triple_barrier`; as a ranking of returns it is judged like one.

The outcome is the trade's return, the class is what ended it: profit, stop or time. The learner fits the class as +1, -1 and 0,
so that its score is P(profit) - P(stop). Shares of three classes are mostly volatility and patience: skill is direction, so
the log loss is that of profit against stop, next to the base rate's.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
from pydantic import Field

from signals.market.actions import Action
from signals.market.bars import Bars
from signals.models.heads import ClassesHead, Head
from signals.text.documents import from_json, to_json
from trainer.labels.horizon import EntryPrice, Labels
from trainer.labels.triple_barrier import Barriers, triple_barrier_labels
from trainer.learners.base import FitDevice, Learner, Numbered
from trainer.recipes.base import LabelConfig, RecipeConfig
from trainer.reports.training import Lines
from trainer.runs.evidence import Evidence, EvidenceFields
from trainer.tasks.base import TaskFindings, TrainingCase
from trainer.tasks.rank_return import RankReturn
from trainer.validation.probabilities import ClassFigures, class_figures

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
        warned = () if classes.is_skilled else ("the score does not tell profit from stop better than their base rate does",)
        fields: EvidenceFields = {**found.fields, "others": {"classes": to_json(classes)}}
        return replace(found, fields=fields, warnings=(*found.warnings, *warned))

    def extra_lines(self, known: Evidence) -> Lines:
        """Lines about the classes."""
        return class_rows(from_json(ClassFigures, known.others["classes"])) if "classes" in known.others else ()


def class_rows(found: ClassFigures) -> Lines:
    """(what, figure) lines of the classes."""
    losses = " against ".join("n/a" if math.isnan(one) else f"{one:.4f}" for one in (found.log_loss, found.base_log_loss))
    return (
        ("Trades that end by profit, stop, time", f"{found.profit:.1%}, {found.stop:.1%}, {found.time:.1%}"),
        ("Log loss of profit against stop, and the base rate's", losses),
    )


TRIPLE_BARRIER = TripleBarrier()
