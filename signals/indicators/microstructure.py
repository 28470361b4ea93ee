"""Microstructure indicators: spread, impact and order flow, from bars, and from quotes where there are any."""

import numpy as np

from signals.indicators.columns import IndicatorBars
from signals.indicators.recurrence import shifted
from signals.indicators.widths import Widths, together
from signals.market.bars import Floats
from signals.minutes.bars import QUOTES


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


def _quotes(bars: IndicatorBars) -> list[Floats]:
    """Bid, ask, bid size and ask size; missing where there are none, or where they cross."""

    def make(bars: IndicatorBars) -> list[Floats]:
        nothing = bars.nothing
        bid, ask, bid_size, ask_size = (bars.quotes.get(name, nothing) for name in QUOTES)
        crossed = ~(ask >= bid)
        return [np.where(crossed, np.nan, bid), np.where(crossed, np.nan, ask), bid_size, ask_size]

    return bars.kept("quotes", make)


def quoted_spread(bars: IndicatorBars, _: int) -> Floats:
    """Ask less bid over their middle; missing where they cross."""
    bid, ask, *_sizes = _quotes(bars)
    return 2.0 * (ask - bid) / (ask + bid)


def book_imbalance(bars: IndicatorBars, _: int) -> Floats:
    """Bid size less ask size over their sum."""
    bid, _ask, bid_size, ask_size = _quotes(bars)
    return (bid_size - ask_size) / (bid_size + ask_size) + 0.0 * bid


def order_flow(bars: IndicatorBars, n: int) -> Floats:
    """Order flow imbalance of n bars over their mean size at both sides (Cont, Kukanov and Stoikov 2014, eq. 4)."""
    windows = bars.kept(f"order_flow_{n}", lambda whole: whole.windows(_flow(whole), (n,)))
    return windows.mean("flow", n) / windows.mean("size", n)


def _flow(bars: IndicatorBars) -> dict[str, Floats]:
    bid, ask, bid_size, ask_size = _quotes(bars)
    bid_before, ask_before = shifted(bid, 1), shifted(ask, 1)
    known = np.isfinite(bid) & np.isfinite(bid_before)
    joined = np.where(bid >= bid_before, bid_size, 0.0) - np.where(bid <= bid_before, shifted(bid_size, 1), 0.0)
    offered = np.where(ask <= ask_before, ask_size, 0.0) - np.where(ask >= ask_before, shifted(ask_size, 1), 0.0)
    return {"flow": np.where(known, joined - offered, np.nan), "size": bid_size + ask_size}


def microprice_gap(bars: IndicatorBars, _: int) -> Floats:
    """Price weighted by the opposite sizes against the middle (Stoikov 2018)."""
    return book_imbalance(bars, 0) * quoted_spread(bars, 0) / 2.0


def first_bar(bars: IndicatorBars, _: int) -> Floats:
    """1 on the session's first bar, with the opening auction."""
    return np.where(bars.row == bars.warm_up, 1.0, 0.0) + 0.0 * bars.close


def last_bar(bars: IndicatorBars, _: int) -> Floats:
    """1 on the session's last bar, with the closing auction."""
    return np.where(bars.left == 0, 1.0, 0.0) + 0.0 * bars.close
