"""Bars on the training data: bars fixed first, leaks, embargo."""

from __future__ import annotations

from trainer.promotion.bars.case import BarResult, Case, at_most, get, number
from trainer.promotion.bars.config import PromotionConfig

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
    return at_most("leaks", number(case.evidence.get("leak_certificate"), "total"), 0, "training rows that leak")


def leak(case: Case, bars: PromotionConfig) -> BarResult:
    """Whether the figures are too good, or a check of the training's battery found what no honest data show."""
    ic = case.evidence.get("ic")
    means = [ic, get(case.evidence, "walk_forward", "ic")]
    known = [(number(m, "mean"), number(m, "standard_error")) for m in means]
    sharpe = number(get(case.measured, "walk_forward", "net"), "annual_sharpe")
    limit = f"IC - 2 SE <= {bars.max_sure_ic:g}, net Sharpe <= {bars.max_plausible_sharpe:g}, no check failed"
    if any(mean is None or error is None for mean, error in known):
        return BarResult("leak", None, limit, False, "no evidence")
    sure = max(abs(mean) - SURE * error for mean, error in known if mean is not None and error is not None)
    found = []
    if sure > bars.max_sure_ic:
        found.append(f"the IC is surely beyond {bars.max_sure_ic:g} ({sure:.4f} after two standard errors)")
    if sharpe is not None and sharpe > bars.max_plausible_sharpe:
        found.append(f"a net Sharpe ratio of {sharpe:.2f} is beyond {bars.max_plausible_sharpe:g}")
    checks = get(case.evidence, "leaks", "checks")
    if not isinstance(checks, list) or not checks:
        return BarResult("leak", None, limit, False, "no evidence of the leak battery: train again with this version")
    found += [f"{get(c, 'check')}: {get(c, 'why')}" for c in checks if get(c, "passed") is not True]
    if not found:
        return BarResult("leak", sure, limit, True, "IC after two standard errors, walking forward and out of fold")
    row = BarResult("leak", sure, limit, False, f"a leak until somebody shows that it is none: {'; '.join(found)}")
    return case.waived("leak", row)


def long_embargo(case: Case, bars: PromotionConfig) -> BarResult:
    """How much of the IC needs training rows near the test."""
    name, limit, ic = "long embargo", bars.max_long_embargo_loss, case.evidence.get("ic")
    distant, mean = number(get(ic, "long_embargo"), "mean"), number(ic, "mean")
    needed, used = number(get(ic, "embargoes"), "needed"), number(get(ic, "embargoes"), "long")
    if mean is None or needed is None or used is None:
        return BarResult(name, None, limit, False, "no evidence: train again with this version")
    if distant is not None and used >= needed:
        lost = 1.0 - distant / mean if mean > 0 else 1.0
        return at_most(name, lost, limit, "share of the IC that vanishes")
    if get(ic, "embargoes", "is_possible") is not False:
        why = f"not measured, and the history suffices: set cpcv.long_embargo_sessions to {needed:.0f} and train again"
        return BarResult(name, None, limit, False, why)
    row = BarResult(name, None, limit, False, f"not measured: the history is too short for an embargo of {needed:.0f} sessions")
    return row if bars.require_long_embargo else case.waived(name, row)
