"""Bars on what the run learned from: bars fixed first, leaks, embargo, universe."""

from __future__ import annotations

from trainer.promotion.case import Case, Row, at_most, get, number
from trainer.promotion.config import PromotionConfig

SURVIVORS_ONLY = "survivors only"


def bars_first(case: Case, bars: PromotionConfig) -> Row:
    """Whether the training and its searches began under these very bars."""
    now, limit = bars.fingerprint(), "known before the search"
    others = [known for known in case.searched_under if known != now]
    if not case.searched_under or others:
        found = others[0][:12] if others and others[0] else None
        why = "the training or a search of it began under other bars, or none: train again under these (--bars)"
        return Row("bars", found, limit, False, why)
    return Row("bars", now[:12], limit, True, "recorded before the training and the first trial of its searches")


def leaks(case: Case, bars: PromotionConfig) -> Row:
    """The leak certificate of the cross-validation."""
    return at_most("leaks", number(case.evidence.get("leak_certificate"), "total"), 0, "training rows that leak")


def long_embargo(case: Case, bars: PromotionConfig) -> Row:
    """How much of the IC needs training rows near the test."""
    ic = case.evidence.get("ic")
    distant, mean = number(get(ic, "long_embargo"), "mean"), number(ic, "mean")
    if distant is None or mean is None:
        passed = not bars.require_long_embargo
        why = "not measured: the recipe has no long embargo" if passed else "no evidence"
        return Row("long embargo", None, bars.max_long_embargo_loss, passed, why)
    lost = 1.0 - distant / mean if mean > 0 else 1.0
    return at_most("long embargo", lost, bars.max_long_embargo_loss, "share of the IC that vanishes")


def universe(case: Case, bars: PromotionConfig) -> Row:
    """Whether names that died are in the data."""
    found = get(case.evidence, "dataset", "survivorship")
    limit = f"not {SURVIVORS_ONLY!r}"
    if not isinstance(found, str):
        return Row("universe", None, limit, False, "no evidence")
    if found != SURVIVORS_ONLY:
        return Row("universe", found, limit, True, f"the universe is {found}")
    why = f"waived: {case.waiver}" if case.waiver else "names that died are missing, which flatters every figure"
    return Row("universe", found, limit, bool(case.waiver), why)
