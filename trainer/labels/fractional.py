"""Fractional differencing: stationarity with as much memory as possible.

Source: Lopez de Prado, Advances in Financial Machine Learning, ch. 5, fixed-width window.

    w_0 = 1,  w_j = -w_{j-1} (d - j + 1) / j          y_t = sum_j w_j x_{t-j}
"""

import numpy as np

from signals.errors import InvariantBroken
from signals.market.bars import Floats


def fractional_weights(d: float, count: int) -> Floats:
    """First `count` weights of order `d`, newest first.

    Examples
    --------
    >>> fractional_weights(0.4, 6).round(6).tolist()
    [1.0, -0.4, -0.12, -0.064, -0.0416, -0.029952]
    """
    if count < 1:
        raise InvariantBroken(f"{count} weights make no window")
    j = np.arange(1, count)
    return np.concatenate([[1.0], np.cumprod((j - 1 - d) / j)])


def fractional_difference(values: Floats, d: float, *, window: int) -> Floats:
    """Difference of order `d` along the first axis over `window` sessions.

    Parameters
    ----------
    values : float64, shape (T,) or (T, N)
    window : int, sessions
        The present one included.

    Returns
    -------
    float64, the same shape
        NaN in the first window - 1 rows and wherever the window holds a NaN.
    """
    weights = fractional_weights(d, window)
    result = np.full(values.shape, np.nan)
    if len(values) >= window:
        total = np.zeros((len(values) - window + 1, *values.shape[1:]))
        for lag, weight in enumerate(weights):
            total += weight * values[window - 1 - lag : len(values) - lag]
        result[window - 1 :] = total
    return result
