"""Bars on the sealed holdout sessions.

A Sharpe ratio of 252 sessions has a standard error of 1, so the seal alone decides little, and its row says how little.
It refuses what lost money, and its sessions join those of the walk-forward book in one record, which is judged by its
deflated Sharpe ratio once more.

Each earlier sight of the sealed sessions is charged. Of m dead challengers with the same seal, the chance that at least
one passes shall be that of one: the m-th must exceed the quantile (1 - p0)^(1/m) of luck, p0 being the chance of the
first (Sidak).
"""

import numpy as np

from trainer.backtest.document import is_ruined, worth
from trainer.promotion.bars.config import Case, PromotionConfig
from trainer.promotion.bars.trials import deflated_sharpe
from trainer.runs.evidence import BarResult, finite
from trainer.validation.significance.power import deflated_rates, rates, shared_limit, sharpe_error

SEALED = "sealed before the search"
RECORD = "DSR with the seal"


def holdout(case: Case, bars: PromotionConfig) -> BarResult:
    """What the sealed sessions earned."""
    bar = "holdout"
    sealed, opened = case.evidence.holdout, case.holdout
    sessions = sealed.sessions if sealed else None
    if sessions is None or sessions < 2:
        return BarResult(bar, None, SEALED, False, "no evidence: the run has no sealed holdout")
    if case.seen is None or case.seen.openings < 0 or case.seen.looks < 0:
        return BarResult(bar, None, SEALED, False, "no evidence of who saw the sealed sessions before")
    if opened is not None:
        sessions = opened.sessions
        if opened.series is None or len(opened.series.by_session) != sessions or sessions < 2:
            return BarResult(bar, None, SEALED, False, "no evidence: what the seal showed was not kept session by session")
    before = case.seen.openings + case.seen.looks
    limit = charged(bars.min_holdout_sharpe, before, sessions)
    power = rates(limit, sessions)
    if opened is None:
        return BarResult(bar, None, limit, False, "still sealed: another bar fails", power)
    if opened.is_ruined:
        return BarResult(bar, None, limit, False, "the book of the sealed sessions was ruined", power)
    words = "net Sharpe ratio of the sealed sessions" + charge(before)
    found = finite(opened.annual_sharpe)
    if found is None:
        return BarResult(bar, None, limit, False, "no evidence", power)
    passed = found > limit
    return BarResult(bar, found, limit, passed, words if passed else f"{found:.4g} does not exceed {limit:.4g}, {words}", power)


def record(case: Case, bars: PromotionConfig) -> BarResult:
    """Deflated Sharpe ratio of the walk-forward book and the sealed sessions together."""
    if case.holdout is None:
        return BarResult(RECORD, None, bars.min_dsr, False, "still sealed: another bar fails")
    sealed = case.holdout.series.by_session if case.holdout.series else {}
    pooled = {**case.measured.walk_forward.series.by_session, **sealed}
    net = np.array([pooled[day] for day in sorted(pooled)])
    found = None
    if sealed and float(np.ptp(net)) > 0.0 and not is_ruined(net):
        moments = worth(net)
        found = deflated_sharpe(case, moments)
    if found is None:
        return BarResult(RECORD, None, bars.min_dsr, False, "no evidence")
    words = f"of {len(net)} sessions, the opened ones included: annual net Sharpe ratio {moments.annual_sharpe:.2f}"
    passed = found >= bars.min_dsr
    why = words if passed else f"{found:.4g} is below {bars.min_dsr:.4g}, {words}"
    power = deflated_rates(float(moments.annual_sharpe or 0.0), found, bars.min_dsr, len(net))
    return BarResult(RECORD, found, bars.min_dsr, passed, why, power)


def charged(limit: float, before: int, sessions: int) -> float:
    """Limit of a seal that was seen `before` times: dead challengers pass it together as often as one alone would."""
    error = sharpe_error(0.0, sessions)
    return shared_limit(limit / error, before) * error


def charge(before: int) -> str:
    """Why the limit is higher than the bar, in words; empty where the seal was never seen."""
    return f"; its sessions were seen {before} time{'s' * (before != 1)} before, which is charged" if before else ""
