"""Bars on the walk-forward book and on the cross-validation paths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from trainer.promotion.bars.case import BarResult, Case, at_least, at_most, floats, get, number
from trainer.promotion.bars.config import PromotionConfig
from trainer.validation.significance.power import rates


def sessions(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the book is long enough."""
    found = number(get(case.measured, "walk_forward"), "sessions")
    return at_least("sessions", found, bars.min_sessions, "sessions of the walk-forward book")


def sharpe(case: Case, bars: PromotionConfig) -> BarResult:
    """Net annual Sharpe ratio of the book."""
    net = get(case.measured, "walk_forward", "net")
    found = number(net, "annual_sharpe")
    if get(net, "is_ruined"):
        return BarResult("net Sharpe", None, bars.min_sharpe, False, "the book was ruined: what it earned before is no skill")
    if found is None and number(net, "annual_volatility") == 0.0:
        return BarResult("net Sharpe", None, bars.min_sharpe, False, "no evidence: the book never traded, its IC asks for none")
    row = at_least("net Sharpe", found, bars.min_sharpe, "annual, walking forward, after all costs")
    count = number(get(case.measured, "walk_forward"), "sessions")
    return replace(row, power=rates(bars.min_sharpe, int(count))) if count is not None and count >= 2 else row


def drawdown(case: Case, bars: PromotionConfig) -> BarResult:
    """Deepest fall of the book's net value."""
    found = number(get(case.measured, "walk_forward", "net"), "max_drawdown")
    return at_most("drawdown", found, bars.max_drawdown, "deepest fall of the net value")


def paths(case: Case, bars: PromotionConfig) -> BarResult:
    """The lower end of the cross-validation's paths."""
    stored = get(case.measured, "paths", "annual_sharpe")
    ruined = stored.count(None) if isinstance(stored, list) else 0
    if ruined:
        why = f"the book of {ruined} of {len(stored)} paths was ruined"
        return BarResult("paths", None, bars.min_path_sharpe, False, why)
    found = floats(stored)
    value = float(np.quantile(found, bars.path_quantile)) if found else None
    why = f"net Sharpe ratio at the {bars.path_quantile:.0%} quantile of the cross-validation's paths"
    if value is None:
        return BarResult("paths", None, bars.min_path_sharpe, False, "no evidence")
    passed = value > bars.min_path_sharpe
    told = why if passed else f"{value:.4g} does not exceed {bars.min_path_sharpe:.4g}, {why}"
    # The paths walk the same sessions: together they know little more than one of them.
    count = number(get(case.measured, "walk_forward"), "sessions")
    power = rates(bars.min_path_sharpe, int(count)) if count is not None and count >= 2 else ""
    return BarResult("paths", value, bars.min_path_sharpe, passed, told, power)


def turnover(case: Case, bars: PromotionConfig) -> BarResult:
    """How much is traded a year."""
    found = number(get(case.measured, "walk_forward", "turnover"), "annual")
    return at_most("turnover", found, bars.max_annual_turnover, "one-way a year, times equity")


def costs(case: Case, bars: PromotionConfig) -> BarResult:
    """Share of the profit that costs take."""
    cost = number(get(case.measured, "walk_forward", "costs"), "annual_total")
    net = number(get(case.measured, "walk_forward", "net"), "annual_return")
    if cost is None or net is None:
        return BarResult("costs", None, bars.max_cost_share, False, "no evidence")
    gross = net + cost
    share = cost / gross if gross > 0 else 1.0
    return at_most("costs", share, bars.max_cost_share, "of the profit before costs")
