"""Volatility indicators: the size of moves, per bar where it is a volatility, dimensionless where it is a place or a shape."""

from math import log, pi

import numpy as np

from signals.indicators.columns import IndicatorBars
from signals.indicators.stacked import Widths, mapped, size_of, together
from signals.market.bars import Floats


@together
def natr(bars: IndicatorBars, n: Widths) -> Floats:
    """Wilder's average true range over the close."""
    return bars.average("atr", n) / bars.close


@together
def realised(bars: IndicatorBars, n: Widths) -> Floats:
    """Root mean square of n log returns."""
    return np.sqrt(bars.paces.mean("square", n))


@together
def realised_ratio(bars: IndicatorBars, n: Widths) -> Floats:
    """Realised volatility of 5 bars over that of 20, or of 20 over that of 120."""
    return realised(bars, mapped({20: 5, 120: 20}, n)) / realised(bars, n)


@together
def parkinson(bars: IndicatorBars, n: Widths) -> Floats:
    """Volatility from ranges, ln(h / l)^2 / (4 ln 2) (Parkinson 1980)."""
    return np.sqrt(bars.flows.mean("parkinson", n) / (4.0 * log(2.0)))


@together
def garman_klass(bars: IndicatorBars, n: Widths) -> Floats:
    """Volatility from ranges and bodies (Garman and Klass 1980, eq. 20)."""
    return np.sqrt(bars.flows.mean("garman_klass", n))


@together
def rogers_satchell(bars: IndicatorBars, n: Widths) -> Floats:
    """Volatility from open, high, low, close, whatever the drift (Rogers and Satchell 1991)."""
    return np.sqrt(bars.flows.mean("rogers_satchell", n))


@together
def yang_zhang(bars: IndicatorBars, n: Widths) -> Floats:
    """Volatility with the gaps between bars (Yang and Zhang 2000, eq. 7)."""
    size = size_of(n)
    k = 0.34 / (1.34 + (size + 1.0) / (size - 1.0))
    gap, body = (bars.levels.moments(name, n)[1] * size / (size - 1.0) for name in ("gap", "body"))
    return np.sqrt(gap + k * body + (1.0 - k) * bars.flows.mean("rogers_satchell", n))


@together
def bipower(bars: IndicatorBars, n: Widths) -> Floats:
    """Volatility without jumps: pi / 2 times the mean of |r(t) r(t - 1)| (Barndorff-Nielsen and Shephard 2004)."""
    return np.sqrt(pi / 2.0 * bars.flows.mean("bipower", n))


@together
def bollinger_z(bars: IndicatorBars, n: Widths) -> Floats:
    """Close less the mean of n closes in their standard deviations (ddof 0)."""
    mean, variance = bars.levels.moments("close", n)
    return (bars.close - mean) / np.sqrt(variance)


@together
def bollinger_width(bars: IndicatorBars, n: Widths) -> Floats:
    """Four standard deviations of n closes over their mean (Bollinger 2001)."""
    mean, variance = bars.levels.moments("close", n)
    return 4.0 * np.sqrt(variance) / mean


def keltner(bars: IndicatorBars, n: int) -> Floats:
    """Close less its exponential average in units of 2 ATR10 (Keltner, after Raschke)."""
    return (bars.close - bars.averages[f"ema_{n}"]) / (2.0 * bars.averages["atr_10"])


@together
def donchian(bars: IndicatorBars, n: Widths) -> Floats:
    """Close in the range of n bars, 0 at the low, 1 at the high."""
    high, low = bars.middle(n)
    return (bars.close - low) / (high - low)


@together
def drawdown(bars: IndicatorBars, n: Widths) -> Floats:
    """Close against the highest close of n bars."""
    return bars.close / bars.extremes.highest("close", n) - 1.0


@together
def skewness(bars: IndicatorBars, n: Widths) -> Floats:
    """Third standardised moment of n returns."""
    _, second, third, _ = bars.shape.four("returns", n)
    return third / (second * np.sqrt(second))


@together
def kurtosis(bars: IndicatorBars, n: Widths) -> Floats:
    """Fourth standardised moment of n returns, less 3."""
    _, second, _, fourth = bars.shape.four("returns", n)
    return fourth / (second * second) - 3.0


@together
def loss_share(bars: IndicatorBars, n: Widths) -> Floats:
    """Share of the squared returns that were losses."""
    return bars.flows.mean("loss", n) / bars.paces.mean("square", n)


@together
def bipower_share(bars: IndicatorBars, n: Widths) -> Floats:
    """Share of the realised variance that jumps made: 1 - bipower / realised variance."""
    return 1.0 - pi / 2.0 * bars.flows.mean("bipower", n) / bars.paces.mean("square", n)


@together
def volatility_of_range(bars: IndicatorBars, n: Widths) -> Floats:
    """Parkinson's volatility over the realised one: below 1 where closes move further than ranges say."""
    return parkinson(bars, n) / realised(bars, n)
