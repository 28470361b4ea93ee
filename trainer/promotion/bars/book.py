"""Bars on the walk-forward book and on the cross-validation paths."""

from dataclasses import replace

import numpy as np

from trainer.promotion.bars.case import Case
from trainer.promotion.bars.config import PromotionConfig
from trainer.runs.bar_results import BarResult, at_least, at_most, finite
from trainer.validation.significance.power import rates


def sessions(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the book is long enough."""
    return at_least("sessions", case.measured.walk_forward.sessions, bars.min_sessions, "sessions of the walk-forward book")


def sharpe(case: Case, bars: PromotionConfig) -> BarResult:
    """Net annual Sharpe ratio of the book."""
    book = case.measured.walk_forward
    net, count = book.net, book.sessions
    if net is not None and net.is_ruined:
        return BarResult("net Sharpe", None, bars.min_sharpe, False, "the book was ruined: what it earned before is no skill")
    found = finite(net.annual_sharpe) if net else None
    if found is None and net is not None and net.annual_volatility == 0.0:
        return BarResult("net Sharpe", None, bars.min_sharpe, False, "no evidence: the book never traded, its IC asks for none")
    row = at_least("net Sharpe", found, bars.min_sharpe, "annual, walking forward, after all costs")
    return replace(row, power=rates(bars.min_sharpe, count)) if count is not None and count >= 2 else row


def drawdown(case: Case, bars: PromotionConfig) -> BarResult:
    """Deepest fall of the book's net value."""
    net = case.measured.walk_forward.net
    return at_most("drawdown", net.max_drawdown if net else None, bars.max_drawdown, "deepest fall of the net value")


def paths(case: Case, bars: PromotionConfig) -> BarResult:
    """The lower end of the cross-validation's paths."""
    stored = case.measured.paths.annual_sharpe
    ruined = stored.count(None)
    if ruined:
        why = f"the book of {ruined} of {len(stored)} paths was ruined"
        return BarResult("paths", None, bars.min_path_sharpe, False, why)
    known = [sharpe for sharpe in stored if sharpe is not None and np.isfinite(sharpe)]
    value = float(np.quantile(known, bars.path_quantile)) if known and len(known) == len(stored) else None
    why = f"net Sharpe ratio at the {bars.path_quantile:.0%} quantile of the cross-validation's paths"
    if value is None:
        return BarResult("paths", None, bars.min_path_sharpe, False, "no evidence")
    passed = value > bars.min_path_sharpe
    reason = why if passed else f"{value:.4g} does not exceed {bars.min_path_sharpe:.4g}, {why}"
    # The paths walk the same sessions: together they know little more than one of them.
    count = case.measured.walk_forward.sessions
    power = rates(bars.min_path_sharpe, count) if count is not None and count >= 2 else ""
    return BarResult("paths", value, bars.min_path_sharpe, passed, reason, power)


def turnover(case: Case, bars: PromotionConfig) -> BarResult:
    """How much is traded a year."""
    return at_most("turnover", case.measured.walk_forward.turnover.annual, bars.max_annual_turnover, "one-way a year, times equity")


def costs(case: Case, bars: PromotionConfig) -> BarResult:
    """Share of the profit that costs take."""
    book = case.measured.walk_forward
    cost, net = finite(book.costs.annual_total), finite(book.net.annual_return) if book.net else None
    if cost is None or net is None:
        return BarResult("costs", None, bars.max_cost_share, False, "no evidence")
    gross = net + cost
    share = cost / gross if gross > 0 else 1.0
    return at_most("costs", share, bars.max_cost_share, "of the profit before costs")
