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
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from signals.bars import Floats
from signals.defects import Rows

# Relative change of adj_close / close that is rounding. Four float32 roundings are 2.4e-7; on the real file the
# largest change that is noise is 7e-7 and the smallest that is a dividend 2e-5.
FACTOR_TOLERANCE = 3e-6
CASH_PLACES = Decimal("0.0001")
# A factor step beyond these on raw prices is a split (or a stock dividend), where the price moved the other way.
SPLIT_STEP = 1.2
SPLIT_MOVE = 0.3
SPLIT_MATCH = 0.005
LARGEST_SPLIT_TERM = 50


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


def factor_steps(rows: Rows, pairs: Steps) -> Floats:
    """Return q = f_t / f_before of each pair, shape (S,); NaN where an adjusted close is missing."""
    factor = rows.adj_close / np.where(rows.close > 0, rows.close, np.nan)
    result: Floats = factor[pairs.after] / factor[pairs.before]
    return result


def inferred_splits(rows: Rows, pairs: Steps, ratio: Floats) -> Floats:
    """Split ratio that the factors of raw prices imply and nothing recorded explains; 1 elsewhere. Shape (S,).

    A step of the factor is a split when it is near n/m with small terms and the price moved the other way by about as
    much; a large special dividend moves the factor without such a ratio.
    """
    step = factor_steps(rows, pairs) / ratio[pairs.after]
    # A split r:1 multiplies f by r while the close falls to 1/r.
    move = rows.close[pairs.after] / rows.close[pairs.before] * ratio[pairs.after] * step
    result = np.ones(len(step))
    large = np.maximum(step, 1 / step) >= SPLIT_STEP
    for place in np.flatnonzero(large & (np.abs(move - 1) <= SPLIT_MOVE)):
        if step[place] >= 1:
            nearest = Fraction(float(step[place])).limit_denominator(2)
        else:
            nearest = 1 / Fraction(float(1 / step[place])).limit_denominator(2)
        if nearest.numerator <= LARGEST_SPLIT_TERM and abs(step[place] / float(nearest) - 1) <= SPLIT_MATCH:
            result[place] = float(nearest)
    return result


def inferred_dividends(rows: Rows, pairs: Steps, ratio: Floats) -> list[tuple[int, Decimal]]:
    """Dividends that the factors imply: (row, USD per share held after that session's split).

    D = close_before / r (1 - r / q), with q the factor's step and r the split ratio; rounded to 4 decimals.
    """
    step = factor_steps(rows, pairs) / ratio[pairs.after]
    paid = np.flatnonzero(step > 1 + FACTOR_TOLERANCE)
    cash = rows.close[pairs.before[paid]] / ratio[pairs.after[paid]] * (1 - 1 / step[paid])
    amounts = [(int(pairs.after[p]), Decimal(float(c)).quantize(CASH_PLACES)) for p, c in zip(paid, cash, strict=True)]
    return [(row, amount) for row, amount in amounts if amount > 0]
