"""Indicators by moving averages: the close relative to its averages and fitted lines; 0 is on the average."""

import numpy as np

from signals.indicators.columns import IndicatorBars
from signals.indicators.recurrence import filtered, recurrence, shifted
from signals.indicators.stacked import Stacked
from signals.indicators.widths import Widths, mapped, size_of, together
from signals.market.bars import Floats


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


def kama_gap(bars: IndicatorBars, n: int) -> Floats:
    """Close against Kaufman's adaptive average: n bars' efficiency moves it between lengths of 2 and 30 (Kaufman 1995)."""
    return bars.kept(f"kama_{n}", lambda whole: _kama_gap(whole, n))


def _kama_gap(bars: IndicatorBars, n: int) -> Floats:
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


def midprice_gap(bars: IndicatorBars, n: int) -> Floats:
    """Close against the middle of the highest high and the lowest low."""
    high, low = bars.middle(n)
    return bars.close / ((high + low) / 2.0) - 1.0


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
