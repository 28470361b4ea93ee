"""Tuner: which arm of target and size would have earned more, from decisions drawn at random in shadow.

A bandit over events. In shadow, and never in an order, an arm is drawn instead of the default one with a small
probability (`signals.events.arms`); the device logs the draw, its propensity and the outcome of the event under the drawn
arm. Each arm is then judged as the policy that always takes it.
"""

from dataclasses import dataclass

import numpy as np

from signals.errors import FixInput
from trainer.off_policy.estimators import Overlap, doubly_robust, ips, overlap, snips
from trainer.off_policy.fitted_q import Regressor, cross_fitted
from trainer.off_policy.logs import LoggedDecisions

LEAST_EFFECTIVE = 100.0  # effective sample, below which no arm is preferred


@dataclass(frozen=True)
class ArmEvidence:
    """Estimate from a log of always taking one arm.

    Attributes
    ----------
    arm : int
        Its number.
    ips, snips, dr : float
        Estimates of the reward of an event.
    gain, gain_bound : float
        Of the default arm, by DR on the same events, and its one-sided bound that holds for all arms together; 0 of the
        default itself.
    overlap : Overlap
        Effective sample and mean weight.
    preferred : bool
        The bound is above 0, the effective sample is enough, and nothing speaks against the propensities.
    """

    arm: int
    ips: float
    snips: float
    dr: float
    gain: float
    gain_bound: float
    overlap: Overlap
    preferred: bool


def tune(log: LoggedDecisions, default: int, regressor: Regressor, *, folds: int = 2, level: float = 0.95) -> tuple[ArmEvidence, ...]:
    """Judge every arm of a log of one step against the default.

    The bound of each arm has the level 1 - (1 - level) / (arms - 1) (Bonferroni), so that the best of several arms without
    a gain is preferred in 1 - level of all logs at most.

    Raises
    ------
    FixInput
        The log has several steps, or one arm alone, or was not randomised.
    """
    if log.actions.shape[1] != 1 or log.arms < 2 or not 0 <= default < log.arms:
        raise FixInput(
            "a tuner compares two arms or more on single decisions", fix="Give a log of one step, and the number of its default arm"
        )
    always = [np.broadcast_to(np.eye(log.arms)[arm], (*log.actions.shape, log.arms)) for arm in range(log.arms)]
    by_dr = [doubly_robust(log, policy, cross_fitted(log, policy, regressor, folds)) for policy in always]
    alone = 1.0 - (1.0 - level) / (log.arms - 1)
    found = []
    for arm, policy in enumerate(always):
        gain, support = by_dr[arm].minus(by_dr[default]), overlap(log, policy)
        bound = gain.lower(alone) if arm != default else 0.0
        enough = support.effective_sample >= LEAST_EFFECTIVE and not support.faults
        estimates = ips(log, policy).value, snips(log, policy).value, by_dr[arm].value
        found.append(ArmEvidence(arm, *estimates, gain.value, bound, support, bound > 0.0 and enough))
    return tuple(found)
