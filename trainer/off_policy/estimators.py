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

q is fitted Q evaluation, a model of the value of each arm under pi. With h steps to go (Le, Voloshin and Yue 2019, "Batch
policy learning under constraints"; Ernst et al. 2005):

    Q_h(x, a) = E[r + g V_{h-1}(x') | x, a],   V_h(x) = sum_a pi(a | x) Q_h(x, a),   V_0 = 0

and q(x_t, a) = Q_{H-t}(x_t, a). Each expectation is a regression on the logged steps that took the arm, whatever their
time: dynamics and policy are taken to depend on the features alone, so what depends on the time has it among them. The
last step of the horizon has no recorded successor and teaches Q_1 alone; a trajectory that ended earlier is worth
nothing after.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from signals.errors import FixInput, InvariantBroken, TooLittleHistory
from signals.market.bars import Floats
from trainer.learners.base import Learner
from trainer.off_policy.logs import CERTAIN, LoggedDecisions, Rows

Predict = Callable[[Floats], Floats]
Regressor = Callable[[Floats, Floats], Predict]
"""Takes features (m, F) and targets (m,), returns the function from features to what is expected."""


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
    return Overlap(effective_sample(weights), mean, t, means, distances)


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

    `q` (n, H, arms) must come from other sessions than those it judges: see `cross_fitted`.
    """
    weights = importance_weights(log, policy)
    log.require_by_arm("the model of values", q)
    before = np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
    by_policy = np.where(log.live[:, :, None], policy * q, 0.0).sum(axis=2)
    surprise = _terms(log, weights, log.rewards - log.taken(q), normalised=normalised)
    return OffPolicyEstimate(surprise + _terms(log, before, by_policy, normalised=normalised), log.sessions)


def cell_means(features: Floats, targets: Floats) -> Predict:
    """Tabular regressor: the mean of each state, which the only feature numbers from 0; the mean of all where it is new."""
    cells, usual = _cells(features), float(targets.mean())
    counts = np.bincount(cells)
    known = np.full(len(counts), usual)
    np.divide(np.bincount(cells, weights=targets), counts, out=known, where=counts > 0)

    def predict(rows: Floats) -> Floats:
        asked = _cells(rows)
        return np.where(asked < len(known), known[np.minimum(asked, len(known) - 1)], usual)

    return predict


def learned(learner: Learner) -> Regressor:
    """Regressor that a learner of the table fits, such as `learner_named("ridge", ...)`, on features of 32 bits."""

    def fit(features: Floats, targets: Floats) -> Predict:
        names = tuple(f"feature_{number}" for number in range(features.shape[1]))
        model = learner.fit(features.astype(np.float32), targets, np.ones(len(targets)), names)
        return lambda rows: model.predict(rows.astype(np.float32))

    return fit


@dataclass(frozen=True)
class FittedQ:
    """Fitted values: by steps to go, less one, and by arm; an arm that the policy never takes has none and counts 0."""

    models: tuple[tuple[Predict | None, ...], ...]

    def values(self, features: Floats) -> Floats:
        """Values of the features (n, H, F) of each step of the horizon, (n, H, arms)."""
        steps = [self.with_steps_to_go(len(self.models) - step, features[:, step]) for step in range(len(self.models))]
        return np.stack(steps, axis=1)

    def with_steps_to_go(self, count: int, features: Floats) -> Floats:
        """Values of features (m, F) with `count` steps to go, (m, arms)."""
        return np.stack([np.zeros(len(features)) if predict is None else predict(features) for predict in self.models[count - 1]], axis=1)


def fitted_q(log: LoggedDecisions, policy: Floats, regressor: Regressor) -> FittedQ:
    """Fit the values of a policy (n, H, arms) on a log; raise `FixInput` where it takes an arm that no usable step took."""
    log.require_policy(policy)
    count, horizon = log.actions.shape
    flat = log.features.reshape(count * horizon, -1)
    wanted = [bool(((policy[:, :, arm] > 0.0) & log.live).any()) for arm in range(log.arms)]
    fitted = FittedQ(())
    targets = log.rewards
    for to_go in range(1, horizon + 1):
        usable = log.live.copy()
        if to_go > 1:
            usable[:, -1] = False
            by_arm = fitted.with_steps_to_go(to_go - 1, flat).reshape(count, horizon, log.arms)
            value = np.where(log.live, (policy * by_arm).sum(axis=2), 0.0)
            targets = log.rewards + log.discount * np.concatenate([value[:, 1:], np.zeros((count, 1))], axis=1)
        models: list[Predict | None] = []
        for arm in range(log.arms):
            rows = usable & (log.actions == arm)
            if wanted[arm] and not rows.any():
                raise FixInput(f"the policy takes arm {arm}, which no logged decision took", fix="Log decisions that take it")
            models.append(regressor(log.features[rows], targets[rows]) if wanted[arm] else None)
        fitted = replace(fitted, models=(*fitted.models, tuple(models)))
    return fitted


def cross_fitted(log: LoggedDecisions, policy: Floats, regressor: Regressor, folds: int = 2) -> Floats:
    """Values (n, H, arms) of each trajectory by models that have not seen its session (Chernozhukov et al. 2018).

    The folds are blocks of consecutive sessions, because sessions resemble their neighbours. Raises `TooLittleHistory` where there
    are fewer sessions than folds.
    """
    sessions = np.unique(log.sessions)
    if folds < 2 or len(sessions) < folds:
        fix = "Log more sessions, or ask for 2 folds or more"
        raise TooLittleHistory(f"{len(sessions)} sessions cannot be cut into {folds} folds", fix=fix)
    q = np.empty((*log.actions.shape, log.arms))
    for block in np.array_split(sessions, folds):
        inside = np.isin(log.sessions, block)
        q[inside] = fitted_q(log.of(~inside), policy[~inside], regressor).values(log.features[inside])
    return q


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


def _cells(features: Floats) -> Rows:
    cells = features[:, 0].astype(np.int64) if features.shape[1] == 1 else np.zeros(0, dtype=np.int64)
    if len(cells) != len(features) or (cells != features[:, 0]).any() or (cells < 0).any():
        raise FixInput("these features do not number states", fix="Give one feature with whole numbers from 0, or another regressor")
    return cells
