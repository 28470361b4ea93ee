"""Selects the names to hold and their side, before limits are applied."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Floats
from signals.scoring.scores import average_ranks


def top_and_bottom(z: Floats, held: Floats, names_per_side: int) -> Floats:
    """Long the top N, short the bottom N, each side in proportion to |z| and to gross 1/2.

    A name is long only with z > 0 and short only with z < 0, so sides never overlap. Ties at the edge go to the name
    already held on that side, then to the earlier symbol. A side without names leaves both empty.

    Parameters
    ----------
    z : float64, shape (M,), standardised scores in symbol order
    held : float64, shape (M,), current weights

    Returns
    -------
    float64, shape (M,), gross 1 or 0
    """
    book = np.zeros_like(z)
    sides = [best(sign * z, sign * held > 0, names_per_side) for sign in (1.0, -1.0)]
    if all(side.size for side in sides):
        for chosen in sides:
            book[chosen] = z[chosen] / (2.0 * np.abs(z[chosen]).sum())
    return book


def best(z: Floats, is_held: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """Positions of the at most `most` largest positive z; ties to held names, then to the earlier position."""
    order = np.lexsort((np.arange(z.size), ~is_held, -z))
    return order[: min(most, int((z > 0).sum()))]


def top_quantile(
    z: Floats, held: Floats, entry_quantile: float, exit_quantile: float, most: int, is_open: NDArray[np.bool_] | None = None
) -> Floats:
    """Long the names that enter at the top or have not yet fallen to the exit, in proportion to z above the exit.

    A name's quantile is (rank - 1/2) / M. It is in the book when its quantile reaches `entry_quantile`, or when it is
    held long and its quantile still reaches `exit_quantile`; the best `most` of them stay. Measuring z from the exit
    line makes a weight vanish where the name leaves.

    Parameters
    ----------
    z : float64, shape (M,), standardised scores in symbol order
    held : float64, shape (M,), current weights
    is_open : bool, shape (M,), optional
        Names that may be chosen; quantiles are those of all.

    Returns
    -------
    float64, shape (M,), non-negative, gross 1 or 0
    """
    quantile = (average_ranks(z) - 0.5) / max(z.size, 1)
    inside = (quantile >= exit_quantile) & ((quantile >= entry_quantile) | (held > 0))
    inside = inside if is_open is None else inside & is_open
    above = np.where(inside, z - NormalDist().inv_cdf(exit_quantile), 0.0)
    book = np.zeros_like(z)
    chosen = best(above, held > 0, most)
    if chosen.size:
        book[chosen] = above[chosen] / above[chosen].sum()
    return book
