"""Indicators of dependence in the returns: autocorrelation, correlation of high and low, and roughness of the path."""

from collections.abc import Callable
from math import log

import numpy as np

from signals.indicators.columns import IndicatorBars
from signals.market.bars import Floats


def correlation(parts: tuple[Floats, Floats, Floats, Floats, Floats]) -> Floats:
    """Pearson's correlation from joint moments."""
    _, vx, _, vy, cxy = parts
    return np.asarray(cxy / (np.sqrt(vx) * np.sqrt(vy)))


def autocorrelation(lag: int) -> Callable[[IndicatorBars, int], Floats]:
    """Correlation of n returns with those `lag` bars before."""

    def formula(bars: IndicatorBars, n: int) -> Floats:
        return correlation(bars.pairs.joint(f"lag_{lag}", n))

    formula.__doc__ = f"Correlation of n returns with those {lag} before."
    return formula


def variance_ratio(bars: int) -> Callable[[IndicatorBars, int], Floats]:
    """Mean square of returns over `bars` bars over `bars` times that of one: 1 for a random walk."""

    def formula(columns: IndicatorBars, n: int) -> Floats:
        return columns.flows.mean(f"square_{bars}", n) / (bars * columns.paces.mean("square", n))

    formula.__doc__ = f"Mean square of {bars}-bar returns over {bars} times that of one bar (Lo and MacKinlay 1988, mean 0)."
    return formula


def hurst(bars: IndicatorBars, n: int) -> Floats:
    """ln(range of n closes / mean range of n / 4 closes) / ln 4: 1/2 for a random walk."""

    def long(bars: IndicatorBars, width: int) -> Floats:
        return bars.extremes.highest("close", width) + bars.extremes.highest("-close", width)

    short = bars.kept(f"hurst_{n}", lambda whole: whole.windows({"range": long(whole, n // 4)}, (n,)))
    return np.asarray(np.log(long(bars, n) / short.mean("range", n)) / log(4.0))


def sign_entropy(bars: IndicatorBars, n: int) -> Floats:
    """Entropy of the signs of two returns in a row, 0 to 1."""
    shares = [bars.flows.mean(name, n) for name in ("up_up", "up_down", "down_up")]
    shares.append(1.0 - shares[0] - shares[1] - shares[2])
    total = np.zeros_like(shares[0])
    for share in shares:
        total -= share * np.log(np.maximum(share, 1e-12))
    return total / log(4.0)


def return_z(bars: IndicatorBars, n: int) -> Floats:
    """Return less the mean of n in their standard deviations."""
    mean, second, _, _ = bars.shape.four("returns", n)
    return np.asarray((bars.returns - mean) / np.sqrt(second))


def high_low_correlation(bars: IndicatorBars, n: int) -> Floats:
    """Correlation of n highs and lows."""
    return correlation(bars.sides.joint("level", n))


def high_low_beta(bars: IndicatorBars, n: int) -> Floats:
    """Slope of the lows' returns on the highs'."""
    _, variance, _, _, covariance = bars.sides.joint("return", n)
    return covariance / variance
