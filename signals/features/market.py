"""The market return used by betas: the equal-weighted total return of the eligible universe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Floats

CHUNK_SESSIONS = 64


def market_return(total_return: Floats, eligible: NDArray[np.bool_]) -> Floats:
    """Mean total return of the names that are eligible and have one, m_t = sum_i r_{t,i} / n_t.

    Parameters
    ----------
    total_return : float64, shape (T, N)
    eligible : bool, shape (T, N)

    Returns
    -------
    float64, shape (T,)
        NaN where no eligible name has a return. Equal to the bit whatever the order of the symbols and however many
        ineligible ones are among them: each session is added up from its smallest return to its largest.
    """
    market = np.full(len(total_return), np.nan)
    for first in range(0, len(total_return), CHUNK_SESSIONS):
        chunk = slice(first, first + CHUNK_SESSIONS)
        counted = eligible[chunk] & np.isfinite(total_return[chunk])
        names = np.count_nonzero(counted, axis=1)
        running = np.cumsum(np.sort(np.where(counted, total_return[chunk], np.nan), axis=1), axis=1)
        some = np.flatnonzero(names)
        market[first + some] = running[some, names[some] - 1] / names[some]
    return market
