r"""Total and overnight returns, fixed session by session.

With adjusted closes, f = adj_close / close:

    total_t = adj_close_t / adj_close_{t-1} - 1,    overnight_t = open_t f_t / adj_close_{t-1} - 1

Without them, with r the split ratio and D the dividend per share effective on t (r = 1 unless the basis is raw):

    total_t = r (close_t + D) / close_{t-1} - 1,    overnight_t = r (open_t + D) / close_{t-1} - 1

t-1 is the exchange session before t, never merely the row before; NaN when either session has no usable bar. The two
forms differ by about D / close times the return: vendors divide the old price by (1 - D / close_{t-1}) instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.bars import Floats
from signals.defects import Rows


@dataclass(frozen=True, eq=False)
class Steps:
    """Pairs of a row and the usable row of the same security before it, shape (S,).

    Attributes
    ----------
    before, after : int64
        Rows.
    is_adjacent : bool
        Whether they lie on consecutive sessions.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    is_adjacent: NDArray[np.bool_]


def steps(rows: Rows, usable: NDArray[np.bool_], session: NDArray[np.int64]) -> Steps:
    """Pair each usable row with the usable row of its security before it.

    Parameters
    ----------
    rows : Rows
    usable : bool, shape (R,)
    session : int64, shape (R,)
        Position of each row's session in the calendar; not read where not usable.
    """
    kept = np.flatnonzero(usable)
    before, after = kept[:-1], kept[1:]
    same = rows.security[before] == rows.security[after]
    before, after = before[same], after[same]
    return Steps(before, after, session[after] - session[before] == 1)


def returns(rows: Rows, pairs: Steps, ratio: Floats, cash: Floats) -> tuple[Floats, Floats]:
    """Total and overnight return of every row, shape (R,) each; NaN where the session before has no usable bar.

    Parameters
    ----------
    rows : Rows
    pairs : Steps
    ratio : float64, shape (R,)
        Recorded split ratio effective on the row's session; 1 where none or already adjusted.
    cash : float64, shape (R,)
        Recorded dividend per share effective on the row's session, in the dataset's basis; 0 where none.
    """
    total, overnight = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    b, a = pairs.before[pairs.is_adjacent], pairs.after[pairs.is_adjacent]
    recorded = (ratio[a] * (rows.close[a] + cash[a]) / rows.close[b] - 1,
                ratio[a] * (rows.open[a] + cash[a]) / rows.close[b] - 1)  # fmt: skip
    known_b, known_a = np.isfinite(rows.adj_close[b]), np.isfinite(rows.adj_close[a])
    adjusted_open = rows.open[a] * (rows.adj_close[a] / rows.close[a])
    adjusted = (rows.adj_close[a] / rows.adj_close[b] - 1, adjusted_open / rows.adj_close[b] - 1)
    for result, plain, vendor in zip((total, overnight), recorded, adjusted, strict=True):
        # Where only one of the two closes has an adjusted form, neither formula holds.
        result[a] = np.where(known_a & known_b, vendor, np.where(known_a | known_b, np.nan, plain))
    return total, overnight
