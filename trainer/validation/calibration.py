r"""Probability calibration: metrics, and three maps fitted by maximum likelihood.

    Brier = mean (p - y)^2       log loss = -mean [y ln p + (1 - y) ln(1 - p)]       ECE = sum_b n_b/n |mean y - mean p|

The bins b are of equal mass: a map of a score that knows little says one half of nearly everything, and bins of equal
width would put all of it into two.

The maps are parameters, not models: they travel in the manifest and `signals/bundle/calibration.py` applies them on both hosts.
Platt (1999): p = 1 / (1 + exp(-(a s + b))), fitted to targets (n+ + 1)/(n+ + 2) and 1/(n- + 2). Isotonic: pool adjacent
violators, each level then (n+ + 1) / (n + 2). Temperature: p = sigmoid(logit / T). No map says 0 or 1: nothing that was
counted is certain.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize, minimize_scalar
from scipy.special import expit

from signals.bundle.calibration import by_sigmoid, by_steps, inside, sigmoid
from signals.errors import InvariantBroken
from signals.market.bars import Floats
from trainer.validation.ic import overlapping_mean

CLIP = 1e-15
LOG_TEMPERATURE_BOUNDS = (-5.0, 5.0)


@dataclass(frozen=True)
class Platt:
    """p = sigmoid(slope * score + intercept)."""

    slope: float
    intercept: float

    def probability(self, scores: Floats) -> Floats:
        """Probabilities of scores of any shape."""
        return by_sigmoid(scores, self.slope, self.intercept)


@dataclass(frozen=True, eq=False)
class Isotonic:
    """Non-decreasing steps: between knots linear, beyond them constant."""

    knots: Floats
    levels: Floats

    def probability(self, scores: Floats) -> Floats:
        """Probabilities of scores of any shape."""
        return by_steps(scores, self.knots, self.levels)


@dataclass(frozen=True)
class Temperature:
    """p = sigmoid(logit / temperature)."""

    temperature: float

    def probability(self, logits: Floats) -> Floats:
        """Probabilities of logits of any shape."""
        return inside(sigmoid(logits / self.temperature))


def brier_score(outcomes: Floats, probabilities: Floats) -> float:
    """Mean squared difference of outcomes (0 or 1) and probabilities."""
    _check(outcomes, probabilities)
    return float(np.mean((probabilities - outcomes) ** 2))


def log_loss(outcomes: Floats, probabilities: Floats) -> float:
    """Mean negative log likelihood, in nats; probabilities are held 1e-15 away from 0 and 1."""
    _check(outcomes, probabilities)
    p = np.clip(probabilities, CLIP, 1.0 - CLIP)
    return float(-np.mean(outcomes * np.log(p) + (1.0 - outcomes) * np.log1p(-p)))


def reliability(outcomes: Floats, probabilities: Floats, *, bins: int = 10) -> tuple[Floats, Floats, Floats]:
    """Count, mean probability and mean outcome of bins of equal mass by probability, at most `bins`, none empty."""
    _check(outcomes, probabilities)
    chosen = equal_mass(probabilities, bins)
    count = np.bincount(chosen).astype(np.float64)
    return count, np.bincount(chosen, probabilities) / count, np.bincount(chosen, outcomes) / count


def equal_mass(values: Floats, bins: int) -> NDArray[np.int64]:
    """Bin of each value, 0 the lowest: at most `bins` bins, sizes that differ by one; ties in the given order."""
    place = np.empty(len(values), dtype=np.int64)
    place[np.argsort(values, kind="stable")] = np.arange(len(values))
    return place * min(bins, len(values)) // len(values)


def expected_calibration_error(outcomes: Floats, probabilities: Floats, *, bins: int = 10, share: Floats | None = None) -> float:
    """Mean over rows of the distance between what their bin said and what it saw; `share`, (n,), sums to 1 where rows weigh unlike."""
    if share is not None:
        order = np.argsort(probabilities, kind="stable")
        place = np.minimum((bins * (np.cumsum(share[order]) - share[order] / 2.0)).astype(np.int64), bins - 1)
        return float(np.abs(np.bincount(place, (share * (probabilities - outcomes))[order], bins)).sum())
    count, said, seen = reliability(outcomes, probabilities, bins=bins)
    return float(np.sum(count * np.abs(said - seen)) / count.sum())


def fit_platt(scores: Floats, outcomes: Floats) -> Platt:
    """Fit Platt's sigmoid with his smoothed targets; both outcomes must occur."""
    positives, negatives = float(outcomes.sum()), float(len(outcomes) - outcomes.sum())
    if positives == 0.0 or negatives == 0.0:
        raise InvariantBroken("calibration needs both outcomes")
    target = np.where(outcomes > 0.5, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
    scale = float(scores.std()) or 1.0
    unit = scores / scale

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[0] * unit + parameters[1]
        residual = expit(z) - target
        return float(np.mean(np.logaddexp(0.0, z) - target * z)), np.array([np.mean(residual * unit), residual.mean()])

    found = minimize(loss, np.array([0.0, np.log(positives / negatives)]), jac=True, method="BFGS", tol=1e-10)
    return Platt(float(found.x[0]) / scale, float(found.x[1]))


def fit_isotonic(scores: Floats, outcomes: Floats) -> Isotonic:
    """Fit non-decreasing levels; equal scores are pooled first, and the levels of pools drawn in by their size."""
    knots, group = np.unique(scores, return_inverse=True)
    weight = np.bincount(group).astype(np.float64)
    pools = isotonic_regression(np.bincount(group, outcomes) / weight, weights=weight)
    counted = np.repeat(pools.weights, np.diff(pools.blocks))
    drawn_in = (pools.x * counted + 1.0) / (counted + 2.0)
    fitted = isotonic_regression(drawn_in, weights=weight)
    return Isotonic(knots, np.asarray(fitted.x, dtype=np.float64))


def fit_temperature(logits: Floats, outcomes: Floats) -> Temperature:
    """Fit the one temperature that minimises log loss."""

    def loss(log_temperature: float) -> float:
        z = logits / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0.0, z) - outcomes * z))

    found = minimize_scalar(loss, bounds=LOG_TEMPERATURE_BOUNDS, method="bounded", options={"xatol": 1e-10})
    return Temperature(float(np.exp(found.x)))


