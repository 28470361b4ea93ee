"""Bars on multiple testing: deflated Sharpe ratio, PBO and the max-t test over all trials.

They ask the figures that were taken of the record of trials at the judgement, not those of the run's own evidence:
whatever was tried since, by whichever route, counts.
"""

from dataclasses import replace

import numpy as np

from trainer.backtest.document import Worth
from trainer.promotion.bars.config import Case, PromotionConfig
from trainer.runs.evidence import BarResult, at_most, finite
from trainer.runs.trials import BestOfAll
from trainer.validation.deciles import SESSIONS_PER_YEAR
from trainer.validation.significance.dsr import Hurdle, SharpeMoments, deflation_benchmark, sessions_needed, strictest
from trainer.validation.significance.power import deflated_rates, rates, sharpe_error


def moments_of(case: Case, net: Worth | None = None) -> SharpeMoments | None:
    """Moments of the net walk-forward returns, or of others that are stored as `net`; None where a part is missing."""
    found = net or case.measured.walk_forward.net
    if found is None:
        return None
    sharpe, skewness, kurtosis = finite(found.sharpe), finite(found.skewness), finite(found.kurtosis)
    if sharpe is None or skewness is None or kurtosis is None:
        return None
    return SharpeMoments(sharpe, skewness, kurtosis, found.sessions)


def deflated_sharpe(case: Case, net: Worth | None = None) -> float | None:
    """DSR of the net walk-forward returns, or of others with moments `net`, over every trial, by the stricter hurdle.

    None where a part of it is missing.
    """
    moments, hurdles = moments_of(case, net), case.trials.known_hurdles
    return strictest(moments, hurdles) if moments and hurdles else None


def dsr(case: Case, bars: PromotionConfig) -> BarResult:
    """Deflated Sharpe ratio of the book over every trial; a refusal says how long a record this ratio would need."""
    value, moments, hurdles = deflated_sharpe(case), moments_of(case), case.trials.known_hurdles
    if value is None or moments is None or not np.isfinite(value):
        return BarResult("DSR", None, bars.min_dsr, False, "no evidence")
    why = f"deflated Sharpe ratio over {_tried(hurdles)}"
    annual = moments.sharpe * float(np.sqrt(SESSIONS_PER_YEAR))
    power = deflated_rates(annual, value, bars.min_dsr, moments.observations)
    if value >= bars.min_dsr:
        return BarResult("DSR", value, bars.min_dsr, True, why, power)
    reason = f"{value:.4g} is below {bars.min_dsr:.4g}, {why}; {_needed(moments, hurdles, bars.min_dsr)}"
    return BarResult("DSR", value, bars.min_dsr, False, reason, power)


def pbo(case: Case, bars: PromotionConfig) -> BarResult:
    """Probability of backtest overfitting; under ten clusters of trials that of a loss out of sample."""
    found = case.trials.pbo
    value = found.value if found else None
    if value is not None:
        return at_most("PBO", value, bars.max_pbo, "probability of backtest overfitting")
    reason = (found.reason if found else "") or "PBO does not apply"
    return at_most(
        "P(loss)",
        found.probability_of_loss if found else None,
        bars.max_probability_of_loss,
        f"out of sample; PBO is {reason}, and the best of all trials is asked for next to it",
    )


def best_of_all(case: Case, bars: PromotionConfig) -> BarResult:
    """p-value of the book's t as the largest of all trials', however these correlate."""
    found = case.trials.max_t or BestOfAll()
    t, critical = finite(found.t), finite(found.critical_t)
    beside = f", t {t:.2f} where 5 % of the largest exceed {critical:.2f}" if t is not None and critical else ""
    why = f"p-value as the best of all trials (max-t by a session bootstrap){beside}"
    row = at_most("best of all", found.p, bars.max_best_of_all_p, why)
    moments = moments_of(case)
    if row.value is None or critical is None or moments is None:
        return row
    asked = critical * sharpe_error(0.0, moments.observations)
    return replace(row, power=rates(asked, moments.observations))


def _tried(hurdles: tuple[Hurdle, ...]) -> str:
    raw, least = hurdles[0].trials, hurdles[-1].trials
    differing = f", {least} of them different" if least != raw else ""
    return f"{raw} trial{'s' * (raw != 1)}{differing}"


def _lucky(moments: SharpeMoments, hurdles: tuple[Hurdle, ...]) -> float:
    """Annual Sharpe ratio that luck alone is expected to show, by the stricter hurdle."""
    found = max(deflation_benchmark(h.trials, h.variance, moments.observations) for h in hurdles)
    return found * float(np.sqrt(SESSIONS_PER_YEAR))


def _needed(moments: SharpeMoments, hurdles: tuple[Hurdle, ...], confidence: float) -> str:
    needed = sessions_needed(moments, hurdles, confidence)
    if not np.isfinite(needed):
        lucky = _lucky(moments, hurdles)
        return f"no record of this Sharpe ratio is long enough: luck alone is expected to show {lucky:.2f} a year"
    more = max(0, int(np.ceil(needed)) - moments.observations)
    return f"this Sharpe ratio would need {more:,} more sessions ({more / SESSIONS_PER_YEAR:.1f} years)"
