"""Trend indicators: strength and direction."""

import numpy as np

from signals.indicators.columns import IndicatorBars
from signals.indicators.recurrence import lagged, shifted
from signals.indicators.widths import Widths, size_of, together
from signals.market.bars import Floats


def plus_di(bars: IndicatorBars, n: int) -> Floats:
    """Upward directional movement over true range, Wilder's sums (Wilder 1978)."""
    return bars.directional(n)[0]


def minus_di(bars: IndicatorBars, n: int) -> Floats:
    """Downward directional movement over true range."""
    return bars.directional(n)[1]


def dx(bars: IndicatorBars, n: int) -> Floats:
    """Distance of +DI and -DI over their sum."""
    return bars.directional(n)[2]


def adx(bars: IndicatorBars, n: int) -> Floats:
    """Wilder's average of DX."""
    return bars.second[f"adx_{n}"]


def adxr(bars: IndicatorBars, n: int) -> Floats:
    """Mean of ADX and the ADX of n - 1 bars before."""
    return (adx(bars, n) + shifted(adx(bars, n), n - 1)) / 2.0


def vortex_up(bars: IndicatorBars, n: int) -> Floats:
    """Sum of |high - low before| over that of true ranges (Botes and Siepman 2010)."""
    return bars.ranges.mean("up", n) / bars.ranges.mean("true", n)


def vortex_down(bars: IndicatorBars, n: int) -> Floats:
    """Sum of |low - high before| over that of true ranges."""
    return bars.ranges.mean("down", n) / bars.ranges.mean("true", n)


def mass(bars: IndicatorBars, n: int) -> Floats:
    """Mean of the range's exponential average of 9 over the average of that average (Dorsey 1992)."""
    ratio = bars.kept(f"mass_{n}", lambda whole: whole.windows({"ratio": whole.averages["spread_9"] / whole.second["spread_9"]}, (n,)))
    return ratio.mean("ratio", n)


@together
def efficiency(bars: IndicatorBars, n: Widths) -> Floats:
    """Change over n bars over the length of the path, -1 to 1 (Kaufman)."""
    if isinstance(n, int):
        net = bars.kept(f"change_{n}", lambda whole: whole.close - shifted(whole.close, n))
    else:
        net = bars.kept(f"change_{n}", lambda whole: whole.close - lagged(whole.close, n))
    return net / (bars.flows.mean("path", n) * size_of(n))


@together
def choppiness(bars: IndicatorBars, n: Widths) -> Floats:
    """ln(sum of true ranges / range of n bars) / ln n: 1 sideways, 0 in one direction (Dreiss)."""
    high, low = bars.middle(n)
    return np.asarray(np.log(bars.ranges.mean("true", n) * size_of(n) / (high - low)) / np.log(size_of(n)))


def chandelier_long(bars: IndicatorBars, n: int) -> Floats:
    """Close above a long position's trailing stop, highest high of n less 3 ATR10, relative to the close (LeBeau)."""
    return (bars.close - bars.middle(n)[0] + 3.0 * bars.averages["atr_10"]) / bars.close


def chandelier_short(bars: IndicatorBars, n: int) -> Floats:
    """Close above a short position's trailing stop, lowest low of n and 3 ATR10, relative to the close."""
    return (bars.close - bars.middle(n)[1] - 3.0 * bars.averages["atr_10"]) / bars.close


def middle_gap(bars: IndicatorBars, n: int) -> Floats:
    """Close against the middle of n bars' range: Ichimoku's tenkan (9) and kijun (26), not moved forward."""
    high, low = bars.middle(n)
    return bars.close / ((high + low) / 2.0) - 1.0


def middle_cross(bars: IndicatorBars, n: int) -> Floats:
    """Tenkan (9) against kijun (26)."""
    (fast_high, fast_low), (high, low) = bars.middle(9), bars.middle(n)
    return (fast_high + fast_low) / (high + low) - 1.0
