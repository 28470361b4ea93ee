"""Tuner: which arm of target and size would have earned more, from decisions drawn at random in shadow.

A bandit over events. In shadow, and never in an order, an arm is drawn instead of the default one with a small
probability (`signals.events.arms`); the device logs the draw, its propensity and the outcome of the event under the drawn
arm. Each arm is then judged as the policy that always takes it, of which a log is decisions of one step: the reward is the
R of the drawn trade times its size.

An arm decides how long a trade lives, so that the newest trades that have ended are not a fair sample of all. From the
first session with an open trade on, nothing is read. A trade that was never entered, whose bars are missing, or that is
open for longer than any is patient, says nothing of any arm and is left out.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from signals.errors import FixInput, TooLittleHistory
from signals.events.arms import ARMS, DEFAULT
from signals.events.daily import WAITS
from signals.scoring.shadow_logs import FIX, ArmDecision, read_arm_log
from trainer.off_policy.estimators import LEAST_EFFECTIVE, Overlap, Regressor, cell_means, cross_fitted, doubly_robust, ips, overlap, snips
from trainer.off_policy.logs import LoggedDecisions, exported
from trainer.off_policy.sizing import level_of_try

PATIENCE = timedelta(days=3 * WAITS)  # three days a session: no trade waits for longer, but where a device was off


@dataclass(frozen=True)
class ArmEvidence:
    """Estimate from a log of always taking one arm.

    Attributes
    ----------
    ips, snips, dr : float
        Estimates of the reward of an event.
    gain, gain_bound : float
        Over the default arm, by DR on the same events, and its one-sided bound that holds for all arms together.
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


def tune(log: LoggedDecisions, default: int, regressor: Regressor) -> tuple[ArmEvidence, ...]:
    """Judge every arm of a log of one step against the default.

    The arms share the error of one bound, so that the best of several without a gain is preferred in 5 % of all logs at most.

    Raises
    ------
    FixInput
        The log has several steps, or one arm alone, or was not randomised.
    """
    if log.actions.shape[1] != 1 or log.arms < 2 or not 0 <= default < log.arms:
        fix = "Give a log of one step, and the number of its default arm"
        raise FixInput("a tuner compares two arms or more on single decisions", fix=fix)
    always = [np.broadcast_to(np.eye(log.arms)[arm], (*log.actions.shape, log.arms)) for arm in range(log.arms)]
    by_dr = [doubly_robust(log, policy, cross_fitted(log, policy, regressor)) for policy in always]
    found = []
    for arm, policy in enumerate(always):
        gain, support = by_dr[arm].minus(by_dr[default]), overlap(log, policy)
        bound = gain.lower(level_of_try(log.arms - 1))
        enough = support.effective_sample >= LEAST_EFFECTIVE and not support.faults
        estimates = ips(log, policy).value, snips(log, policy).value, by_dr[arm].value
        found.append(ArmEvidence(arm, *estimates, gain.value, bound, support, bound > 0.0 and enough))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class ArmReport:
    """Evidence of each arm, and how many decisions stand behind it or were left out."""

    arms: tuple[ArmEvidence, ...]
    drawn: tuple[int, ...]
    decisions: int
    is_open: int
    without_result: int
    is_rehearsal: bool


def report_of(path: Path) -> ArmReport:
    """Judge every arm by the logs at `path`, a file or a folder of them.

    Raises
    ------
    FixInput
        Nothing there is such a log, one was changed, or two know different endings of one trade.
    TooLittleHistory
        No decision has ended, or an arm was never drawn in a part of the log.
    """
    logs = [read_arm_log(content, where=file) for file, content in exported(path, "arms").items()]
    rows = _joined([one for log in logs for one in log.decisions], where=str(path))
    newest = max((one.asof for one in rows.values()), default=date.min)
    waiting = [one.asof for one in rows.values() if one.exit is None and newest - one.asof < PATIENCE]
    closed = [one for one in rows.values() if one.asof < min(waiting, default=date.max)]
    known = [one for one in closed if one.realised_r is not None]
    drawn = tuple(sum(one.arm == arm for one in known) for arm in range(len(ARMS)))
    if not all(drawn):
        raise TooLittleHistory(
            f"{len(known)} trades have ended, and an arm was never drawn among them: {', '.join(map(str, drawn))}",
            fix="Let the device record more evenings, and join the logs of several",
        )
    known.sort(key=lambda one: (one.asof, one.symbol, one.seed))
    made = ((one.asof, [float(one.cell)], one.arm, ARMS[one.arm].size * (one.realised_r or 0.0), one.propensity) for one in known)
    counts = len(known), len(rows) - len(closed), len(closed) - len(known)
    found = tune(LoggedDecisions.of_rows(made, len(ARMS)), DEFAULT, cell_means)
    return ArmReport(found, drawn, *counts, any(log.is_rehearsal for log in logs))


def _joined(decisions: list[ArmDecision], *, where: str) -> dict[tuple[str, date, str], ArmDecision]:
    """Each draw once, ended where any log knows its end: an export of before may lie next to one of today."""
    rows: dict[tuple[str, date, str], ArmDecision] = {}
    for one in sorted(decisions, key=lambda one: one.exit is not None):
        before = rows.get((one.seed, one.asof, one.symbol))
        if before is not None and before.exit is not None and before != one:
            raise FixInput(f"two logs know different endings of the trade of {one.symbol} at {one.asof}", where=where, fix=FIX)
        rows[one.seed, one.asof, one.symbol] = one
    return rows