@dataclass(frozen=True)
class Slope:
    """Slope of a logistic regression of outcomes on a score, with its standard error."""

    slope: float
    standard_error: float


def slope_of(scores: Floats, outcomes: Floats, sessions: NDArray[np.int64], k: int) -> Slope:
    """Slope of ln p/(1-p) on `scores`; rows of one session, and sessions whose k-session labels overlap, depend.

    The error is the sandwich's: with q the fitted probabilities, X = (score, 1), H = X' diag(q (1 - q)) X and u_s the
    sum of x (y - q) over the rows of session s, it is that of the sum over sessions of the slope's part of H^-1 u_s.
    """
    fitted = fit_platt(scores, outcomes)
    q = expit(fitted.slope * scores + fitted.intercept)
    design, weight = np.column_stack([scores, np.ones(len(scores))]), q * (1.0 - q)
    hessian = (design * weight[:, None]).T @ design
    parts = design * (outcomes - q)[:, None] @ np.linalg.inv(hessian)[:, 0]
    by_session = session_sums(parts, sessions)
    return Slope(fitted.slope, overlapping_mean(by_session * len(by_session), k).standard_error)


def session_sums(values: Floats, sessions: NDArray[np.int64]) -> Floats:
    """Sum of the rows of each session that has any, in order."""
    _, place = np.unique(sessions, return_inverse=True)
    return np.bincount(place, values).astype(np.float64)


def _check(outcomes: Floats, probabilities: Floats) -> None:
    if outcomes.shape != probabilities.shape or outcomes.size == 0:
        raise InvariantBroken(f"outcomes of shape {outcomes.shape} and probabilities of {probabilities.shape}")
    if not bool(np.all((probabilities >= 0.0) & (probabilities <= 1.0))):
        raise InvariantBroken("a probability is outside [0, 1]")
