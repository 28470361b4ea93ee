"""Cross-sectional rank of a feature within its session.

    rank(t, i) = (R - 1/2) / n

R is the average rank of the value among the n eligible names that have one, smallest first, so ranks are inside
(0, 1) with mean 1/2. Ranks are taken of the float32 values that the model receives, rounded before: a loss since the
peak that is 0 in one delivery is -1e-16 in the same prices times a constant, and which of two equal names stands first
would change with the vendor's base. Each value is rounded to 18 significant bits, a relative step of at most 8e-6, and
what is within `NOTHING` of zero is zero; rounded alike is tied, on every host. The rounding is Veltkamp's splitting
(Dekker 1971, "A floating-point technique for extending the available precision", section 5):

    c = (2^6 + 1) x        rounded(x) = c - (c - x)        in float32, whose significand has 24 bits
"""

import sys

import numpy as np
from numpy.typing import NDArray

CHUNK_CELLS = 1 << 16  # keeps a chunk's keys in the cache
SIGN = np.uint32(1 << 31)
SPLITTER = np.float32(2**6 + 1)
NOTHING = np.float32(1e-9)
"""Smaller values are rounding of features whose scale is one: a return, a ratio, a logarithm."""
HUGE = np.float32(1e36)  # from here on the splitting overflows; no feature is near it
NETWORK_KEYS = 256  # the longest row that numpy sorts without partitioning it first (AVX-512, eight bytes a key)
ABSENT = np.uint32(2**32 - 1)  # above every float's ordered bits
VALUE, CELL = (1, 0) if sys.byteorder == "little" else (0, 1)  # halves of a uint64 key, the value the higher one


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


def rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round to the bits that a rank depends on; NaN stays."""
    size = np.abs(values)
    with np.errstate(over="ignore", invalid="ignore"):
        split = SPLITTER * values
        kept = np.where(size < HUGE, split - (split - values), values)
    return np.where(size < NOTHING, np.float32(0.0), kept)


def _rank_rows(values: NDArray[np.float32], eligible: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Sort (value, cell) pairs packed in one integer, then send each place in the order back to its cell."""
    counted = eligible & (values == values)
    keys = np.empty(values.shape, np.uint64)
    halves = keys.view(np.uint32).reshape(*values.shape, 2)
    halves[..., VALUE] = np.where(counted, _ordered_bits(rounded(values)), ABSENT)
    halves[..., CELL] = np.arange(values.size, dtype=np.uint32).reshape(values.shape)
    _sort_rows(keys)
    standing = _standing(np.ascontiguousarray(halves[..., VALUE]), np.count_nonzero(counted, axis=1))
    ranks = np.empty(values.size, np.float32)
    ranks[halves[..., CELL].astype(np.intp).ravel()] = standing.ravel()
    return ranks.reshape(values.shape)


def _sort_rows(keys: NDArray[np.uint64]) -> None:
    """Sort each row in place.

    Rows a little too long for the sorting networks are halved, sorted, split by the merging step of Batcher's bitonic
    sort into the lower and the upper half, and sorted again: 500 keys take half the time.
    """
    height, width = keys.shape
    half = width // 2
    if not NETWORK_KEYS < width <= 2 * NETWORK_KEYS or width % 2:
        keys.sort(axis=1)
        return
    halves = keys.reshape(2 * height, half)
    halves.sort(axis=1)
    rising, falling = keys[:, :half], keys[:, : -half - 1 : -1]
    lower, upper = np.minimum(rising, falling), np.maximum(rising, falling)
    keys[:, :half], keys[:, half:] = lower, upper
    halves.sort(axis=1)


def _ordered_bits(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Integers that sort as the values do: a float's bits, made monotone; both zeros are one."""
    bits = (values + np.float32(0.0)).view(np.uint32)
    return bits ^ (np.right_shift(bits.view(np.int32), 31).view(np.uint32) | SIGN)


def _standing(ordered: NDArray[np.uint32], names: NDArray[np.intp]) -> NDArray[np.float32]:
    """Rank of each entry of a sorted row whose first `names` entries are counted; tied entries share their average."""
    width = ordered.shape[1]
    places = np.arange(width)
    distinct, kind = np.unique(names, return_inverse=True)
    table = (places + 0.5) / np.maximum(distinct, 1)[:, None]
    standing = np.where(places < distinct[:, None], table, np.nan).astype(np.float32)[kind]
    repeats = np.zeros(ordered.shape, np.bool_)
    np.equal(ordered[:, 1:], ordered[:, :-1], out=repeats[:, 1:])
    repeats &= ordered != ABSENT
    entries = np.flatnonzero(repeats)
    if entries.size:
        begins = np.flatnonzero(np.diff(entries, prepend=-2) != 1)
        lengths = np.diff(begins, append=entries.size)
        first = entries[begins] - 1  # the entry that the first repeat repeats
        shared = ((first % width + lengths / 2.0 + 0.5) / names[first // width]).astype(np.float32)
        flat = standing.reshape(-1)
        flat[first] = shared
        flat[entries] = np.repeat(shared, lengths)
    return standing
