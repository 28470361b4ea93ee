"""The operational bar on a challenger's shadow record.

Same names, same scores, no fault, turnover and costs as promised: that is what sixty sessions can show. Their mean IC
refuses a catastrophe alone, and the row says how seldom it would see a dead or a flipped model.
"""

import numpy as np
from scipy.special import ndtr

from signals.scoring.evidence import Mean
from trainer.promotion.bars.config import Case, PromotionConfig
from trainer.promotion.measured import Profit
from trainer.runs.evidence import BarResult, finite
from trainer.validation.significance.power import rates, sessions_needed


def shadow(case: Case, bars: PromotionConfig) -> BarResult:
    """What a device recorded, for a challenger of a champion."""
    limit = f"{bars.shadow_sessions} sessions without a fault, traded as promised, IC not below its band"
    found, why = case.shadow, _missing(case, bars)
    if case.champion is None:
        return BarResult("shadow", None, limit, True, "does not apply to a first champion")
    if why or found is None:
        return BarResult("shadow", None, limit, False, why)
    count, faults, ic, low = found.sessions or 0, found.faults or 0, found.ic or 0.0, found.band_low
    words = f"{count} sessions, {faults} faults, IC {ic:+.4f} where {low:+.4f} is the least"
    is_loss = bars.shadow_profit and not (found.profit.net_return or 0.0) >= 0.0
    broken = [
        *([f"fewer than {bars.shadow_sessions} sessions"] * (count < bars.shadow_sessions)),
        *(["faults"] * (faults > 0)),
        *(["its IC is a catastrophe"] * (ic < low)),
        *_promises(case, found.profit, bars),
        *(["it lost money"] * is_loss),
    ]
    return BarResult("shadow", words, limit, not broken, "; ".join([*broken, words]), _power(case, bars, count, low))


def _missing(case: Case, bars: PromotionConfig) -> str:
    found = case.shadow
    if found is None:
        return "no evidence: run `trainer shadow --recorded FILE` first"
    if found.recorded is None:
        return "no device recorded it: `appliance shadow --to FILE` there, `trainer shadow --recorded FILE` here"
    if found.recorded.is_rehearsal is not False:
        return "recorded in a rehearsal: the device made its own time, as a replay does"
    if found.sessions is None or found.faults is None or finite(found.ic) is None or finite(found.band_low) is None:
        return "no evidence"
    if bars.shadow_profit and finite(found.profit.net_return) is None:
        return "no evidence of its profit"
    if found.band != bars.shadow_band:
        return "measured with another band: run `trainer shadow` again"
    return ""


def _promises(case: Case, profit: Profit, bars: PromotionConfig) -> list[str]:
    """What the book of the shadow traded and paid beyond what the walk-forward book lets one expect."""
    book, ratio = case.measured.walk_forward, bars.shadow_ratio
    turnover, costs = finite(profit.turnover_annual), finite(profit.cost_annual)
    promised = finite(book.turnover.annual), finite(book.costs.annual_total)
    if promised[0] is None or promised[1] is None or turnover is None or costs is None:
        return ["no evidence of its turnover and costs: run `trainer shadow` again"]
    words = []
    if not promised[0] <= ratio * turnover <= ratio**2 * promised[0]:
        words.append(f"turnover {turnover:.1f} a year where {promised[0]:.1f} was promised")
    if not costs <= ratio * promised[1]:
        words.append(f"costs {costs:.2%} a year where {promised[1]:.2%} were promised")
    return words


def _power(case: Case, bars: PromotionConfig, count: int, low: float) -> str:
    """What so many sessions can tell, from the walk-forward IC and its long-run deviation by session."""
    ic = case.evidence.walk_forward.ic if case.evidence.walk_forward else Mean()
    mean, error = ic.mean, ic.standard_error
    if finite(mean) is None or not error > 0.0 or ic.sessions < 1 or count < 1:
        return "unknown: the evidence has no walk-forward IC with its error"
    deviation = error * float(np.sqrt(ic.sessions))
    passing = [float(ndtr((true - low) / (deviation / np.sqrt(count)))) for true in (0.0, -mean, mean)]
    needed = [sessions_needed(effect, deviation) for effect in (mean, 2.0 * mean)]
    words = (
        f"no evidence of skill: the IC of {count} sessions lets a dead model pass with {passing[0]:.0%}, one of the "
        f"opposite sign with {passing[1]:.0%}, and refuses an honest one with {1.0 - passing[2]:.0%}; "
    )
    if np.isfinite(needed).all():
        words += f"80 % power takes {needed[0]:,.0f} sessions against a dead model, {needed[1]:,.0f} against a flipped one"
    else:
        words += "no number of sessions tells a promised IC of 0 or less from a dead model"
    return words + (f"; of its profit: {rates(0.0, count)}" if bars.shadow_profit else "")
