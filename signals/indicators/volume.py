"""Volume relative to the instrument's own, and microstructure: spread, impact and order flow, from bars and, if any, quotes."""

from functools import cache

import numpy as np

from signals.indicators.columns import IndicatorBars, of_all_rows
from signals.indicators.dependence import correlation
from signals.indicators.recurrence import filtered, lagged, shifted
from signals.indicators.stacked import Stacked, Widths, together
from signals.market.bars import Floats
from signals.minutes.bars import QUOTES

PAST_SESSIONS = 5


@cache
def _slope_weights(n: int) -> list[float]:
    """Weights by age of the steps of a running total in the slope of the line fitted to n of its values."""
    return [(age + 1.0) * (n - 1.0 - age) * 6.0 / (n * (n**2 - 1.0)) for age in range(n - 1)]


def balance_slope(bars: IndicatorBars, n: int) -> Floats:
    """Slope of the line fitted to n on-balance volumes, over the mean volume of 20 (Granville 1963).

    Of a running total the slope is a weighted sum of the volumes themselves: weight (a + 1)(n - 1 - a) / 2 at age a.
    """
    signed = bars.signed_volume
    known = 0.0 * bars.paces.mean("signed", n)
    return (filtered(np.where(np.isfinite(signed), signed, 0.0), _slope_weights(n)) + known) / bars.paces.mean("volume", 20)


@of_all_rows
def _apart(bars: IndicatorBars, _: int) -> Floats:
    seen = np.add.accumulate(np.isfinite(bars.money_flow), axis=0) >= 10
    return np.where(seen, bars.averages["flow_10"] - bars.averages["flow_3"], np.nan)


def accumulation(bars: IndicatorBars, n: int) -> Floats:
    """Accumulation line's exponential average of 3 less that of 10, over the mean volume of 20 (Chaikin)."""
    return _apart(bars, n) / bars.paces.mean("volume", 20)


@together
def money_flow(bars: IndicatorBars, n: Widths) -> Floats:
    """Volume signed by the close's place in its bar, over the volume (Chaikin)."""
    return bars.flows.mean("money_flow", n) / bars.paces.mean("volume", n)


@together
def volume_z(bars: IndicatorBars, n: Widths) -> Floats:
    """Log volume less the mean of n in their standard deviations."""
    mean, variance = bars.levels.moments("log_volume", n)
    return (bars.log_volume - mean) / np.sqrt(variance)


@together
def vwap_gap(bars: IndicatorBars, n: Widths) -> Floats:
    """Close against the volume-weighted typical price of n bars."""
    return bars.close * bars.paces.mean("volume", n) / bars.flows.mean("typical_volume", n) - 1.0


@of_all_rows
def session_vwap_gap(bars: IndicatorBars, _: int) -> Floats:
    """Close against the session's volume-weighted typical price up to the bar."""
    worth, volume = bars.typical * bars.volume, bars.volume
    known = np.isfinite(worth) & (bars.row >= bars.warm_up)
    paid = np.add.accumulate(np.where(known, worth, 0.0), axis=0)
    return np.where(known, bars.close * np.add.accumulate(np.where(known, volume, 0.0), axis=0) / paid - 1.0, np.nan)


def force(bars: IndicatorBars, _: int) -> Floats:
    """Volume-weighted mean return, both exponential averages of 13 (Elder 1993)."""
    return bars.averages["force"] / bars.averages["volume"]


def ease(bars: IndicatorBars, n: int) -> Floats:
    """Mean of the median price's growth times the relative range over the relative volume (Arms)."""
    return bars.ranges.mean("eased", n)


@together
def price_volume_correlation(bars: IndicatorBars, n: Widths) -> Floats:
    """Correlation of n returns with the changes of the log volume."""
    return correlation(bars.pairs.joint("volume", n))


def volume_ratio(bars: IndicatorBars, n: int) -> Floats:
    """Mean volume of 5 bars over that of n."""
    return bars.paces.mean("volume", 5) / bars.paces.mean("volume", n)


@together
def volume_level(bars: IndicatorBars, n: Widths) -> Floats:
    """Mean over n bars of the log volume against that of the same time of the (up to 5) sessions before.

    A session is taken to be of the usual length: after a half day the time of day is off by what was missing.
    """

    def make(bars: IndicatorBars) -> Stacked:
        past = lagged(bars.log_volume, [session * bars.full_session for session in range(1, PAST_SESSIONS + 1)])
        there = np.isfinite(past)
        usual = np.add.reduce(np.where(there, past, 0.0), axis=0) / np.add.reduce(there, axis=0, dtype=np.float64)
        return bars.windows({"level": bars.log_volume - usual}, (20, 78))

    return bars.kept("volume_level", make).mean("level", n)


