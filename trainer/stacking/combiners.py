r"""Combiners of scores: non-negative ridge and boosted trees, with a rule for missing members.

    beta = argmin_{b >= 0}  sum_s 1/n_s sum_i (y_si - z_si . b)^2 + alpha |b|^2 S

y is the inverse-normal rank of the label in its session, z the members' z-scores, S the number of sessions. Weights
that cannot be negative are Breiman's (1996, "Stacked regressions"): members are alike, and free weights would bet on
their differences. They are also what a device can use: the weights of `router.yml`.

A name that a member did not score counts as the member's mean. A member that is missing for a whole session is left
out: the weights are then those of the members there, learned without it, and where too little was learned the
configured weighted average.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from signals.market.bars import Floats
from trainer.labels.panel import normal_ranks
from trainer.learners.lgbm import LightGbm, LightGbmModel

MIN_SESSIONS = 60
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Weights:
    """Learned weights of each set of members that was there together; the average's where there is no entry."""

    learned: Mapping[tuple[bool, ...], Floats]
    average: Floats

    def combine(self, scores: Floats) -> Floats:
        """Scores of (M, T, N) as one (T, N); NaN where no member has any."""
        combined = np.full(scores.shape[1:], np.nan)
        there = present(scores)
        for pattern in {tuple(column) for column in there.T.tolist()}:
            if not any(pattern):
                continue
            weights = self.learned.get(pattern)
            if weights is None:
                weights = np.where(pattern, self.average, 0.0)
            sessions = (there == np.array(pattern)[:, None]).all(axis=0)
            known = np.isfinite(scores[:, sessions]).any(axis=0)
            total = np.einsum("m,mtn->tn", weights, np.nan_to_num(scores[:, sessions]))
            combined[sessions] = np.where(known, total, np.nan)
        return combined


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


@dataclass(frozen=True, eq=False)
class Trees:
    """A fitted tree combiner; a missing member is a missing value to it."""

    model: LightGbmModel

    def combine(self, scores: Floats) -> Floats:
        """Scores of (M, T, N) as one (T, N)."""
        known = np.isfinite(scores).any(axis=0)
        combined = np.full(scores.shape[1:], np.nan)
        combined[known] = self.model.predict(np.ascontiguousarray(scores[:, known].T, dtype=np.float32))
        return combined


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
