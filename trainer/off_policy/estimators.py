r"""Estimators of the value of a policy from a log of another one, and their errors clustered by session.

With pi the policy to be judged, p the logged propensity, g the discount, and along a trajectory

    w_t = prod_{s <= t} pi(a_s | x_s) / p_s,   w_{-1} = 1,   v(x) = sum_a pi(a | x) q(x, a)

every estimator is a sum of the same two terms, the mean of w x or, where it is self-normalised, mean(w x) / mean(w):

=============================  ==========================================================================
`ips`, `snips`                 sum_t g^t w_{H-1} r_t
`per_decision`, its weighted   sum_t g^t w_t r_t
`direct_method`                v(x_0)
`doubly_robust`, its weighted  sum_t g^t [w_t (r_t - q(x_t, a_t)) + w_{t-1} v(x_t)]
=============================  ==========================================================================

Sources: Horvitz and Thompson 1952 (IPS); Swaminathan and Joachims 2015 (SNIPS); Precup, Sutton and Singh 2000 (per
decision); Dudik, Langford and Li 2011 (DR); Jiang and Li 2016 (its sequential form); Thomas and Brunskill 2016
(weighted DR). After its end a trajectory keeps its weight and earns nothing. The self-normalised forms are biased by
O(1/n); their contributions are linearised: m + w_i / mean(w) (x_i - m).

Where an action was certain (p = 1) no other can be judged, whatever the estimator: that is refused, and only a replay
with all outcomes known can answer.

Every estimator is the mean of one number c_i a trajectory (of the self-normalised ones: the linearised one), so that the
error of each, and of the difference of two on the same log, is that of a mean. With s_g the sum of c_i - mean over the
trajectories of session g, G sessions and n trajectories (Liang and Zeger 1986, "Longitudinal data analysis using
generalized linear models"):

    SE^2 = G/(G - 1) sum_g s_g^2 / n^2,    bound = mean - t_{G-1}(level) SE
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from signals.errors import FixInput, InvariantBroken, TooLittleHistory
from signals.market.bars import Floats
from trainer.off_policy.logs import CERTAIN, LoggedDecisions, Rows


@dataclass(frozen=True, eq=False)
class OffPolicyEstimate:
    """Contributions (n,), whose mean is the estimate, and the session of each."""

    contributions: Floats
    sessions: Rows

    def __post_init__(self) -> None:
        if self.contributions.shape != self.sessions.shape:
            raise InvariantBroken("an estimate needs one session a contribution")
        if not np.isfinite(self.contributions).all():
            raise FixInput("weights or rewards leave the range of numbers", fix="Shorten the horizon, or log larger propensities")

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.contributions.mean())

    @property
    def standard_error(self) -> float:
        """Error clustered by session; raises `TooLittleHistory` of a single one, which says nothing about another."""
        _, group = np.unique(self.sessions, return_inverse=True)
        sums = np.bincount(group, weights=self.contributions - self.value)
        count = len(sums)
        if count < 2:
            raise TooLittleHistory("an error needs decisions of two sessions or more", fix="Log more sessions")
        return float(np.sqrt(count / (count - 1) * (sums @ sums))) / len(self.contributions)

    def lower(self, level: float = 0.95) -> float:
        """One-sided lower bound that holds with the confidence `level`."""
        return self.value - self._quantile(level) * self.standard_error

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided interval of the confidence `level`."""
        half = self._quantile(0.5 + level / 2.0) * self.standard_error
        return self.value - half, self.value + half

    def minus(self, other: OffPolicyEstimate) -> OffPolicyEstimate:
        """Difference of two policies on one log, paired by trajectory: what both share leaves the error."""
        if not np.array_equal(self.sessions, other.sessions):
            raise FixInput("the estimates come from different logs", fix="Estimate both policies on the same trajectories")
        return OffPolicyEstimate(self.contributions - other.contributions, self.sessions)

    def _quantile(self, level: float) -> float:
        if not 0.5 <= level < 1.0:
            raise FixInput(f"the level is {level}", fix="Give one in [0.5, 1)")
        return float(student.ppf(level, max(len(np.unique(self.sessions)) - 1, 1)))


LEAST_EFFECTIVE = 100.0  # effective sample, below which no policy is preferred
SUSPECT_T = 4.0  # of a mean weight away from 1: weights are skewed, so that 2 would suspect honest logs


