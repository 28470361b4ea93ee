"""The bar on what a device recorded of a challenger."""

from __future__ import annotations

from trainer.promotion.case import Case, Row, get, number
from trainer.promotion.config import PromotionConfig


def shadow(case: Case, bars: PromotionConfig) -> Row:
    """What a device recorded, for a challenger of a champion."""
    limit = f"{bars.shadow_sessions} sessions, IC inside its {bars.shadow_band:.0%} band, no fault"
    if case.champion is None:
        return Row("shadow", None, limit, True, "does not apply to a first champion")
    if case.shadow is None:
        return Row("shadow", None, limit, False, "no evidence: run `trainer shadow --recorded FILE` first")
    if not case.shadow.get("recorded"):
        why = "no device recorded it: `appliance shadow --to FILE` there, `trainer shadow --recorded FILE` here"
        return Row("shadow", None, limit, False, why)
    if get(case.shadow, "recorded", "is_rehearsal") is not False:
        return Row(
            "shadow", None, limit, False, "recorded in a rehearsal: the device made its own time, as a replay does"
        )
    count, faults = number(case.shadow, "sessions"), number(case.shadow, "faults")
    ic, low, high = (number(case.shadow, name) for name in ("ic", "band_low", "band_high"))
    if count is None or faults is None or ic is None or low is None or high is None:
        return Row("shadow", None, limit, False, "no evidence")
    if number(case.shadow, "band") != bars.shadow_band:
        return Row("shadow", None, limit, False, "measured with another band: run `trainer shadow` again")
    told = f"{count:.0f} sessions, {faults:.0f} faults, IC {ic:+.4f} in {low:+.4f} to {high:+.4f}"
    return Row("shadow", told, limit, count >= bars.shadow_sessions and faults == 0 and low <= ic <= high, told)
