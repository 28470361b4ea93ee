r"""Error rates of a bar in closed form, for nearly normal figures.

SE(annual Sharpe ratio S over n sessions) = sqrt[(252 + S^2 / 2) / n]                    (Lo 2002, returns iid)
sessions that see an effect e of a mean with session deviation s = [(z_{1-level} + z_power) s / e]^2
limit of what was seen m - 1 times before = Phi^-1[Phi(z)^(1/m)]                         (Sidak 1967)
"""

import numpy as np
from scipy.special import ndtr, ndtri

from signals.market.bars import Floats

SESSIONS_PER_YEAR = 252
LEVEL, POWER = 0.05, 0.80
SKILL = 1.0  # annual net Sharpe ratio that a wrong refusal is computed for


def sharpe_error(annual_sharpe: float, sessions: int) -> float:
    """Standard error of an annual Sharpe ratio of `sessions` sessions."""
    return float(np.sqrt((SESSIONS_PER_YEAR + annual_sharpe**2 / 2.0) / sessions))


def shared_limit(limit: float, before: int) -> float:
    """Limit, in standard errors, at which `before` + 1 without skill pass together as often as one alone passes `limit`."""
    return float(ndtri(float(ndtr(limit)) ** (1.0 / (before + 1))))


def chance_above(limit: float, true: float, error: float) -> float:
    """Probability that an estimate of `true` with this standard error exceeds `limit`."""
    return float(ndtr((true - limit) / error))


def sessions_needed(effect: float, deviation: float, *, level: float = LEVEL, power: float = POWER) -> float:
    """Sessions after which a mean that is off by `effect` is seen, one-sided; infinite for no effect.

    Parameters
    ----------
    deviation : float
        Standard deviation of a session's figure, long-run: dependence between sessions included.
    """
    if effect <= 0.0:
        return float("inf")
    return float(((ndtri(1.0 - level) + ndtri(power)) * deviation / effect) ** 2)


def mean_seen(values: Floats, unit: str) -> str:
    """How often a mean as large as that of `values`, float64 (T,), is seen to differ from nothing, in words; NaN counts for nothing."""
    known = values[np.isfinite(values)]
    mean, deviation, n = float(known.mean()), float(known.std(ddof=1)), len(known)
    error = deviation / float(np.sqrt(n))
    seen = chance_above(float(ndtri(1.0 - LEVEL)) * error, abs(mean), error) if error > 0.0 else 0.0
    return (
        f"The mean of {n} is {mean:+.2f} {unit} with a deviation of {deviation:.2f}, from {known.min():+.1f} to {known.max():+.1f}: were "
        f"it the truth, {n} sessions would show it in {seen:.0%} of histories, and {sessions_needed(abs(mean), deviation):,.0f} sessions "
        f"in {POWER:.0%}"
    )


def deflated_rates(sharpe: float, deflated: float, least: float, sessions: int) -> str:
    """How often a true annual Sharpe ratio clears a deflated ratio of `least`, in words; empty where it is not known.

    The luck that the trials are charged with is what `deflated`, that of the ratio `sharpe`, takes for granted.
    """
    error = sharpe_error(sharpe, sessions)
    luck = sharpe - float(ndtri(deflated)) * error
    limit = luck + float(ndtri(least)) * error
    if not np.isfinite(limit):
        return ""
    seen = ", ".join(f"{true:.1f} with {chance_above(limit, true, error):.0%}" for true in (0.0, SKILL, 2.0 * SKILL))
    return f"the trials ask for {limit:.2f} a year over {sessions} sessions: a true Sharpe ratio passes of {seen}"


def rates(limit: float, sessions: int) -> str:
    """Both error rates of "annual Sharpe ratio above `limit`" over `sessions` sessions, in words."""
    passes = chance_above(limit, 0.0, sharpe_error(0.0, sessions))
    refuses = 1.0 - chance_above(limit, SKILL, sharpe_error(SKILL, sessions))
    return (
        f"over {sessions} sessions the standard error is {sharpe_error(0.0, sessions):.2f}: a true Sharpe ratio of 0 "
        f"passes with {passes:.0%}, one of {SKILL:.1f} is refused with {refuses:.0%}"
    )
