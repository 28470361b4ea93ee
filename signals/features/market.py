"""The market's return and each sector's: equal-weighted total returns of the eligible universe."""

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


def sector_return(total_return: Floats, eligible: NDArray[np.bool_], code: Floats) -> Floats:
    """Mean total return of the eligible names that are in each name's sector at the session, itself included.

    Parameters
    ----------
    total_return : float64, shape (T, N)
    eligible : bool, shape (T, N)
    code : float64, shape (T, N)
        Number of the sector as known at the session; NaN where unknown.

    Returns
    -------
    float64, shape (T, N)
        NaN without a sector, and where no eligible name of it has a return. Equal to the bit as in `market_return`.
    """
    found = np.full(total_return.shape, np.nan)
    for first in range(0, len(total_return), CHUNK_SESSIONS):
        chunk = slice(first, first + CHUNK_SESSIONS)
        session, column = np.nonzero(np.isfinite(code[chunk]))
        if not session.size:
            continue
        codes, own = np.unique(code[chunk][session, column], return_inverse=True)
        sector = session * len(codes) + own
        returns = total_return[chunk][session, column]
        counted = np.flatnonzero(eligible[chunk][session, column] & np.isfinite(returns))
        rising = counted[np.lexsort((returns[counted], sector[counted]))]
        total = np.bincount(sector[rising], returns[rising], sector.max() + 1)
        names = np.bincount(sector[rising], minlength=len(total))
        mean = total / np.where(names > 0, names, np.nan)
        found[first + session, column] = mean[sector]
    return found
