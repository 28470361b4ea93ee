"""Infers splits and dividends from a vendor's adjusted closes where no action is recorded."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from signals.audit.defects import Rows
from signals.audit.returns import Steps
from signals.market.bars import Floats

# Relative change of adj_close / close that is rounding. Four float32 roundings are 2.4e-7; on the real file the
# largest change that is noise is 7e-7 and the smallest that is a dividend 2e-5.
FACTOR_TOLERANCE = 3e-6
CASH_PLACES = Decimal("0.0001")
# A factor step beyond these on raw prices is a split (or a stock dividend), where the price moved the other way.
SPLIT_STEP = 1.2
SPLIT_MOVE = 0.3
SPLIT_MATCH = 0.005
LARGEST_SPLIT_TERM = 50
# Dividends come in seasons: over 379 names of five years the longest silence was 5 sessions, with 17 due.
YEAR_SESSIONS = 252
LEAST_SILENCE, LEAST_DUE = 10, 20.0  # sessions, and dividends that they would have had at the year's rate


def factor_steps(rows: Rows, pairs: Steps) -> Floats:
    """Return q = f_t / f_before of each pair, shape (S,); NaN where an adjusted close is missing."""
    factor = rows.adj_close / np.where(rows.close > 0, rows.close, np.nan)
    return factor[pairs.after] / factor[pairs.before]


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


def silences(paid: NDArray[np.int64]) -> list[tuple[int, float]]:
    """Of each session, how long no dividend has been paid and how many were due; zeros where that is no silence.

    A feed that delivers bars without corporate actions looks so. Due are those of the `YEAR_SESSIONS` before the
    silence, at the same rate; only the past is looked at.

    Parameters
    ----------
    paid : int64, shape (T,)
        Dividends of each session.

    Examples
    --------
    >>> silences(np.array([4] * 252 + [0] * 11))[-3:]
    [(0, 0.0), (10, 40.0), (11, 44.0)]
    """
    before = np.concatenate([[0], np.cumsum(paid)])
    found, last = [], -1
    for t, count in enumerate(paid):
        last = t if count else last
        since = t - last
        due = 0.0
        if since >= LEAST_SILENCE and last + 1 >= YEAR_SESSIONS:
            due = float(before[last + 1] - before[last + 1 - YEAR_SESSIONS]) / YEAR_SESSIONS * since
        found.append((since, due) if due >= LEAST_DUE else (0, 0.0))
    return found
