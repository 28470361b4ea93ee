"""Cross-sectional rank of a feature within its session.

    rank(t, i) = (R - 1/2) / n

R is the average rank of the value among the n eligible names that have one, smallest first, so ranks lie inside
(0, 1) with mean 1/2. Ranks are taken of the float32 values that the model receives: what is tied for the model is tied
in its rank, on every host.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHUNK_CELLS = 1 << 15  # keeps a chunk's keys in the cache
SIGN = np.uint32(1 << 31)
ABSENT = np.uint32(2**32 - 1)  # above every float's ordered bits
COLUMN_BITS = np.uint64(32)
COLUMN_MASK = np.uint64(2**32 - 1)


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
    height, width = values.shape
    counted = eligible & ~np.isnan(values)
    ordered = np.where(counted, _ordered_bits(values), ABSENT).astype(np.uint64)
    keys = ordered << COLUMN_BITS | np.arange(width, dtype=np.uint64)
    keys.sort(axis=1)
    names = np.count_nonzero(counted, axis=1)[:, None]
    places = _average_places((keys >> COLUMN_BITS).astype(np.uint32))
    standing = (places + 0.5) / np.maximum(names, 1)
    standing[np.arange(width) >= names] = np.nan
    keys &= COLUMN_MASK
    home = keys.view(np.int64) + np.arange(0, height * width, width)[:, None]
    ranks = np.empty(height * width, np.float32)
    ranks[home.ravel()] = standing.ravel()
    return ranks.reshape(height, width)


def _ordered_bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Integers that sort as the values do: a float's bits, made monotone; both zeros are one."""
    bits = (values + np.float32(0.0)).view(np.uint32)
    return bits ^ (np.right_shift(bits.view(np.int32), 31).view(np.uint32) | SIGN)


def _average_places(ordered: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Place of each entry of a sorted row, 0-based; tied entries share the average of theirs."""
    width = ordered.shape[1]
    places = np.tile(np.arange(width, dtype=np.float64), (len(ordered), 1))
    repeats = np.zeros(ordered.shape, np.bool_)
    np.equal(ordered[:, 1:], ordered[:, :-1], out=repeats[:, 1:])
    repeats &= ordered != ABSENT
    entries = np.flatnonzero(repeats)
    if entries.size == 0:
        return places
    begins = np.flatnonzero(np.diff(entries, prepend=-2) != 1)
    lengths = np.diff(begins, append=entries.size)
    first = entries[begins] - 1  # the entry that the first repeat repeats
    average = first % width + lengths / 2.0
    flat = places.reshape(-1)
    flat[first] = average
    flat[entries] = np.repeat(average, lengths)
    return places
