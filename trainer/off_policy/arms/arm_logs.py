"""Logs of arms that devices drew in shadow, as decisions of one step: the reward is the R of the drawn trade times its size.

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
from signals.scoring.draw_logs import FIX, ArmDecision, read_arm_log
from trainer.off_policy.arms.tuner import ArmEvidence, tune
from trainer.off_policy.fitted_q import cell_means
from trainer.off_policy.logs import LoggedDecisions, exported

PATIENCE = timedelta(days=3 * WAITS)  # three days a session: no trade waits for longer, but where a device was off


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
    first_open = min(waiting, default=None)
    closed = [one for one in rows.values() if first_open is None or one.asof < first_open]
    known = [one for one in closed if one.realised_r is not None]
    drawn = tuple(sum(one.arm == arm for one in known) for arm in range(len(ARMS)))
    if not all(drawn):
        raise TooLittleHistory(
            f"{len(known)} trades have ended, and an arm was never drawn among them: {', '.join(map(str, drawn))}",
            fix="Let the device record more evenings, and join the logs of several",
        )
    return ArmReport(
        tune(_log(known), DEFAULT, cell_means),
        drawn,
        len(known),
        len(rows) - len(closed),
        len(closed) - len(known),
        any(log.is_rehearsal for log in logs),
    )


def _joined(decisions: list[ArmDecision], *, where: str) -> dict[tuple[str, date, str], ArmDecision]:
    """Each draw once, ended where any log knows its end: an export of before may lie next to one of today."""
    rows: dict[tuple[str, date, str], ArmDecision] = {}
    for one in sorted(decisions, key=lambda one: one.exit is not None):
        before = rows.get((one.seed, one.asof, one.symbol))
        if before is not None and before.exit is not None and before != one:
            raise FixInput(f"two logs know different endings of the trade of {one.symbol} at {one.asof}", where=where, fix=FIX)
        rows[one.seed, one.asof, one.symbol] = one
    return rows


def _log(known: list[ArmDecision]) -> LoggedDecisions:
    known = sorted(known, key=lambda one: (one.asof, one.symbol, one.seed))
    rewards = [ARMS[one.arm].size * (one.realised_r or 0.0) for one in known]
    return LoggedDecisions.of_one_step(
        np.array([one.asof for one in known], dtype="datetime64[D]").astype(np.int64),
        np.array([[float(one.cell)] for one in known]),
        np.array([one.arm for one in known]),
        np.array(rewards),
        np.array([one.propensity for one in known]),
        len(ARMS),
    )
