r"""Causal maximal-overlap wavelets of the returns (Percival and Walden 2000, ch. 5), Haar and Daubechies 2, levels 1 to 5.

    V_0 = r        V_j(t) = sum_l g_l / sqrt 2  V_{j-1}(t - 2^{j-1} l)        W_j(t) = sum_l h_l / sqrt 2  V_{j-1}(t - 2^{j-1} l)

Only the past is filtered, so the values lag by half a filter: those that do not lag look ahead.
"""

from math import sqrt

import numpy as np

from signals.indicators.columns import IndicatorBars, of_all_rows
from signals.indicators.recurrence import filtered
from signals.indicators.stacked import Stacked, Widths, together
from signals.market.bars import Floats

SCALING = {
    "haar": (1.0 / sqrt(2.0), 1.0 / sqrt(2.0)),
    "db2": tuple(x / (4.0 * sqrt(2.0)) for x in (1.0 + sqrt(3.0), 3.0 + sqrt(3.0), 3.0 - sqrt(3.0), 1.0 - sqrt(3.0))),
}
LEVELS, DETAIL_BARS, ENERGY_BARS = 5, 120, 60


def support(wavelet: str, level: int) -> int:
    """Returns that a detail of the level reads."""
    return ((1 << level) - 1) * (len(SCALING[wavelet]) - 1) + 1


def details(returns: Floats, wavelet: str) -> Floats:
    """W_1 to W_5 of `returns`, shape (5, T, C); a missing return counts as none, and a detail needs all it reads to have begun."""
    scaling = [g / sqrt(2.0) for g in SCALING[wavelet]]
    high = [(-1.0) ** place * g for place, g in enumerate(reversed(scaling))]
    known = np.isfinite(returns)
    seen = np.add.accumulate(known, axis=0)
    smooth = np.empty((LEVELS, *returns.shape))
    smooth[0] = np.where(known, returns, 0.0)
    for level in range(1, LEVELS):
        smooth[level] = filtered(smooth[level - 1], scaling, 1 << (level - 1))
    out = high[0] * smooth
    for lag, weight in enumerate(high[1:], start=1):
        for level, part in enumerate(weight * smooth):
            behind = lag << level
            out[level, behind:] += part[: max(len(part) - behind, 0)]
    supports = np.array([support(wavelet, level) for level in range(1, LEVELS + 1)])[:, None, None]
    return np.where(known & (seen >= supports), out, np.nan)


def _shared(bars: IndicatorBars, wavelet: str) -> Floats:
    return bars.kept(wavelet, lambda whole: details(whole.returns, wavelet))


@of_all_rows
def _energies(bars: IndicatorBars, width: int) -> Stacked:
    squares = {name: _shared(bars, name) ** 2 for name in SCALING}
    return bars.windows({f"{name}_{level}": w for name, parts in squares.items() for level, w in enumerate(parts, start=1)}, (width,))


def _detail(wavelet: str) -> together:
    def formula(bars: IndicatorBars, level: Widths) -> Floats:
        own = _shared(bars, wavelet)[level - 1 if isinstance(level, int) else [one - 1 for one in level]]
        return own / np.sqrt(bars.paces.mean("square", DETAIL_BARS))

    formula.__doc__ = "Detail of the level that it is named by, over the realised volatility of n bars."
    return together(formula)


def _energy(wavelet: str) -> together:
    def formula(bars: IndicatorBars, level: Widths) -> Floats:
        energies = _energies(bars, ENERGY_BARS)
        if isinstance(level, int):
            own = energies.mean(f"{wavelet}_{level}", ENERGY_BARS)
        else:
            own = np.stack([energies.mean(f"{wavelet}_{one}", ENERGY_BARS) for one in level])
        return own / bars.paces.mean("square", ENERGY_BARS)

    formula.__doc__ = "Share of the variance of n returns in the detail of the level that it is named by."
    return together(formula)


DETAIL = {wavelet: _detail(wavelet) for wavelet in SCALING}
ENERGY = {wavelet: _energy(wavelet) for wavelet in SCALING}
