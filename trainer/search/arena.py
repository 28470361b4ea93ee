"""The metric that a search maximises, and the arena that its trials meet in.

A metric is a series by session of what a learner's scores are worth, the higher the better. A book's net returns are worth
their Sharpe ratio; any other series its mean, whose null is 0: an AUC is given less one half, a loss as what is saved against
the forecast that needs no learning. A task names its own (`Task.metric`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import log_softmax

from signals.errors import TooLittleHistory
from signals.market.bars import Flags, Floats, Opens
from trainer.learners.base import EveryOutput, FitDevice, Learner, Rows
from trainer.learners.table import LEARNERS
from trainer.recipes.base import Recipe, RecipeConfig, learner_of
from trainer.samples.samples import Material, Samples, seal_holdout
from trainer.search.trial_log import Series, sharpe_of
from trainer.validation.clustered import influence
from trainer.validation.deciles import book_returns, next_opens
from trainer.validation.forecasts import session_mean

BOOK = ""  # the metric of net session returns, which records do not name
NOTHING = Series(np.zeros(0, dtype="datetime64[D]"), np.zeros(0))


@dataclass(frozen=True, eq=False)
class SearchMetric:
    """A metric of the scores of some rows.

    Attributes
    ----------
    name : str
        In words, with its unit; `BOOK` for net returns.
    series : callable
        What a learner gives of each row, float64 (n,) or (n, m), NaN where a row is not scored, to its series by session.
    learner : callable
        From the recipe's learner to the one that a trial fits.
    target : float64, shape (n, m), optional
        What a trial learns, where it is more than the rows' own target.
    """

    name: str
    series: Callable[[Floats], Series]
    learner: Callable[[Learner], Learner] = lambda learner: learner
    target: Floats | None = None

    def worth(self, net: Floats) -> float:
        """Return what a series is worth: a book's Sharpe ratio, the mean of any other; NaN where there is none."""
        if self.name == BOOK:
            return sharpe_of(net)
        return float(net.mean()) if len(net) else float("nan")

    def rows(self, rows: Samples) -> Samples:
        """Return the rows with what a trial learns."""
        return rows if self.target is None else replace(rows, target=self.target)


def book(rows: Samples, following: Opens, k: int) -> SearchMetric:
    """Return the metric of scores that rank names: net returns of the decile book of k cohorts; `following` is (T, N)."""

    def series(scores: Floats) -> Series:
        try:
            held = book_returns(rows.dense(scores), following, k)
        except TooLittleHistory:  # fewer sessions than cohorts hold no book
            return NOTHING
        return Series(rows.sessions[held.rows], held.net)

    return SearchMetric(BOOK, series)


def area(name: str, rows: Samples, came: Flags) -> SearchMetric:
    """Return the metric of scores that say whether something came: the area under the ROC curve less one half.

    The mean of its series is that of all events together, and the error of that mean is its clustered one: a session has

        a_s = AUC - 1/2 + S r_s          S sessions, r_s the influence of session s (`trainer.validation.clustered`)
    """
    return SearchMetric(name, partial(_areas, rows, came))


def _areas(rows: Samples, came: Flags, scores: Floats) -> Series:
    seen = np.isfinite(scores)
    found, moves = influence(scores[seen], came[seen])
    if not np.isfinite(found):
        return NOTHING
    day, place = np.unique(rows.day[seen], return_inverse=True)
    return Series(rows.days[day], np.asarray(found - 0.5 + len(day) * np.bincount(place, moves), dtype=np.float64))


def log_loss(name: str, rows: Samples, number: Rows, weight: Floats) -> SearchMetric:
    """Return the metric of raw scores of classes, the first outputs of a model: the log loss saved against equal shares.

    `number` are the classes that came, int64 (n,), and `weight` what they weigh, float64 (n,), with mean 1.
    """
    width = int(number.max()) + 1

    def series(outputs: Floats) -> Series:
        gain = log_softmax(outputs[:, :width], axis=1)[np.arange(len(number)), number] + np.log(width)
        return Series.known(rows.days, session_mean(rows.by_day(weight * gain)))

    return SearchMetric(name, series, EveryOutput)


@dataclass(frozen=True, eq=False)
class Arena:
    """What trials learn from and are judged by: the open rows, the metric, and what makes the recipe's learner.

    `has_ridge` says whether ridge, which takes tables and gives one score, is compared with them.
    """

    rows: Samples
    metric: SearchMetric
    make: Callable[[RecipeConfig, int, FitDevice], Learner] = learner_of
    has_ridge: bool = True

    @classmethod
    def book(cls, rows: Samples, following: Opens, k: int) -> Arena:
        """Return that of scores that rank names: a decile book of k cohorts of the next opens' returns (T, N)."""
        return cls(rows, book(rows, following, k))

    @classmethod
    def of(cls, recipe: Recipe, config: RecipeConfig, material: Material) -> Arena:
        """Return that of the recipe's task."""
        rows, _ = seal_holdout(material.rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
        task, can = recipe.task, LEARNERS["ridge"].capabilities
        if task.is_traded:
            known = book(rows, next_opens(material.source.bars, material.source.actions), config.label.k)
        else:
            known = task.metric(material, config, rows)
        fits = config.view.kind in can.views and (task.is_traded or task.head_of(config).kind in can.heads)
        return cls(known.rows(rows), known, task.learner, fits)

    @property
    def is_book(self) -> bool:
        """Whether a book judges."""
        return self.metric.name == BOOK

    def net(self, scores: Floats) -> Floats:
        """The metric of scores by session."""
        return self.metric.series(scores).net

    def learner(self, config: RecipeConfig, seed: int, device: FitDevice) -> Learner:
        """Return what a trial fits: one model, whatever number of seeds the recipe averages."""
        return self.metric.learner(self.make(config.model_copy(update={"seeds": 1}), seed, device))
