"""Figures of a score that tells profit from stop, or long from short."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signals.market.bars import Floats
from trainer.samples.samples import Samples
from trainer.validation.calibration import fit_platt, log_loss
from trainer.validation.probabilities import halves


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
