"""Converts scores to z by average ranks and the inverse normal distribution, clipped."""

from statistics import NormalDist

import numpy as np

from signals.market.bars import Floats

Z_CLIP = 3.0
"""Largest |z|, in standard deviations: beyond it the normal tail says more than a rank can know."""


def average_ranks(values: Floats) -> Floats:
    """Ranks from 1 (lowest) to N (highest); equal values share the average of their ranks.

    Parameters
    ----------
    values : float64, shape (N,)
        Finite.

    Returns
    -------
    float64, shape (N,)

    Examples
    --------
    >>> average_ranks(np.array([0.3, 0.1, 0.3, 0.9])).tolist()
    [2.5, 1.0, 2.5, 4.0]
    """
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: Floats = last - (counts - 1) / 2.0
    return middle[group]


def inverse_normal(values: Floats, clip: float = Z_CLIP) -> Floats:
    """z_i = Phi^-1((rank_i - 1/2) / N), clipped to [-clip, clip].

    Symmetric about 0, equal for ties, unchanged by any increasing transformation of the values.

    Parameters
    ----------
    values : float64, shape (N,)
        Finite.
    clip : float
        Largest |z|.

    Returns
    -------
    float64, shape (N,)

    Examples
    --------
    >>> inverse_normal(np.array([10.0, 30.0, 20.0])).round(4).tolist()
    [-0.9674, 0.9674, 0.0]
    """
    quantiles = (average_ranks(values) - 0.5) / max(values.size, 1)
    standard = NormalDist()
    z = np.array([standard.inv_cdf(q) for q in quantiles.tolist()], dtype=np.float64)
    return np.clip(z, -clip, clip)
