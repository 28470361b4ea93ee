r"""Labels of risk: realised volatility and drawdown after the features' session.

    volatility:  y_t = 1/2 ln( 252 / k  sum_{j=1..k} r_{t+j}^2 )              log annualised ratio
    drawdown:    y_t = max over 0 <= i <= j <= k of  1 - V_j / V_i,   V_j = prod_{1..j} (1 + r_{t+i})     fraction

r is the total return of a session, limited to +-50 % as in the features and in the portfolio's risk model. A session
without a bar adds none, and the first bar after it the return across the gap. A name without a bar at the end of the k
sessions, or with a return that is not known, has no label: nobody can tell yet what it came to.
"""

import numpy as np

from signals.errors import InvariantBroken
from signals.features.history import limited
from signals.features.price import SESSIONS_PER_YEAR
from signals.market.bars import Bars, Floats, bridged
from trainer.labels.horizon import Labels


def volatility_labels(bars: Bars, k: int) -> Labels:
    """Log realised volatility of sessions t + 1 .. t + k, annualised.

    Parameters
    ----------
    bars : Bars, shape (T, N)
    k : int, sessions, at least 1

    Returns
    -------
    Labels
        NaN where the name is not eligible, has no bar at the end, a return is not known, or it never moved (the log of
        nothing).
    """
    returns = _following(bars, k)
    with np.errstate(divide="ignore"):
        values = 0.5 * np.log(SESSIONS_PER_YEAR * np.mean([r**2 for r in returns], axis=0))
    return _labels(bars, k, values)


def drawdown_labels(bars: Bars, k: int) -> Labels:
    """Largest fall from a peak within sessions t .. t + k, the close of t the first possible peak.

    Parameters and policy as for `volatility_labels`; 0 where the name never fell below a peak.
    """
    level = peak = np.ones_like(bars.close)
    deepest = np.zeros_like(bars.close)
    for step in _following(bars, k):
        level = level * (1.0 + step)
        peak = np.maximum(peak, level)
        deepest = np.maximum(deepest, 1.0 - level / peak)
    return _labels(bars, k, deepest)


def _following(bars: Bars, k: int) -> list[Floats]:
    """Returns of sessions t + 1, ..., t + k, each of shape (T, N), NaN past the panel's end."""
    if k < 1:
        raise InvariantBroken(f"a label lasts at least one session, not {k}")
    returns = limited(bridged(bars)[0])
    rows = [np.full_like(returns, np.nan) for _ in range(k)]
    for step, row in enumerate(rows, start=1):
        row[:-step] = returns[step:]
    return rows


def _labels(bars: Bars, k: int, values: Floats) -> Labels:
    has_end = np.zeros_like(bars.eligible)
    has_end[:-k] = np.isfinite(bars.close[k:])
    known = bars.eligible & np.isfinite(values) & has_end
    ends = np.arange(len(bars.sessions))[:, None] + k
    values = np.where(known, values, np.nan)
    return Labels(bars.sessions, bars.symbols, values, np.where(known, ends, -1), target=values)  # sizes are learned, not ranks