@together
def signed_share(bars: IndicatorBars, n: Widths) -> Floats:
    """Volume signed by the tick rule over the volume of n bars."""
    return bars.paces.mean("signed", n) / bars.paces.mean("volume", n)


@together
def roll(bars: IndicatorBars, n: Widths) -> Floats:
    """Spread 2 sqrt(-cov(r(t), r(t - 1))), 0 where the covariance is positive (Roll 1984)."""
    return 2.0 * np.sqrt(np.maximum(-bars.pairs.joint("lag_1", n)[4], 0.0))


@together
def high_low_spread(bars: IndicatorBars, n: Widths) -> Floats:
    """Mean spread of n pairs of bars from their highs and lows (Corwin and Schultz 2012)."""
    return bars.flows.mean("spread", n)


@together
def illiquidity(bars: IndicatorBars, n: Widths) -> Floats:
    """Mean of |return| / volume, times the mean volume of n bars (Amihud 2002)."""
    return bars.flows.mean("illiquidity", n) * bars.paces.mean("volume", n)


@together
def impact(bars: IndicatorBars, n: Widths) -> Floats:
    """Slope of returns on signed volume, times the mean volume of n bars (Kyle 1985)."""
    _, _, _, variance, covariance = bars.pairs.joint("signed", n)
    return covariance / variance * bars.paces.mean("volume", n)


@together
def toxicity(bars: IndicatorBars, n: Widths) -> Floats:
    """Mean |signed volume of 5 bars| over their volume (VPIN, Easley et al. 2012, on bars)."""
    return bars.flows.mean("imbalance", n) / (5.0 * bars.paces.mean("volume", n))


def untraded(bars: IndicatorBars, n: int) -> Floats:
    """Share of the minutes of n bars without a trade."""
    return bars.flows.mean("untraded", n)


@of_all_rows
def _quotes(bars: IndicatorBars, _: int) -> list[Floats]:
    """Bid, ask, bid size and ask size; missing where there are none, or where they cross."""
    nothing = bars.nothing
    bid, ask, bid_size, ask_size = (bars.quotes.get(name, nothing) for name in QUOTES)
    crossed = ~(ask >= bid)
    return [np.where(crossed, np.nan, bid), np.where(crossed, np.nan, ask), bid_size, ask_size]


def quoted_spread(bars: IndicatorBars, _: int) -> Floats:
    """Ask less bid over their middle; missing where they cross."""
    bid, ask, *_sizes = _quotes(bars, 1)
    return 2.0 * (ask - bid) / (ask + bid)


def book_imbalance(bars: IndicatorBars, _: int) -> Floats:
    """Bid size less ask size over their sum."""
    bid, _ask, bid_size, ask_size = _quotes(bars, 1)
    return (bid_size - ask_size) / (bid_size + ask_size) + 0.0 * bid


def order_flow(bars: IndicatorBars, n: int) -> Floats:
    """Order flow imbalance of n bars over their mean size at both sides (Cont, Kukanov and Stoikov 2014, eq. 4)."""
    windows = _flow(bars, n)
    return windows.mean("flow", n) / windows.mean("size", n)


@of_all_rows
def _flow(bars: IndicatorBars, n: int) -> Stacked:
    bid, ask, bid_size, ask_size = _quotes(bars, 1)
    bid_before, ask_before = shifted(bid, 1), shifted(ask, 1)
    known = np.isfinite(bid) & np.isfinite(bid_before)
    joined = np.where(bid >= bid_before, bid_size, 0.0) - np.where(bid <= bid_before, shifted(bid_size, 1), 0.0)
    offered = np.where(ask <= ask_before, ask_size, 0.0) - np.where(ask >= ask_before, shifted(ask_size, 1), 0.0)
    return bars.windows({"flow": np.where(known, joined - offered, np.nan), "size": bid_size + ask_size}, (n,))


def microprice_gap(bars: IndicatorBars, _: int) -> Floats:
    """Price weighted by the opposite sizes against the middle (Stoikov 2018)."""
    return book_imbalance(bars, 0) * quoted_spread(bars, 0) / 2.0


def first_bar(bars: IndicatorBars, _: int) -> Floats:
    """1 on the session's first bar, with the opening auction."""
    return np.where(bars.row == bars.warm_up, 1.0, 0.0) + 0.0 * bars.close


def last_bar(bars: IndicatorBars, _: int) -> Floats:
    """1 on the session's last bar, with the closing auction."""
    return np.where(bars.left == 0, 1.0, 0.0) + 0.0 * bars.close
