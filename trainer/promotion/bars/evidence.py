"""Bars on the training data (bars fixed first, leaks, embargo), on scores, and on the walk-forward book and the cross-validation paths."""

from dataclasses import replace

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import spearmanr

from signals.scoring.evidence import Mean
from trainer.promotion.bars.config import Case, PromotionConfig
from trainer.runs.evidence import BarResult, at_least, at_most, finite
from trainer.validation.probabilities import CalibrationDocument
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


SURE = 2.0  # standard errors


def bars_first(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the training and its searches began under these very bars."""
    now, limit = bars.fingerprint(), "known before the search"
    others = [known for known in case.searched_under if known != now]
    if not case.searched_under or others:
        found = others[0][:12] if others and others[0] else None
        why = "the training or a search of it began under other bars, or none: train again under these (--bars)"
        return BarResult("bars", found, limit, False, why)
    return BarResult("bars", now[:12], limit, True, "recorded before the training and the first trial of its searches")


def leaks(case: Case, bars: PromotionConfig) -> BarResult:
    """The leak certificate of the cross-validation."""
    return at_most("leaks", case.evidence.leak_certificate.total, 0, "training rows that leak")


def leak(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the figures are too good, or a check of the training's battery found what no honest data show."""
    forward = case.evidence.walk_forward
    known = (case.evidence.ic.whole, forward.ic if forward else Mean())
    net = case.measured.walk_forward.net
    sharpe = finite(net.annual_sharpe) if net else None
    limit = f"IC - 2 SE <= {bars.max_sure_ic:g}, net Sharpe <= {bars.max_plausible_sharpe:g}, no check failed"
    if any(finite(one.mean) is None or finite(one.standard_error) is None for one in known):
        return BarResult("leak", None, limit, False, "no evidence")
    sure = max(abs(one.mean) - SURE * one.standard_error for one in known)
    found = []
    if sure > bars.max_sure_ic:
        found.append(f"the IC is surely beyond {bars.max_sure_ic:g} ({sure:.4f} after two standard errors)")
    if sharpe is not None and sharpe > bars.max_plausible_sharpe:
        found.append(f"a net Sharpe ratio of {sharpe:.2f} is beyond {bars.max_plausible_sharpe:g}")
    if not case.evidence.leaks.checks:
        return BarResult("leak", None, limit, False, "no evidence of the leak battery: train again with this version")
    found += case.evidence.leaks.failures
    if not found:
        return BarResult("leak", sure, limit, True, "IC after two standard errors, walking forward and out of fold")
    row = BarResult("leak", sure, limit, False, f"a leak until somebody shows that it is none: {'; '.join(found)}")
    return case.waived("leak", row)


def long_embargo(case: Case, bars: PromotionConfig) -> BarResult:
    """How much of the IC needs training rows near the test."""
    name, limit, ic = "long embargo", bars.max_long_embargo_loss, case.evidence.ic
    distant, mean = finite(ic.long_embargo.mean) if ic.long_embargo else None, finite(ic.mean)
    if mean is None or ic.embargoes is None:
        return BarResult(name, None, limit, False, "no evidence: train again with this version")
    if distant is not None and ic.embargoes.long >= ic.embargoes.needed:
        lost = 1.0 - distant / mean if mean > 0 else 1.0
        return at_most(name, lost, limit, "share of the IC that vanishes")
    if ic.embargoes.is_possible is not False:
        why = f"not measured, and the history suffices: set cpcv.long_embargo_sessions to {ic.embargoes.needed} and train again"
        return BarResult(name, None, limit, False, why)
    row = BarResult(name, None, limit, False, f"not measured: the history is too short for an embargo of {ic.embargoes.needed} sessions")
    return row if bars.require_long_embargo else case.waived(name, row)


def reliability(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether probabilities made of the scores mean what they say, and are of the model that they travel with."""
    bar, limit = "reliability", f"slope 1 inside its {bars.calibration_level:.0%} interval"
    found = case.evidence.calibration
    judged = found.judged if found else None
    if found is None or judged is None or not np.isfinite(list(vars(judged).values())).all():
        return BarResult(bar, None, limit, False, "no evidence")
    slope, slope_error, excess, excess_error = judged.slope, judged.slope_error, judged.excess_brier, judged.excess_error
    z = float(ndtri(0.5 + bars.calibration_level / 2.0))
    faults = [
        *_of_the_maps(found, case, bars),
        *(["the slope's interval does not hold 1"] * (not abs(slope - 1.0) <= z * slope_error)),
        *(["worse than the base rate by more than its error"] * (not excess <= z * excess_error)),
    ]
    why = (
        f"slope {slope:.2f}, {bars.calibration_level:.0%} interval {slope - z * slope_error:.2f} to "
        f"{slope + z * slope_error:.2f}; Brier score {excess:+.5f} next to the base rate's, error {excess_error:.5f}; "
        f"base rate {judged.base_rate:.3f}, said {judged.said:.3f}, came {judged.came:.3f}"
    )
    return BarResult(bar, slope, limit, not faults, "; ".join([*faults, why]), _power(slope_error, z))


def _of_the_maps(found: CalibrationDocument, case: Case, bars: PromotionConfig) -> list[str]:
    levels, fit, stretch = found.isotonic.levels, found.fitted_for, bars.max_calibration_stretch
    faults = []
    if not found.platt.slope > 0.0:
        faults.append("the map turns the order of the scores round")
    if not levels or not all(0.0 < level < 1.0 for level in levels):
        faults.append("a map says 0 or 1")
    if fit is None or not fit.model_sha256 or fit.model_sha256 != case.measured.model_sha256:
        faults.append("the maps were fitted for another model")
    if fit is None or not fit.unseen_deviation <= stretch * fit.score_deviation <= stretch**2 * fit.unseen_deviation:
        faults.append(f"the model's scores are over {stretch:g} times wider, or narrower, than those of the fit")
    return faults


def _power(error: float, z: float) -> str:
    """How often an honest map is refused, and one that is twice too sure: its slope is one half."""
    caught = float(ndtr(0.5 / error - z) + ndtr(-0.5 / error - z)) if error > 0.0 else 1.0
    return f"an honest map is refused with {2.0 * ndtr(-z):.0%}, one that is twice too sure with {caught:.0%}"


def decile_order(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether higher scores earn more along the whole curve."""
    curve = case.evidence.deciles.curve
    is_ordered = len(curve) > 2 and bool(np.isfinite(curve).all()) and np.ptp(curve) > 0
    order = float(spearmanr(range(len(curve)), curve).statistic) if is_ordered else None

    return at_least("decile order", order, bars.min_decile_order, "rank correlation of score decile and mean label, out of fold")
