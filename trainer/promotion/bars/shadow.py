"""The operational bar on a challenger's shadow record.

Same names, same scores, no fault, turnover and costs as promised: that is what sixty sessions can show. Their mean IC
refuses a catastrophe alone, and the row says how seldom it would see a dead or a flipped model.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from trainer.promotion.bars.case import BarResult, Case, get, number
from trainer.promotion.bars.config import PromotionConfig
from trainer.validation.significance.power import rates, sessions_needed


def shadow(case: Case, bars: PromotionConfig) -> BarResult:
    """What a device recorded, for a challenger of a champion."""
    limit = f"{bars.shadow_sessions} sessions without a fault, traded as promised, IC not below its band"
    why = _missing(case, bars)
    if case.champion is None:
        return BarResult("shadow", None, limit, True, "does not apply to a first champion")
    if why:
        return BarResult("shadow", None, limit, False, why)
    count, faults, ic, low = (number(case.shadow, name) or 0.0 for name in ("sessions", "faults", "ic", "band_low"))
    told = f"{count:.0f} sessions, {faults:.0f} faults, IC {ic:+.4f} where {low:+.4f} is the least"
    is_loss = bars.shadow_profit and not (number(get(case.shadow, "profit"), "net_return") or 0.0) >= 0.0
    broken = [
        *([f"fewer than {bars.shadow_sessions} sessions"] * (count < bars.shadow_sessions)),
        *(["faults"] * (faults > 0)),
        *(["its IC is a catastrophe"] * (ic < low)),
        *_promises(case, bars),
        *(["it lost money"] * is_loss),
    ]
    return BarResult("shadow", told, limit, not broken, "; ".join([*broken, told]), _power(case, bars, int(count), low))


def _missing(case: Case, bars: PromotionConfig) -> str:
    if case.shadow is None:
        return "no evidence: run `trainer shadow --recorded FILE` first"
    if not case.shadow.get("recorded"):
        return "no device recorded it: `appliance shadow --to FILE` there, `trainer shadow --recorded FILE` here"
    if get(case.shadow, "recorded", "is_rehearsal") is not False:
        return "recorded in a rehearsal: the device made its own time, as a replay does"
    if any(number(case.shadow, name) is None for name in ("sessions", "faults", "ic", "band_low")):
        return "no evidence"
    if bars.shadow_profit and number(get(case.shadow, "profit"), "net_return") is None:
        return "no evidence of its profit"
    if number(case.shadow, "band") != bars.shadow_band:
        return "measured with another band: run `trainer shadow` again"
    return ""


def _promises(case: Case, bars: PromotionConfig) -> list[str]:
    """What the book of the shadow traded and paid beyond what the walk-forward book lets one expect."""
    book, ratio = get(case.measured, "walk_forward"), bars.shadow_ratio
    promised = number(get(book, "turnover"), "annual"), number(get(book, "costs"), "annual_total")
    found = [number(get(case.shadow, "profit"), name) for name in ("turnover_annual", "cost_annual")]
    if promised[0] is None or promised[1] is None or found[0] is None or found[1] is None:
        return ["no evidence of its turnover and costs: run `trainer shadow` again"]
    told = []
    if not promised[0] <= ratio * found[0] <= ratio**2 * promised[0]:
        told.append(f"turnover {found[0]:.1f} a year where {promised[0]:.1f} was promised")
    if not found[1] <= ratio * promised[1]:
        told.append(f"costs {found[1]:.2%} a year where {promised[1]:.2%} were promised")
    return told


def _power(case: Case, bars: PromotionConfig, count: int, low: float) -> str:
    """What so many sessions can tell, from the walk-forward IC and its long-run deviation by session."""
    ic = get(case.evidence, "walk_forward", "ic")
    mean, error, sessions = (number(ic, name) for name in ("mean", "standard_error", "sessions"))
    if mean is None or error is None or sessions is None or count < 1 or not error > 0.0:
        return "unknown: the evidence has no walk-forward IC with its error"
    deviation = error * float(np.sqrt(sessions))
    passing = [float(ndtr((true - low) / (deviation / np.sqrt(count)))) for true in (0.0, -mean, mean)]
    needed = [sessions_needed(effect, deviation) for effect in (mean, 2.0 * mean)]
    told = (
        f"no evidence of skill: the IC of {count} sessions lets a dead model pass with {passing[0]:.0%}, one of the "
        f"opposite sign with {passing[1]:.0%}, and refuses an honest one with {1.0 - passing[2]:.0%}; "
    )
    if np.isfinite(needed).all():
        told += f"80 % power takes {needed[0]:,.0f} sessions against a dead model, {needed[1]:,.0f} against a flipped one"
    else:
        told += "no number of sessions tells a promised IC of 0 or less from a dead model"
    return told + (f"; of its profit: {rates(0.0, count)}" if bars.shadow_profit else "")
