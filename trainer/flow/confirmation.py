"""Confirmation by flow: whether the next move of the middle is up, said by a logistic regression of aggregates, or by a net of windows.

The regression is the champion. The net (`conv_attention`, windows of 60 seconds of 12 inputs) takes its place where its log loss, walking
forward and in pairs, is lower by the lower bound of its interval; errors take `BLOCK` seconds as one observation.
"""

from dataclasses import dataclass

import numpy as np

from signals.errors import TooLittleHistory
from signals.features.panel import FeaturePanel
from signals.market.bars import Floats
from signals.market.holding import Flags
from signals.models.heads import ClassesHead
from signals.views import TableView, View, WindowsView
from trainer.flow.top_of_book import SECONDS, TopOfBook, aggregates_panel, inputs_panel
from trainer.labels.panel import Labels
from trainer.learners.base import FitDevice
from trainer.learners.export import Exported, export
from trainer.learners.table import learner_named
from trainer.recipes.base import RecipeConfig
from trainer.samples.samples import Samples, samples
from trainer.validation.clustered import NONE, auc, low, per_event
from trainer.validation.ic import Mean
from trainer.validation.splits.oof import Step, fit_all
from trainer.validation.splits.walk_forward import walk_forward

CHAMPION, CHALLENGER = "logistic", "conv_attention"
HEAD = ClassesHead(("down", "up"))
BLOCK, LEAST, MOST_SURE = 600, 500, 1e-6


@dataclass(frozen=True)
class FlowFigures:
    """Walking forward; NaN of what was not asked for.

    Attributes
    ----------
    moves : int
        Seconds that were judged.
    imbalance, champion, challenger : Mean
        AUC of `the next move is up` by the imbalance alone, by the regression, and by the net.
    advantage : Mean
        Log loss of the regression less that of the net, in pairs.
    """

    moves: int
    imbalance: Mean
    champion: Mean
    challenger: Mean = NONE
    advantage: Mean = NONE

    @property
    def chosen(self) -> str:
        """Name of the learner that confirms."""
        return CHALLENGER if low(self.advantage) > 0.0 else CHAMPION


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
    """Judge champion and challenger walking forward; return what they show and the export of the chosen one, fitted on all."""
    asked = {CHAMPION: (rows_of(book, aggregates_panel(book), patience, TableView()), FitDevice.CPU)}
    if with_net:
        asked[CHALLENGER] = rows_of(book, inputs_panel(book), patience, WindowsView(SECONDS)), FitDevice.AUTO
    learners = {name: learner_named(name, config, seed, device, head=HEAD) for name, (_, device) in asked.items()}
    said = {name: walk_forward(rows, learners[name], groups=groups, workers=1, step=step) for name, (rows, _) in asked.items()}
    rows = asked[CHAMPION][0]
    seen = np.isfinite(said[CHAMPION])
    up, block = rows.label[seen] > 0.0, rows.t0[seen] // BLOCK
    imbalance = rows.features[seen, rows.names.index("imbalance_last")].astype(np.float64)
    ranked = {name: auc(scores[seen], up, block) for name, scores in said.items()}
    advantage = NONE
    if with_net:
        losses = [log_loss(said[name][seen], up) for name in (CHAMPION, CHALLENGER)]
        advantage = per_event(losses[0] - losses[1], block)
    found = FlowFigures(int(seen.sum()), auc(imbalance, up, block), ranked[CHAMPION], ranked.get(CHALLENGER, NONE), advantage)
    chosen, _ = asked[found.chosen]
    return found, export(fit_all(chosen, learners[found.chosen]), chosen.inputs())


def log_loss(score: Floats, up: Flags) -> Floats:
    """Log loss of P(up) - P(down)."""
    said = ((1.0 + score) / 2.0).clip(MOST_SURE, 1.0 - MOST_SURE)
    found: Floats = -np.log(np.where(up, said, 1.0 - said))
    return found
