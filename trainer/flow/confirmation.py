"""Confirmation by flow: whether the next move of the middle is up, said by a logistic regression, or by a net of windows.

Candidates come in order: a regression of the imbalance alone, which is the champion; one of ten aggregates of 60 seconds; the net
(`conv_attention`, windows of 60 seconds of 12 inputs). Each takes the place of the one in force where its log loss, walking forward and in
pairs, is lower by the lower bound of its interval; errors take `BLOCK` seconds as one observation.
"""

from dataclasses import dataclass

import numpy as np

from signals.errors import TooLittleHistory
from signals.features.panel import FeaturePanel
from signals.models.heads import ClassesHead
from signals.views import TableView, View, WindowsView
from trainer.flow.top_of_book import SECONDS, TopOfBook, aggregates_panel, inputs_panel
from trainer.labels.horizon import Labels
from trainer.learners.base import FitDevice
from trainer.learners.export import Exported, export
from trainer.learners.table import learner_named
from trainer.recipes.base import RecipeConfig
from trainer.samples.samples import Samples, samples
from trainer.validation.clustered import NONE, auc, low, per_event
from trainer.validation.ic import Mean
from trainer.validation.splits.oof import Step, fit_all, walk_forward

IMBALANCE, AGGREGATED, NET = "imbalance", "aggregates", "conv_attention"
HEAD = ClassesHead(("down", "up"))
BLOCK, LEAST, MOST_SURE = 600, 500, 1e-6


@dataclass(frozen=True)
class Candidate:
    """One candidate, walking forward: AUC of `the next move is up`, and the log loss in pairs that it saves the one in force."""

    name: str
    auc: Mean
    advantage: Mean = NONE

    @property
    def is_better(self) -> bool:
        """Whether it takes the place of the one in force."""
        return low(self.advantage) > 0.0


@dataclass(frozen=True)
class FlowFigures:
    """Candidates in their order, and how many seconds they were judged on."""

    moves: int
    candidates: tuple[Candidate, ...]

    @property
    def chosen(self) -> str:
        """Name of the one that confirms: the last that was better than the one before it in force, or the first."""
        return next((one.name for one in reversed(self.candidates) if one.is_better), self.candidates[0].name)


def config_of(**sections: object) -> RecipeConfig:
    """Return the settings of the learners: hardly a penalty on a regression's few coefficients, and `sections` as in a recipe."""
    return RecipeConfig.model_validate({"logistic": {"inverse_penalty": 1.0}, **sections})


def next_moves(book: TopOfBook, patience: int) -> Labels:
    """Label each second by the direction of the middle's next change, 1 up and 0 down, where one comes within `patience` seconds."""
    step = np.diff(book.middle, append=np.nan)
    moved, rows = np.isfinite(step) & (step != 0.0), len(step)
    following = np.where(moved, np.arange(rows), rows)[::-1]
    at = np.minimum.accumulate(following)[::-1]  # of the first change at or after each second
    unbroken = np.cumsum(~np.isfinite(step))
    known = (at < np.minimum(np.arange(rows) + patience, rows - 1)) & (unbroken[np.minimum(at, rows - 1)] == unbroken)
    values = np.where(known, step[np.minimum(at, rows - 1)] > 0.0, np.nan)
    ends = np.where(known, at + 1, -1)
    return Labels(book.second, ("book",), values[:, None], ends[:, None], values[:, None])


def rows_of(book: TopOfBook, panel: FeaturePanel, patience: int, view: View) -> Samples:
    """Return the labelled seconds; raise `TooLittleHistory` where there are too few."""
    found = samples(panel, next_moves(book, patience), min_names=1, view=view)
    if len(found) < LEAST:
        raise TooLittleHistory(f"{len(found)} moves of the middle, {LEAST - len(found)} missing", fix="Give more seconds of the book")
    return found


def judged(
    book: TopOfBook, config: RecipeConfig, *, patience: int, groups: int, seed: int, with_net: bool, step: Step
) -> tuple[FlowFigures, Exported]:
    """Judge the candidates walking forward; return what they show and the export of the chosen one, fitted on all."""
    aggregates = aggregates_panel(book)
    panels = {IMBALANCE: aggregates.only(("imbalance_last",)), AGGREGATED: aggregates}
    asked = {name: (rows_of(book, panel, patience, TableView()), "logistic") for name, panel in panels.items()}
    if with_net:
        asked[NET] = rows_of(book, inputs_panel(book), patience, WindowsView(SECONDS)), NET
    learners = {name: learner_named(learner, config, seed, FitDevice.AUTO, head=HEAD) for name, (_, learner) in asked.items()}
    found, force = list[Candidate](), np.zeros(0)
    for name, (rows, _) in asked.items():
        said = walk_forward(rows, learners[name], groups=groups, workers=1, step=step)
        seen = np.isfinite(said)
        up, blocks = rows.label[seen] > 0.0, (rows.t0[seen] // BLOCK, rows.t1[seen] // BLOCK)
        probability = ((1.0 + said[seen]) / 2.0).clip(MOST_SURE, 1.0 - MOST_SURE)  # of up; a score is P(up) - P(down)
        loss = -np.log(np.where(up, probability, 1.0 - probability))
        found.append(Candidate(name, auc(said[seen], up, *blocks), per_event(force - loss, *blocks) if found else NONE))
        force = loss if not found[1:] or found[-1].is_better else force
    figures = FlowFigures(len(force), tuple(found))
    chosen, _ = asked[figures.chosen]
    return figures, export(fit_all(chosen, learners[figures.chosen]), chosen.inputs())
