"""Trend indicators: strength and direction, and the close relative to its moving averages and fitted lines; 0 is on the average."""

import numpy as np

from signals.indicators.columns import IndicatorBars, of_all_rows
from signals.indicators.recurrence import filtered, lagged, recurrence, shifted
from signals.indicators.stacked import Stacked, Widths, mapped, size_of, together
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
    """Close against the middle of the highest high and the lowest low of n bars (9, 26: Ichimoku's, not moved)."""
    high, low = bars.middle(n)
    return bars.close / ((high + low) / 2.0) - 1.0


def middle_cross(bars: IndicatorBars, n: int) -> Floats:
    """Tenkan (9) against kijun (26)."""
    (fast_high, fast_low), (high, low) = bars.middle(9), bars.middle(n)
    return (fast_high + fast_low) / (high + low) - 1.0


@together
def sma_gap(bars: IndicatorBars, n: Widths) -> Floats:
    """Close against the mean of n closes."""
    return bars.close / bars.closes.mean("close", n) - 1.0


@together
def ema_gap(bars: IndicatorBars, n: Widths) -> Floats:
    """Close against the exponential average of n."""
    return bars.close / bars.average("ema", n) - 1.0


@together
def ema_cross(bars: IndicatorBars, n: Widths) -> Floats:
    """Fast against slow exponential average: 5 against 20, 20 against 50, 50 against 200."""
    return bars.average("ema", mapped({20: 5, 50: 20, 200: 50}, n)) / bars.average("ema", n) - 1.0


def weighted(bars: IndicatorBars, n: int) -> Floats:
    """Average of n closes, the newest weighted n, the oldest 1: mean + covariance with the row / mean weight."""
    mean, _, _, _, covariance = bars.lines.joint("close", n)
    return mean + covariance / ((n + 1.0) / 2.0)


def wma_gap(bars: IndicatorBars, n: int) -> Floats:
    """Close against the linearly weighted average."""
    return bars.close / weighted(bars, n) - 1.0


def dema_gap(bars: IndicatorBars, n: int) -> Floats:
    """Close against the double exponential average 2 e1 - e2 (Mulloy 1994)."""
    return bars.close / (2.0 * bars.averages[f"ema_{n}"] - bars.second[f"ema_{n}"]) - 1.0


def tema_gap(bars: IndicatorBars, n: int) -> Floats:
    """Close against the triple exponential average 3 e1 - 3 e2 + e3 (Mulloy 1994)."""
    average = 3.0 * bars.averages[f"ema_{n}"] - 3.0 * bars.second[f"ema_{n}"] + bars.third[f"ema_{n}"]
    return bars.close / average - 1.0


def trima_gap(bars: IndicatorBars, n: int) -> Floats:
    """Close against the triangular average: the mean of n / 2 + 1 means of n / 2 closes (n even)."""
    inner = bars.kept(f"triangular_{n}", lambda whole: whole.windows({"mean": whole.closes.mean("close", n // 2)}, (n // 2 + 1,)))
    return bars.close / inner.mean("mean", n // 2 + 1) - 1.0


@of_all_rows
def kama_gap(bars: IndicatorBars, n: int) -> Floats:
    """Close against Kaufman's adaptive average: n bars' efficiency moves it between lengths of 2 and 30 (Kaufman 1995)."""
    net = bars.close - shifted(bars.close, n)
    path = Stacked({"path": np.abs(bars.change)}).mean("path", n) * n
    efficiency = np.where((path <= net) | (path == 0.0), 1.0 + 0.0 * net, np.abs(net / path))
    constant = (efficiency * (2.0 / 3.0 - 2.0 / 31.0) + 2.0 / 31.0) ** 2
    known = np.isfinite(constant) & np.isfinite(bars.close)
    started = np.add.accumulate(known, axis=0)
    # it begins at the close before the first efficiency that is known
    inputs = np.where(known, constant * bars.close, 0.0)
    inputs += np.where(known & (started == 1), (1.0 - constant) * np.where(np.isfinite(bars.before), bars.before, bars.close), 0.0)
    average = recurrence(np.where(known, 1.0 - constant, 1.0), inputs)
    return bars.close / np.where(known, average, np.nan) - 1.0


def hull_gap(bars: IndicatorBars, n: int) -> Floats:
    """Close against Hull's average: the weighted average over sqrt n of 2 WMA(n / 2) - WMA(n) (Hull 2005)."""
    inner = 2.0 * weighted(bars, n // 2) - weighted(bars, n)
    root = round(n**0.5)
    total = root * (root + 1) / 2.0
    return bars.close / (filtered(inner, [(root - lag) / total for lag in range(root)]) + 0.0 * shifted(inner, root - 1)) - 1.0


def zero_lag_gap(bars: IndicatorBars, _: int) -> Floats:
    """Close against the exponential average of 20 of 2 close(t) - close(t - 9) (Ehlers and Way 2010)."""
    return bars.close / bars.averages["zero_lag"] - 1.0


@together
def line_slope(bars: IndicatorBars, n: Widths) -> Floats:
    """Rise over n bars of the line fitted to n closes, relative to the close."""
    _, _, _, rows, covariance = bars.lines.joint("close", n)
    return covariance / rows * size_of(n) / bars.close


@together
def line_residual(bars: IndicatorBars, n: Widths) -> Floats:
    """Close less the end of the line fitted to n closes, relative to the close."""
    mean, _, middle, rows, covariance = bars.lines.joint("close", n)
    return (bars.close - mean - covariance / rows * (bars.row - middle)) / bars.close
