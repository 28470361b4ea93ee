"""Bars on the sealed holdout sessions.

A Sharpe ratio of 252 sessions has a standard error of 1, so the seal alone decides little, and its row says how little.
It refuses what lost money, and its sessions join those of the walk-forward book in one record, which is judged by its
deflated Sharpe ratio once more.

Each earlier sight of the sealed sessions is charged. Of m dead challengers with the same seal, the chance that at least
one passes shall be that of one: the m-th must exceed the quantile (1 - p0)^(1/m) of luck, p0 being the chance of the
first (Sidak).
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from trainer.backtest.figures import is_ruined, worth
from trainer.promotion.bars.case import BarResult, Case, get, number, series
from trainer.promotion.bars.config import PromotionConfig
from trainer.promotion.bars.trials import deflated_sharpe
from trainer.validation.significance.power import deflated_rates, rates, sharpe_error

SEALED = "sealed before the search"
RECORD = "DSR with the seal"


def holdout(case: Case, bars: PromotionConfig) -> BarResult:
    """What the sealed sessions earned."""
    bar = "holdout"
    sessions = number(case.evidence.get("holdout"), "sessions")
    if sessions is None or sessions < 2:
        return BarResult(bar, None, SEALED, False, "no evidence: the run has no sealed holdout")
    sights = [number(case.seen, name) for name in ("openings", "looks")]
    if any(count is None or count < 0 for count in sights):
        return BarResult(bar, None, SEALED, False, "no evidence of who saw the sealed sessions before")
    if case.holdout is not None:
        sessions = number(case.holdout, "sessions") or 0.0
    found = number(case.holdout, "annual_sharpe")
    if case.holdout is not None and (len(series(case.holdout)) != sessions or sessions < 2):
        return BarResult(bar, None, SEALED, False, "no evidence: what the seal showed was not kept session by session")
    before = int(sum(count or 0.0 for count in sights))
    limit = charged(bars.min_holdout_sharpe, before, int(sessions))
    power = rates(limit, int(sessions))
    if case.holdout is None:
        return BarResult(bar, None, limit, False, "still sealed: another bar fails", power)
    if get(case.holdout, "is_ruined"):
        return BarResult(bar, None, limit, False, "the book of the sealed sessions was ruined", power)
    told = "net Sharpe ratio of the sealed sessions" + charge(before)
    if found is None:
        return BarResult(bar, None, limit, False, "no evidence", power)
    passed = found > limit
    return BarResult(bar, found, limit, passed, told if passed else f"{found:.4g} does not exceed {limit:.4g}, {told}", power)


def record(case: Case, bars: PromotionConfig) -> BarResult:
    """Deflated Sharpe ratio of the walk-forward book and the sealed sessions together."""
    if case.holdout is None:
        return BarResult(RECORD, None, bars.min_dsr, False, "still sealed: another bar fails")
    pooled = {**series(get(case.measured, "walk_forward")), **series(case.holdout)}
    net = np.array([pooled[day] for day in sorted(pooled)])
    found = None
    if series(case.holdout) and float(np.ptp(net)) > 0.0 and not is_ruined(net):
        moments = worth(net)
        found = deflated_sharpe(case, {name: getattr(moments, name) for name in vars(moments)})
    if found is None:
        return BarResult(RECORD, None, bars.min_dsr, False, "no evidence")
    told = f"of {len(net)} sessions, the opened ones included: annual net Sharpe ratio {moments.annual_sharpe:.2f}"
    passed = found >= bars.min_dsr
    why = told if passed else f"{found:.4g} is below {bars.min_dsr:.4g}, {told}"
    power = deflated_rates(float(moments.annual_sharpe or 0.0), found, bars.min_dsr, len(net))
    return BarResult(RECORD, found, bars.min_dsr, passed, why, power)


def charged(limit: float, before: int, sessions: int) -> float:
    """Limit of a seal that was seen `before` times: dead challengers pass it together as often as one alone would."""
    error = sharpe_error(0.0, sessions)
    refused = float(ndtr(limit / error))
    return float(ndtri(refused ** (1.0 / (before + 1)))) * error


def charge(before: int) -> str:
    """Why the limit is higher than the bar, in words; empty where the seal was never seen."""
    return f"; its sessions were seen {before} time{'s' * (before != 1)} before, which is charged" if before else ""
