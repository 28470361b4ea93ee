"""Performance figures of a series of session returns. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from execution.yardstick import levels
from signals.errors import TooLittleHistory
from signals.indicators.regimes import Regime, regimes
from signals.market.bars import Floats
from trainer.validation.deciles import SESSIONS_PER_YEAR
from trainer.validation.ic import NORMAL_975, block_mean
from trainer.validation.significance.dsr import sharpe_moments


@dataclass(frozen=True)
class Worth:
    """Figures of a series of net session returns; fractions, `sharpe` per session, the others annual.

    Attributes
    ----------
    sessions : int
        T.
    annual_return : float
        -1 of a book that was ruined.
    annual_sharpe, sharpe, skewness, kurtosis : float
        None where returns do not vary, and of a book that was ruined: what it earned before does not offset that.
    max_drawdown : float
        1 or more of a book that was ruined.
    is_ruined : bool
        Whether nothing, or less, was left after a session.
    """

    sessions: int
    total_return: float
    annual_return: float
    annual_volatility: float
    annual_sharpe: float | None
    sharpe: float | None
    skewness: float | None
    kurtosis: float | None
    max_drawdown: float
    is_ruined: bool = False


def worth(net: Floats) -> Worth:
    """Figures of net session returns, shape (T,), no NaN.

    Raises
    ------
    TooLittleHistory
        Fewer than two sessions.
    """
    if len(net) < 2:
        raise TooLittleHistory(f"{len(net)} sessions of returns", fix="Backtest a longer range")
    is_over, total = is_ruined(net), float(levels(net)[-1]) - 1.0
    annual = -1.0 if is_over else (1.0 + total) ** (SESSIONS_PER_YEAR / len(net)) - 1.0
    deviation = float(net.std(ddof=1))
    moments = sharpe_moments(net) if deviation > 0.0 and not is_over else None
    scale = float(np.sqrt(SESSIONS_PER_YEAR))
    return Worth(
        sessions=len(net),
        total_return=total,
        annual_return=annual,
        annual_volatility=deviation * scale,
        annual_sharpe=moments.sharpe * scale if moments else None,
        sharpe=moments.sharpe if moments else None,
        skewness=moments.skewness if moments else None,
        kurtosis=moments.kurtosis if moments else None,
        max_drawdown=float(drawdown(net).max()),
        is_ruined=is_over,
    )


def is_ruined(net: Floats) -> bool:
    """Whether these returns leave nothing, or less, after one of the sessions."""
    return bool((1.0 + net <= 0.0).any())


@dataclass(frozen=True)
class BenchmarkComparison:
    """Net returns next to those of a benchmark.

    Attributes
    ----------
    beta : float or None
        cov(net, index) / var(index); None of a benchmark that does not vary.
    tracking_difference : float
        Annual net return less the benchmark's.
    tracking_error : float
        Annual standard deviation of the sessions' differences.
    """

    beta: float | None
    correlation: float | None
    tracking_difference: float
    tracking_error: float


def against_benchmark(net: Floats, index: Floats) -> BenchmarkComparison:
    """Compare returns of the same sessions, both of shape (T,), no NaN, two sessions at least."""
    covariance = np.cov(net, index, ddof=1)
    varies = bool(covariance[1, 1] > 0.0)
    both = varies and bool(covariance[0, 0] > 0.0)
    return BenchmarkComparison(
        beta=float(covariance[0, 1] / covariance[1, 1]) if varies else None,
        correlation=float(np.corrcoef(net, index)[0, 1]) if both else None,
        tracking_difference=worth(net).annual_return - worth(index).annual_return,
        tracking_error=float((net - index).std(ddof=1) * np.sqrt(SESSIONS_PER_YEAR)),
    )


def drawdown(net: Floats) -> Floats:
    """Fall below the highest value so far, start included; fraction, shape (T,), not negative."""
    level = np.concatenate([[1.0], levels(net)])
    fall: Floats = (1.0 - level / np.maximum.accumulate(level))[1:]
    return fall


def annual_sharpe(net: Floats) -> float:
    """Annualised Sharpe ratio, ddof 1; 0 for returns that do not vary: a book that never moved earns no credit."""
    deviation = float(net.std(ddof=1)) if len(net) > 1 else 0.0
    return float(net.mean() / deviation * np.sqrt(SESSIONS_PER_YEAR)) if deviation > 0.0 else 0.0


def sharpe_interval(net: Floats) -> tuple[float, float]:
    """Ends of the annualised Sharpe ratio's 95 % interval; a book that never moved has the interval 0 to 0.

    Its variance is 252 (SE / sd)^2 + S^2 / (2 T), SE the block bootstrap's error of the mean: for independent returns
    that of Lo 2002, "The statistics of Sharpe ratios".
    """
    mean, sharpe = block_mean(net), annual_sharpe(net)
    if not mean.standard_error > 0.0:
        return sharpe, sharpe
    of_mean = SESSIONS_PER_YEAR * (mean.standard_error / float(net.std(ddof=1))) ** 2
    half = NORMAL_975 * float(np.sqrt(of_mean + sharpe**2 / (2 * len(net))))
    return sharpe - half, sharpe + half


def regimes_before(index: Floats) -> NDArray[np.str_]:
    """Regime of every session as it was known at the close before it (`signals.indicators.regimes`).

    Parameters
    ----------
    index : float64, shape (T,)
        Returns of the market; NaN counts as none.

    Returns
    -------
    str, shape (T,)
        Values of `Regime`; the first session's is UNKNOWN.
    """
    known = regimes(index)
    found = np.full(len(known), Regime.UNKNOWN.value, dtype=known.dtype)
    found[1:] = known[:-1]
    return found
