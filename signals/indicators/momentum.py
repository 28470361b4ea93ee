"""Momentum indicators and oscillators. Oscillators that other programs print from 0 to 100 are shares from 0 to 1 here."""

from collections.abc import Callable

import numpy as np

from signals.indicators.columns import IndicatorBars, of_all_rows
from signals.indicators.recurrence import filtered, lagged, recurrence, shifted
from signals.indicators.stacked import Stacked, Widths, together
from signals.market.bars import Floats


@together
def log_return(bars: IndicatorBars, n: Widths) -> Floats:
    """Log return over n bars."""
    if isinstance(n, int):
        return bars.kept(f"return_{n}", lambda whole: whole.log_close - shifted(whole.log_close, n))
    return bars.kept(f"return_{n}", lambda whole: whole.log_close - lagged(whole.log_close, n))


@together
def rsi(bars: IndicatorBars, n: Widths) -> Floats:
    """Relative strength: average rise over average rise and fall (Wilder 1978)."""
    return bars.relative_strength(n)


def cmo(bars: IndicatorBars, n: int) -> Floats:
    """Chande's momentum on Wilder's averages: (rise - fall) / (rise + fall), -1 to 1."""
    return 2.0 * bars.relative_strength(n) - 1.0


def macd_line(bars: IndicatorBars, _: int) -> Floats:
    """Exponential average of 12 less that of 26, relative to the close."""
    return (bars.averages["macd_fast"] - bars.averages["ema_26"] + 0.0 * bars.second["macd"]) / bars.close


def macd_signal(bars: IndicatorBars, _: int) -> Floats:
    """Exponential average of 9 of the MACD line, relative to the close."""
    return bars.second["macd"] / bars.close


def macd_histogram(bars: IndicatorBars, _: int) -> Floats:
    """MACD line less its signal, relative to the close."""
    return (bars.averages["macd_fast"] - bars.averages["ema_26"] - bars.second["macd"]) / bars.close


def apo(bars: IndicatorBars, n: int) -> Floats:
    """Mean of 12 closes less the mean of 26, relative to the close."""
    return (bars.closes.mean("close", 12) - bars.closes.mean("close", n)) / bars.close


def stochastic(slow: int, smoothing: int) -> Callable[[IndicatorBars, int], Floats]:
    """Close in the range of n bars: `smoothing` 1 is %K averaged over `slow` bars, 2 is %D, its mean over `slow` again."""

    def formula(bars: IndicatorBars, n: int) -> Floats:
        high, low = bars.middle(n)
        share = (bars.close - low) / (high - low)
        for _ in range(smoothing):
            share = _mean_of_few(share, slow)
        return share

    formula.__doc__ = f"Close in the range of n bars, 0 at the low: {'%K' if smoothing == 1 else '%D'} smoothed over {slow} (Lane)."
    return formula


def stochastic_rsi(smoothing: int) -> Callable[[IndicatorBars, int], Floats]:
    """Relative strength of n in its own range of n bars, averaged over `smoothing` bars."""

    def formula(bars: IndicatorBars, n: int) -> Floats:
        strength = bars.relative_strength(n)
        windows = _strengths(bars, n)
        low = -windows.highest("-low", n)
        return _mean_of_few((strength - low) / (windows.highest("high", n) - low), smoothing)

    formula.__doc__ = f"Relative strength in its own range of n bars, mean of {smoothing} (Chande and Kroll 1994)."
    return formula


@of_all_rows
def _strengths(bars: IndicatorBars, n: int) -> Stacked:
    series = bars.relative_strength(n)
    return bars.windows({"high": series, "-low": -series}, (n,))


def _mean_of_few(x: Floats, n: int) -> Floats:
    """Mean of n values, all of them there."""
    return filtered(x, [1.0 / n] * n) + 0.0 * shifted(x, n - 1) if n > 1 else x


@together
def williams_r(bars: IndicatorBars, n: Widths) -> Floats:
    """Highest high less close over the range of n bars, negated: -1 at the low, 0 at the high."""
    high, low = bars.middle(n)
    return (bars.close - high) / (high - low)


def cci(bars: IndicatorBars, n: int) -> Floats:
    """Typical price's distance from its mean in units of 0.015 mean absolute deviations, / 100 (Lambert 1980)."""
    mean = bars.prices.mean("typical", n)
    apart = np.abs(_lags(bars.typical, n) - mean)
    there = apart == apart
    total = np.add.accumulate(np.where(there, apart, 0.0), axis=0)[-1]  # in order, whatever the shape
    return np.asarray((bars.typical - mean) / (1.5 * total / np.add.reduce(there, axis=0, dtype=np.float64)))


