r"""Causal maximal-overlap wavelets of the returns (Percival and Walden 2000, ch. 5), Haar and Daubechies 2, levels 1 to 5.

    V_0 = r        V_j(t) = sum_l g_l / sqrt 2  V_{j-1}(t - 2^{j-1} l)        W_j(t) = sum_l h_l / sqrt 2  V_{j-1}(t - 2^{j-1} l)

Only the past is filtered, so the values lag by half a filter: those that do not lag look ahead.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np

from signals.indicators.columns import IndicatorBars
from signals.indicators.recurrence import filtered
from signals.indicators.stacked import Stacked
from signals.market.bars import Floats

SCALING = {
    "haar": (1.0 / sqrt(2.0), 1.0 / sqrt(2.0)),
    "db2": tuple(x / (4.0 * sqrt(2.0)) for x in (1.0 + sqrt(3.0), 3.0 + sqrt(3.0), 3.0 - sqrt(3.0), 1.0 - sqrt(3.0))),
}
LEVELS = 5


def support(wavelet: str, level: int) -> int:
    """Returns that a detail of the level reads."""
    return ((1 << level) - 1) * (len(SCALING[wavelet]) - 1) + 1


def details(returns: Floats, wavelet: str) -> list[Floats]:
    """W_1 to W_5 of `returns`, shape (T, C); a missing return counts as none, and a detail needs all it reads to have begun."""
    scaling = [g / sqrt(2.0) for g in SCALING[wavelet]]
    high = [(-1.0) ** place * g for place, g in enumerate(reversed(scaling))]
    known = np.isfinite(returns)
    seen = np.add.accumulate(known, axis=0)
    smooth, out = np.where(known, returns, 0.0), []
    for level in range(1, LEVELS + 1):
        step = 2 ** (level - 1)
        out.append(np.where(known & (seen >= support(wavelet, level)), filtered(smooth, high, step), np.nan))
        smooth = filtered(smooth, scaling, step)
    return out


def _shared(bars: IndicatorBars, wavelet: str) -> list[Floats]:
    return bars.kept(wavelet, lambda whole: details(whole.returns, wavelet))


def _energies(bars: IndicatorBars) -> Stacked:
    def make(bars: IndicatorBars) -> Stacked:
        return bars.windows({f"{name}_{level}": w**2 for name in SCALING for level, w in enumerate(_shared(bars, name), start=1)}, 60)

    return bars.kept("energies", make)


def detail(wavelet: str, level: int) -> Callable[[IndicatorBars, int], Floats]:
    """W_j over the realised volatility of n bars."""

    def formula(bars: IndicatorBars, n: int) -> Floats:
        return _shared(bars, wavelet)[level - 1] / np.sqrt(bars.paces.mean("square", n))

    formula.__doc__ = f"Detail of level {level} over the realised volatility of n bars."
    return formula


def energy(wavelet: str, level: int) -> Callable[[IndicatorBars, int], Floats]:
    """Mean square of W_j over that of the returns, both of n bars."""

    def formula(bars: IndicatorBars, n: int) -> Floats:
        return _energies(bars).mean(f"{wavelet}_{level}", n) / bars.paces.mean("square", n)

    formula.__doc__ = f"Share of the variance of n returns in the detail of level {level}."
    return formula
