r"""Combiners of scores: non-negative ridge and boosted trees, with a rule for missing members.

    beta = argmin_{b >= 0}  sum_s 1/n_s sum_i (y_si - z_si . b)^2 + alpha |b|^2 S

y is the inverse-normal rank of the label in its session, z that of the members' scores, S the number of sessions. Weights
that cannot be negative are Breiman's (1996, "Stacked regressions"): members are alike, and free weights would bet on
their differences. What is said together is `portfolio.policy.blend.combined`, as on a device, which counts a sleeve by its
weight times its shrunk IC over sqrt k: `device_weights` are the weights of which that is beta.

A name that a member did not score counts as the member's mean. A member that is missing for a whole session is left
out: the weights are then those of the members there, learned without it, and where too little was learned the
configured weighted average.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from portfolio.policy.blend import combined
from signals.market.bars import Floats
from signals.scoring.scores import rank_ic, shrunk_ic
from trainer.labels.panel import normal_ranks
from trainer.learners.lgbm import LightGbm, LightGbmModel
from trainer.validation.ic import overlapping_mean

MIN_SESSIONS = 60
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Weights:
    """Learned weights of each set of members that was there together; the average's where there is no entry."""

    learned: Mapping[tuple[bool, ...], Floats]
    average: Floats

    def combine(self, scores: Floats) -> Floats:
        """Scores of (M, T, N) as one (T, N); NaN where no member has any."""
        together = np.full(scores.shape[1:], np.nan)
        there = present(scores)
        for pattern in {tuple(column) for column in there.T.tolist()}:
            if not any(pattern):
                continue
            weights = self.learned.get(pattern)
            if weights is None:
                weights = np.where(pattern, self.average, 0.0)
            sessions = (there == np.array(pattern)[:, None]).all(axis=0)
            together[sessions] = combined(scores[:, sessions], weights)
        return together


@dataclass(frozen=True)
class RidgeCombiner:
    """Non-negative weights; `alpha` is the penalty per session, on z-scores."""

    average: tuple[float, ...]
    alpha: float = 0.01

    def fit(self, scores: Floats, label: Floats, chosen: Mask) -> Weights:
        """Learn the weights of every set of members that is there in at least `MIN_SESSIONS` chosen sessions."""
        target = normal_ranks(label)
        there = present(scores)
        learned = {}
        for pattern in _patterns(len(scores)):
            needed = np.array(pattern)
            sessions: Mask = np.asarray(chosen & there[needed].all(axis=0), dtype=np.bool_)
            if int(sessions.sum()) < MIN_SESSIONS:
                continue
            weights = np.zeros(len(scores))
            weights[needed] = _non_negative(scores[needed][:, sessions], target[sessions], self.alpha)
            if weights.sum() > 0:
                learned[pattern] = weights / weights.sum()
        return Weights(learned, np.array(self.average, dtype=np.float64))


@dataclass(frozen=True)
class ConfiguredCombiner:
    """The configured weights, as a device uses them: each times the shrunk IC of its member. No weight is learned.

    Attributes
    ----------
    horizon : int
        k of the labels, for the t of an IC.
    """

    average: tuple[float, ...]
    horizon: int

    def fit(self, scores: Floats, label: Floats, chosen: Mask) -> Weights:
        """Measure each member's IC on the chosen sessions alone; one that has none counts nothing."""
        measured = [overlapping_mean(rank_ic(one[chosen], label[chosen]), self.horizon) for one in scores]
        shrunk = [max(shrunk_ic(ic.mean, ic.t), 0.0) if np.isfinite(ic.t) else 0.0 for ic in measured]
        return Weights({}, np.array(self.average, dtype=np.float64) * np.array(shrunk))


def device_weights(learned: Floats, ics: Sequence[float]) -> Floats:
    """Return the weights with which a device counts members as they were learned: each over its shrunk IC, to sum 1.

    Parameters
    ----------
    learned : float64, shape (M,)
    ics : sequence of float, length M
        Shrunk, as the bundle's manifest will state them. A member whose IC is not positive supports no bet on a device: its
        weight is 0 however it was learned.
    """
    usable = np.array(ics) > 0
    weights: Floats = np.where(usable, learned / np.where(usable, ics, 1.0), 0.0)
    return weights / weights.sum() if weights.sum() > 0 else weights


@dataclass(frozen=True, eq=False)
class Trees:
    """A fitted tree combiner; a missing member is a missing value to it."""

    model: LightGbmModel

    def combine(self, scores: Floats) -> Floats:
        """Scores of (M, T, N) as one (T, N)."""
        known = np.isfinite(scores).any(axis=0)
        together = np.full(scores.shape[1:], np.nan)
        together[known] = self.model.predict(np.ascontiguousarray(scores[:, known].T, dtype=np.float32))
        return together


@dataclass(frozen=True)
class Boosted:
    """Boosted trees over the members' z-scores."""

    learner: LightGbm
    names: tuple[str, ...] = field(default=())

    def fit(self, scores: Floats, label: Floats, chosen: Mask) -> Trees:
        """Fit on the chosen sessions; every session weighs the same."""
        known: Mask = np.asarray(np.isfinite(scores).any(axis=0) & np.isfinite(label) & chosen[:, None], dtype=np.bool_)
        rows, _ = np.nonzero(known)
        weight = 1.0 / known.sum(axis=1)[rows]
        model = self.learner.fit(
            np.ascontiguousarray(scores[:, known].T, dtype=np.float32), normal_ranks(label)[known], weight / weight.mean(), self.names, rows
        )
        return Trees(model)


def present(scores: Floats) -> Mask:
    """Whether each member scored anything in each session, shape (M, T)."""
    found: Mask = np.asarray(np.isfinite(scores).any(axis=2), dtype=np.bool_)
    return found


def _patterns(count: int) -> list[tuple[bool, ...]]:
    return [tuple(bool(number >> bit & 1) for bit in range(count)) for number in range(1, 2**count)]


def _non_negative(scores: Floats, target: Floats, alpha: float) -> Floats:
    """Solve the normal equations with b >= 0: nnls of the Cholesky factor."""
    known = np.isfinite(target) & np.isfinite(scores).any(axis=0)
    share = 1.0 / np.maximum(known.sum(axis=1), 1)
    weight = np.sqrt(np.broadcast_to(share[:, None], known.shape)[known] / max(int(known.any(axis=1).sum()), 1))
    x, y = np.nan_to_num(scores[:, known]) * weight, target[known] * weight
    factor = np.linalg.cholesky(x @ x.T + alpha * np.eye(len(x)))
    solution, _ = nnls(factor.T, np.linalg.solve(factor, x @ y))
    weights: Floats = solution
    return weights
