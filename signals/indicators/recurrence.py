r"""First-order recurrences down a column, by doubling, and weighted sums of the past: no loop over bars.

    y_t = b_t y_{t-1} + u_t        after the step g:  y_t = sum over i < g of (b_t .. b_{t-i+1}) u_{t-i}

Each step adds what stood g rows before, times the product of the decays between, and doubles g: log2 T passes (Hillis and
Steele 1986, "Data parallel algorithms").

1. Row t is the same to the bit however many rows follow, and whatever the other columns hold.
2. A missing observation leaves the average as it is; the average itself is NaN there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Floats


def shifted(x: Floats, rows: int) -> Floats:
    """`x` as it stood `rows` earlier; NaN where that is before the first row."""
    out = np.empty_like(x)
    out[:rows] = np.nan
    out[rows:] = x[: max(len(x) - rows, 0)]
    return out


def lagged(x: Floats, rows: Sequence[int]) -> Floats:
    """`x` as it stood so many rows earlier, for each of `rows`: shape (K, T, C)."""
    out = np.full((len(rows), *x.shape), np.nan)
    for past, behind in zip(out, rows, strict=True):
        past[behind:] = x[: max(len(x) - behind, 0)]
    return out


def filtered(x: Floats, weights: tuple[float, ...] | list[float], step: int = 1) -> Floats:
    """Sum of weights[l] x(t - step l); what is before the first row counts as zero."""
    out = weights[0] * x
    for lag, weight in enumerate(weights[1:], start=1):
        if lag * step < len(x):
            later = out[lag * step :]
            later += weight * x[: -lag * step]
    return out


def recurrence(decay: Floats, inputs: Floats, last: int = 0) -> Floats:
    """y_t = decay_t y_{t-1} + inputs_t from y_{-1} = 0.

    Parameters
    ----------
    decay : float64, shape that broadcasts to that of `inputs`, not negative; (..., 1, C) where it is the same at every row
    inputs : float64, shape (..., T, C), finite
    last : int
        Where not 0, rows that are asked for: those before the last so many are NaN.
    """
    out, gap, product, scratch = inputs.copy(), 1, decay.copy(), np.empty_like(inputs)
    constant, rows = decay.shape[-2] == 1, inputs.shape[-2]
    every = min(rows, 1 << (last - 1).bit_length()) if last else rows
    while gap < every:
        past = scratch[..., gap:, :]
        np.multiply(product if constant else product[..., gap:, :], out[..., :-gap, :], out=past)
        later = out[..., gap:, :]
        later += past
        grown = product if constant else product[..., gap:, :]
        grown *= product if constant else product[..., :-gap, :]  # numpy reads what overlaps before it writes
        gap *= 2
    if gap >= rows:
        return out
    ended = np.full_like(out, np.nan)
    ended[..., -last:, :] = _ended(product, out, gap, last)
    return ended


def _ended(product: Floats, out: Floats, gap: int, last: int) -> Floats:
    """The passes from the step `gap` on, of the last rows alone: of blocks of `gap` rows, pair after pair, until one is left."""
    blocks = -(-out.shape[-2] // gap)

    def ends_of(x: Floats, nothing: float) -> Floats:
        padded = np.full((*x.shape[:-2], blocks * gap, x.shape[-1]), nothing)
        padded[..., -x.shape[-2] :, :] = x
        return padded.reshape(*x.shape[:-2], blocks, gap, x.shape[-1])[..., gap - last :, :]

    ends, constant = ends_of(out, -0.0), product.shape[-2] == 1  # x + -0.0 is x, whatever its sign
    grown = product[..., None, :] if constant else ends_of(product, 1.0)
    while blocks > 1:
        odd = blocks % 2  # the oldest block has none before it
        older, newer = ends[..., odd::2, :, :], ends[..., odd + 1 :: 2, :, :]
        by = grown if constant else grown[..., odd + 1 :: 2, :, :]
        merged = by * older
        merged += newer
        by = by * (grown if constant else grown[..., odd::2, :, :])
        ends = np.concatenate([ends[..., :1, :, :], merged], axis=-3) if odd else merged
        grown = np.concatenate([grown[..., :1, :, :], by], axis=-3) if odd and not constant else by
        blocks = (blocks + 1) // 2
    return ends[..., 0, :, :]


FIELDS = ("first", "scale", "decay", "gain")


@dataclass(frozen=True)
class Smoothing:
    """How an average begins and forgets: at the `first`-th valid value it is `scale` times their sum, then b y + a x."""

    first: int
    scale: float
    decay: float
    gain: float

    @classmethod
    @cache
    def ema(cls, length: int) -> Smoothing:
        """A = 2 / (length + 1), from the mean of the first `length` values."""
        gain = 2.0 / (length + 1)
        return cls(length, 1.0 / length, 1.0 - gain, gain)

    @classmethod
    @cache
    def wilder(cls, length: int) -> Smoothing:
        """A = 1 / length, from the mean of the first `length` values (Wilder 1978)."""
        return cls(length, 1.0 / length, (length - 1.0) / length, 1.0 / length)

    @classmethod
    @cache
    def wilder_sum(cls, length: int) -> Smoothing:
        """S - s / length + x, from the sum of the first `length` - 1 values, as directional movement is smoothed."""
        return cls(length - 1, 1.0, 1.0 - 1.0 / length, 1.0)


@lru_cache(maxsize=64)
def _parts(how: tuple[Smoothing, ...]) -> tuple[Any, ...]:
    columns = [np.array([getattr(one, name) for one in how])[:, None, None] for name in FIELDS]
    return *columns, max(one.first for one in how)


@lru_cache(maxsize=64)
def _heads(how: tuple[Smoothing, ...], head: int, begins: bytes) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of the first rows of series that begin at `begins` and have no gap wait for their average, and in which it begins."""
    row = np.frombuffer(begins, np.intp).reshape(len(how), 1, -1) + _parts(how)[0] - 1
    rows = np.arange(head)[:, None]
    return rows < row, rows == row


def smoothed(x: Floats, how: tuple[Smoothing, ...], last: int = 0) -> Floats:
    """Average of each series: `x` has shape (K, T, C), series k is averaged by `how[k]`; returns the same shape, as `recurrence`."""
    valid = np.isfinite(x)
    first, scale, decay, gain, latest = _parts(how)
    begins = valid.argmax(axis=1)
    is_run = np.array_equal(np.add.reduce(valid, axis=1, dtype=np.intp), x.shape[1] - begins)  # nothing is missing once it begins
    if is_run:
        head = min(x.shape[1], int(begins.max()) + latest)  # rows in which all begin
        there = valid[:, :head]
        waiting, starts = _heads(how, head, begins.tobytes())
    else:
        head, there = x.shape[1], valid
        seen = np.add.accumulate(valid, axis=1, dtype=np.int32)
        waiting, starts = (seen < first) | ~valid, valid & (seen == first)
    inputs = gain * x
    np.copyto(inputs[:, :head], 0.0, where=waiting)
    np.copyto(inputs[:, :head], scale * np.add.accumulate(np.where(there, x[:, :head], 0.0), axis=1), where=starts)
    if not is_run:
        decay = np.where((seen >= first) & ~valid, 1.0, decay)
    out = recurrence(decay, inputs, last)
    np.copyto(out[:, :head], np.nan, where=waiting)
    return out
