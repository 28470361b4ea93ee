"""Cross-sectional rank of a feature within its session.

    rank(t, i) = (R - 1/2) / n

R is the average rank of the value among the n eligible names that have one, smallest first, so ranks lie inside
(0, 1) with mean 1/2. Ranks are taken of the float32 values that the model receives: what is tied for the model is tied
in its rank, on every host.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHUNK_CELLS = 1 << 15
SIGN = np.uint32(1 << 31)
ABSENT = np.uint64(2**64 - 1)
COLUMN_BITS = np.uint64(32)


def rank(values: NDArray[np.float32], eligible: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Rank of each value among its row's eligible ones.

    Parameters
    ----------
    values : float32, shape (T, N)
    eligible : bool, shape (T, N)

    Returns
    -------
    float32, shape (T, N)
        NaN where the name is not eligible or has no value.
    """
    ranks = np.empty(values.shape, np.float32)
    rows = max(1, CHUNK_CELLS // max(1, values.shape[1]))
    for first in range(0, len(values), rows):
        chunk = slice(first, first + rows)
        ranks[chunk] = _rank_rows(np.ascontiguousarray(values[chunk]), eligible[chunk])
    return ranks


def _rank_rows(values: NDArray[np.float32], eligible: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Sort (value, column) pairs packed in one integer, then send each place in the order back to its column."""
    counted = eligible & ~np.isnan(values)
    keys = np.where(counted, _ordered_bits(values), ABSENT)
    keys.sort(axis=1)
    columns = (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)
    names = np.count_nonzero(counted, axis=1)[:, None]
    places = _average_places((keys >> COLUMN_BITS).astype(np.uint32))
    standing = ((places + 0.5) / np.maximum(names, 1)).astype(np.float32)
    here = np.arange(values.shape[1]) < names
    ranks = np.full(values.shape, np.nan, np.float32)
    rows = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
    ranks[rows[here], columns[here]] = standing[here]
    return ranks


def _ordered_bits(values: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Integers that sort as (value, column): the float's bits, made monotone, above the column's number."""
    bits = (values + np.float32(0.0)).view(np.uint32)
    monotone = bits ^ (np.right_shift(bits.view(np.int32), 31).view(np.uint32) | SIGN)
    return monotone.astype(np.uint64) << COLUMN_BITS | np.arange(values.shape[1], dtype=np.uint64)


def _average_places(sorted_values: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Place of each entry of a sorted row, 0-based; tied entries share the average of theirs."""
    width = sorted_values.shape[1]
    places = np.arange(width, dtype=np.float64)
    starts = np.ones(sorted_values.shape, np.bool_)
    np.not_equal(sorted_values[:, 1:], sorted_values[:, :-1], out=starts[:, 1:])
    if starts.all():
        return np.broadcast_to(places, sorted_values.shape)
    ends = np.ones_like(starts)
    ends[:, :-1] = starts[:, 1:]
    first = np.maximum.accumulate(np.where(starts, places, 0.0), axis=1)
    last = np.minimum.accumulate(np.where(ends, places, float(width))[:, ::-1], axis=1)[:, ::-1]
    return (first + last) / 2.0