@dataclass(frozen=True)
class Overlap:
    """How much of a log speaks of a policy, and whether its propensities can be true.

    Attributes
    ----------
    effective_sample : float
        (sum w)^2 / sum w^2 of the whole trajectories' weights (Kish 1965): so many equally weighed ones say as much.
    mean_weight, mean_weight_t : float
        Mean of w and its distance from 1 in standard errors; 1 is expected where the propensities are true and the policy
        takes nothing that could not be logged.
    arm_means, arm_t : tuple of float
        By arm, over all decisions, mean of [a = arm] / p and its distance from 1 in standard errors. Below 1 the arm was
        not always possible; above 1 its propensities are too small.
    """

    trajectories: int
    effective_sample: float
    mean_weight: float
    mean_weight_t: float
    arm_means: tuple[float, ...]
    arm_t: tuple[float, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """Return the reasons against using the log for this policy, in words; empty where there are none."""
        by_weight = f"the mean weight is {self.mean_weight:.3f}, not 1: wrong propensities, or actions that were not possible"
        arms = enumerate(zip(self.arm_means, self.arm_t, strict=True))
        by_arm = (f"arm {arm} was taken {mean:.3f} times as often as its propensities say" for arm, (mean, t) in arms if t > SUSPECT_T)
        return (*((by_weight,) * (abs(self.mean_weight_t) > SUSPECT_T)), *by_arm)


def effective_sample(weights: Floats) -> float:
    """(sum w)^2 / sum w^2, Kish's effective sample size; 0 where every weight is 0.

    Examples
    --------
    >>> round(effective_sample(np.array([1.6, 0.4, 0.4, 1.2])), 9)
    3.0
    """
    largest = float(np.max(weights, initial=0.0))
    if largest <= 0.0:
        return 0.0
    scaled = weights / largest  # so that squares cannot overflow
    return float(scaled.sum() ** 2 / (scaled @ scaled))


def importance_weights(log: LoggedDecisions, policy: Floats) -> Floats:
    """w_t of each trajectory and step, (n, H), of a policy (n, H, arms).

    Raises
    ------
    FixInput
        The policy is not one; it would take what the log could not; or no logged trajectory is one that it could take.
    """
    log.require_policy(policy)
    taken = np.where(log.live, log.taken(policy), 1.0)
    impossible = log.live & (log.propensities >= CERTAIN) & (taken < CERTAIN)
    if impossible.any():
        raise FixInput(
            f"the log took one action with certainty in {int(impossible.sum())} decisions where the policy would take others",
            fix="Judge the policy by a replay with every outcome known, or log randomised decisions",
        )
    with np.errstate(over="ignore"):
        weights: Floats = np.cumprod(taken / log.propensities, axis=1, dtype=np.float64)
    if not np.isfinite(weights).all():
        raise FixInput("weights leave the range of numbers", fix="Shorten the horizon, or log larger propensities")
    if not weights[:, -1].any():
        raise FixInput("no logged trajectory is one that the policy could take", fix="Log decisions that share arms with the policy")
    return weights


def overlap(log: LoggedDecisions, policy: Floats) -> Overlap:
    """Effective sample, mean weight and use of each arm; see `Overlap.faults`."""
    weights = importance_weights(log, policy)[:, -1]
    mean, t = _against_one(weights, log)
    steps = log.live.sum(axis=1) * len(weights) / log.live.sum()  # of mean 1, so that the mean below is one by decision
    expected = [np.where(log.actions == arm, 1.0 / log.propensities, 0.0).sum(axis=1) for arm in range(log.arms)]
    arms = (_against_one(1.0 + one * len(weights) / log.live.sum() - steps, log) for one in expected)
    means, distances = zip(*arms, strict=True)
    return Overlap(len(weights), effective_sample(weights), mean, t, means, distances)


def observed(log: LoggedDecisions) -> OffPolicyEstimate:
    """Discounted return of the policy that was logged: the baseline of a paired bound."""
    return OffPolicyEstimate(log.rewards @ log.discounts, log.sessions)


def ips(log: LoggedDecisions, policy: Floats, *, normalised: bool = False) -> OffPolicyEstimate:
    """Inverse propensity score; over several steps, importance sampling of whole trajectories."""
    whole = np.broadcast_to(importance_weights(log, policy)[:, -1:], log.rewards.shape)
    return OffPolicyEstimate(_terms(log, whole, log.rewards, normalised=normalised), log.sessions)


def snips(log: LoggedDecisions, policy: Floats) -> OffPolicyEstimate:
    """Self-normalised `ips`: never outside the range of the observed returns."""
    return ips(log, policy, normalised=True)


def per_decision(log: LoggedDecisions, policy: Floats, *, normalised: bool = False) -> OffPolicyEstimate:
    """Per-decision importance sampling: a reward is weighed by what led to it, not by what came after."""
    return OffPolicyEstimate(_terms(log, importance_weights(log, policy), log.rewards, normalised=normalised), log.sessions)


def direct_method(log: LoggedDecisions, policy: Floats, q: Floats) -> OffPolicyEstimate:
    """Value of the first step by a model of the value of each arm, q (n, H, arms).

    It is as wrong as the model, of which its error knows nothing.
    """
    log.require_policy(policy)
    log.require_by_arm("the model of values", q)
    return OffPolicyEstimate((policy[:, 0] * q[:, 0]).sum(axis=1), log.sessions)


def doubly_robust(log: LoggedDecisions, policy: Floats, q: Floats, *, normalised: bool = False) -> OffPolicyEstimate:
    """Sequential DR, and with `normalised` weighted DR: unbiased if either the propensities or the model are right.

    `q` (n, H, arms) must come from other sessions than those it judges: see `fitted_q.cross_fitted`.
    """
    weights = importance_weights(log, policy)
    log.require_by_arm("the model of values", q)
    before = np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
    by_policy = np.where(log.live[:, :, None], policy * q, 0.0).sum(axis=2)
    surprise = _terms(log, weights, log.rewards - log.taken(q), normalised=normalised)
    return OffPolicyEstimate(surprise + _terms(log, before, by_policy, normalised=normalised), log.sessions)


def _terms(log: LoggedDecisions, weights: Floats, values: Floats, *, normalised: bool) -> Floats:
    """Contribution of each trajectory to sum_t g^t mean(w_t x_t), or to the same with weights of mean 1."""
    with np.errstate(over="ignore", invalid="ignore"):
        terms = weights * values
        if normalised:
            share = weights / weights.mean(axis=0)
            mean = (share * values).mean(axis=0)
            terms = mean + share * (values - mean)
        return np.asarray(terms @ log.discounts)


def _against_one(values: Floats, log: LoggedDecisions) -> tuple[float, float]:
    """Mean, and its distance from 1 in standard errors; infinite where nothing varies about another number."""
    found = OffPolicyEstimate(values, log.sessions)
    distance, error = found.value - 1.0, found.standard_error
    if abs(distance) < 1e-12:
        return found.value, 0.0
    return found.value, distance / error if error > 0.0 else math.copysign(math.inf, distance)