def mfi(bars: IndicatorBars, n: int) -> Floats:
    """Money flow of rising typical prices over that of rising and falling ones."""
    bought, sold = bars.ranges.mean("bought", n), bars.ranges.mean("sold", n)
    return bought / (bought + sold)


def ultimate(bars: IndicatorBars, _: int) -> Floats:
    """Buying pressure over true range of 7, 14 and 28 bars, weighted 4, 2, 1 (Williams 1985)."""
    seven, fourteen, twenty_eight = (bars.ranges.mean("pressure", n) / bars.ranges.mean("true", n) for n in (7, 14, 28))
    return (4.0 * seven + 2.0 * fourteen + twenty_eight) / 7.0


def trix(bars: IndicatorBars, n: int) -> Floats:
    """One bar's growth of the triple exponential average."""
    return bars.third[f"ema_{n}"] / shifted(bars.third[f"ema_{n}"], 1) - 1.0


def balance_of_power(bars: IndicatorBars, _: int) -> Floats:
    """Close less open over the bar's range."""
    return (bars.close - bars.open) / bars.spread


def _age(x: Floats, highest: Floats, n: int) -> Floats:
    """Bars since the window's highest value, the newest of equal ones; NaN where none is known."""
    found = _lags(x, n + 1) == highest
    return np.asarray(np.where(found.any(axis=0), found.argmax(axis=0), np.nan))


def _lags(x: Floats, n: int) -> Floats:
    """`x` as it is and as it stood 1 to n - 1 rows earlier, shape (n, T, C)."""
    padded = np.concatenate([np.full((n - 1, x.shape[1]), np.nan), x])
    back: Floats = padded[np.arange(n - 1, -1, -1)[:, None] + np.arange(len(x))]
    return back


def aroon_up(bars: IndicatorBars, n: int) -> Floats:
    """1 where the highest high of n + 1 bars is this one, 0 where it is n bars old (Chande 1995)."""
    return 1.0 - _age(bars.high, bars.extremes.highest("high", n + 1), n) / n


def aroon_down(bars: IndicatorBars, n: int) -> Floats:
    """1 where the lowest low of n + 1 bars is this one, 0 where it is n bars old."""
    return 1.0 - _age(-bars.low, bars.extremes.highest("-low", n + 1), n) / n


def aroon_difference(bars: IndicatorBars, n: int) -> Floats:
    """Aroon up less Aroon down."""
    return aroon_up(bars, n) - aroon_down(bars, n)


@of_all_rows
def _growths(bars: IndicatorBars, _: int) -> Stacked:
    growth = {n: bars.close / shifted(bars.close, n) - 1.0 for n in (10, 15, 20, 30)}
    return bars.windows({"short": growth[10] + 2.0 * growth[15] + 3.0 * growth[20], "long": 4.0 * growth[30]}, (10, 15))


def know_sure_thing(bars: IndicatorBars, n: int) -> Floats:
    """Growth over 10, 15, 20, 30 bars, smoothed over 10, 10, 10, 15 and weighted 1, 2, 3, 4 (Pring 1992)."""
    windows = _growths(bars, n)
    return windows.mean("short", 10) + windows.mean("long", 15)


@of_all_rows
def fisher(bars: IndicatorBars, n: int) -> Floats:
    """Fisher transform of the median price's place in its range, smoothed by 0.67 and 0.5 (Ehlers 2002)."""
    windows = Stacked({"high": bars.median, "-low": -bars.median})
    low = -windows.highest("-low", n)
    place = (bars.median - low) / (windows.highest("high", n) - low) - 0.5
    known = np.isfinite(place)
    value = np.clip(recurrence(np.full((1, 1), 0.67), np.where(known, 0.66 * place, 0.0)), -0.999, 0.999)
    inputs = np.where(known, 0.5 * np.log((1.0 + value) / (1.0 - value)), 0.0)
    smooth = recurrence(np.full((1, 1), 0.5), inputs)
    return np.where(known, smooth, np.nan)


def awesome(bars: IndicatorBars, n: int) -> Floats:
    """Mean of 5 median prices less the mean of 34, relative to the close (Williams)."""
    return (bars.prices.mean("median", 5) - bars.prices.mean("median", n)) / bars.close


@of_all_rows
def streak(bars: IndicatorBars, _: int) -> Floats:
    """Closes in a row that rose (positive) or fell (negative); 0 after an unchanged one."""
    sign = np.sign(bars.change)
    begins = ~(sign == shifted(sign, 1))
    start = np.maximum.accumulate(np.where(begins, bars.row, 0.0), axis=0)
    return sign * (bars.row - start + 1.0)
