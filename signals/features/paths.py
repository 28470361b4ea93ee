"""Price paths within a trailing window, rebuilt from returns: growth, levels, peaks and moments.

A path starts at 1 (log level 0) just before the window's first return, so that no price level of another session
enters. The run b that follows the run a starts where a ended:

    G = G_a G_b                        growth of a dollar
    P_b' = G_a P_b                     price relatives of b, seen from a's start
    L_b' = S_a + L_b                   log levels of b, S the sum of log returns

A session without a valid return adds no growth and its level is not observed. Ratios of the window's levels to one
another do not depend on where the path starts.
"""

import numpy as np

from signals.features.folding import Fold, Step
from signals.features.windows import Moments, Observations, merge_moments
from signals.market.bars import Floats


def products(observed: Observations, growth: Floats) -> Fold[np.float64]:
    """G: product of the valid `growth` factors (1 + return), shape (T, N)."""

    def merge(_: Step, older: Moments, newer: Moments, out: Moments) -> None:
        np.multiply(older[0], newer[0], out=out[0])

    return Fold((observed.filled(growth, 1.0),), merge, newest_only=observed.newest_only, is_base=True)


def peaks(observed: Observations, growth: Fold[np.float64]) -> Fold[np.float64]:
    """Highest observed price relative P of the window; 0 where none is observed."""

    def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
        np.multiply(growth.operands[step][0][0], newer[0], out=out[0])
        np.maximum(older[0], out[0], out=out[0])

    leaf = observed.filled(growth.leaf[0])
    return Fold((leaf,), merge, newest_only=observed.newest_only, bases=(growth,))


def price_moments(observed: Observations, growth: Fold[np.float64]) -> Fold[np.float64]:
    """(mean, M2) of the observed price relatives P."""

    def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
        scale = growth.operands[step][0][0]
        mean = np.multiply(newer[0], scale)
        squares = np.multiply(newer[1], scale)
        np.multiply(squares, scale, out=squares)
        merge_moments(older, (mean, squares), out, *observed.weights(step))

    leaf = observed.filled(growth.leaf[0])
    return observed.weighted((leaf, np.zeros_like(leaf)), merge, growth)


def level_moments(observed: Observations, log_growth: Floats) -> Fold[np.float64]:
    """(S, mean, M2): the newest log level and the moments of the observed log levels L."""

    def merge(step: Step, older: Moments, newer: Moments, out: Moments) -> None:
        np.add(older[0], newer[0], out=out[0])
        mean = np.add(older[0], newer[1])
        merge_moments(older[1:], (mean, newer[2]), out[1:], *observed.weights(step))

    leaf = observed.filled(log_growth)
    return observed.weighted((leaf, leaf, np.zeros_like(leaf)), merge)
