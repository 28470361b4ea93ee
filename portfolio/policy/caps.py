"""Name caps: weight above a cap is moved to uncapped names of the same side, or stays cash."""

import numpy as np

from signals.market.bars import Floats


def cap_names(weights: Floats, cap: float) -> Floats:
    """Limit every |w_i| to `cap`, handing each side's excess to its uncapped names in proportion to their weights.

    A side whose gross exceeds n x cap ends with all its n names at the cap; the remainder is cash. Signs, the order of
    sizes within a side, and a side's gross (as far as n x cap allows) are kept; zero weights stay zero.

    Parameters
    ----------
    weights : float64, shape (N,), signed fraction of equity
    cap : float
        Positive fraction of equity.

    Returns
    -------
    float64, shape (N,)

    Examples
    --------
    The excess 0.2 goes to the others 3 : 1; the short side has no room and keeps 0.1 in cash.

    >>> cap_names(np.array([0.6, 0.15, 0.05, -0.5]), 0.4).round(4).tolist()
    [0.4, 0.3, 0.1, -0.4]
    """
    capped = np.zeros_like(weights)
    for side in (weights > 0, weights < 0):
        capped[side] = np.sign(weights[side]) * _cap_side(np.abs(weights[side]), cap)
    return capped


def _cap_side(sizes: Floats, cap: float) -> Floats:
    sizes = sizes.copy()
    at_cap = np.zeros(sizes.size, dtype=bool)
    while bool(np.any(over := (sizes > cap) & ~at_cap)):
        excess = float((sizes[over] - cap).sum())
        sizes[over] = cap
        at_cap |= over
        room = float(sizes[~at_cap].sum())
        if room > 0:
            sizes[~at_cap] *= 1 + excess / room
    return sizes
