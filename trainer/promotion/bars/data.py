"""Bars on the training data: bars fixed first, leaks, embargo."""

from signals.scoring.evidence import Mean
from trainer.promotion.bars.case import Case
from trainer.promotion.bars.config import PromotionConfig
from trainer.runs.bar_results import BarResult, at_most, finite

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
