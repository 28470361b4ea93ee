r"""First-order recurrences down a column, by doubling, and weighted sums of the past: no loop over bars.

    y_t = b_t y_{t-1} + u_t        after the step g:  y_t = sum over i < g of (b_t .. b_{t-i+1}) u_{t-i}

Each step adds what stood g rows before, times the product of the decays between, and doubles g: log2 T passes (Hillis and
Steele 1986, "Data parallel algorithms").

1. Row t is the same to the bit however many rows follow, and whatever the other columns hold.
2. A missing observation leaves the average as it is; the average itself is NaN there and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from signals.market.bars import Floats


def shifted(x: Floats, rows: int) -> Floats:
    """`x` as it stood `rows` earlier; NaN where that is before the first row."""
    out = np.empty_like(x)
    out[:rows] = np.nan
    out[rows:] = x[: max(len(x) - rows, 0)]
    return out


def filtered(x: Floats, weights: tuple[float, ...] | list[float], step: int = 1) -> Floats:
    """Sum of weights[l] x(t - step l); what is before the first row counts as zero."""
    out = weights[0] * x
    for lag, weight in enumerate(weights[1:], start=1):
        if lag * step < len(x):
            out[lag * step :] += weight * x[: -lag * step]
    return out


def recurrence(decay: Floats, inputs: Floats) -> Floats:
    """y_t = decay_t y_{t-1} + inputs_t from y_{-1} = 0.

    Parameters
    ----------
    decay : float64, shape that broadcasts to that of `inputs`; (..., 1, C) where it is the same at every row
    inputs : float64, shape (..., T, C), finite
    """
    out, gap, product = inputs.copy(), 1, decay.copy()
    constant, rows = decay.shape[-2] == 1, inputs.shape[-2]
    while gap < rows:
        later = out[..., gap:, :]
        later += (product if constant else product[..., gap:, :]) * out[..., :-gap, :]
        grown = product if constant else product[..., gap:, :]
        grown *= product if constant else product[..., :-gap, :]  # numpy reads what overlaps before it writes
        gap *= 2
    return out


LEAD = 16  # rows in which a series may begin late and still be smoothed without a look at every row
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


def smoothed(x: Floats, how: tuple[Smoothing, ...]) -> Floats:
    """Average of each series: `x` has shape (K, T, C), series k is averaged by `how[k]`; returns the same shape."""
    valid = np.isfinite(x)
    first, scale, decay, gain, latest = _parts(how)
    some = not valid[:, LEAD:].all()  # a value is missing elsewhere than among the first rows
    head = slice(x.shape[1] if some else LEAD + latest)  # rows in which all begin
    there = valid[:, head]
    seen = np.add.accumulate(there, axis=1, dtype=np.int32)
    waiting = seen < first
    inputs = gain * x
    np.copyto(inputs[:, head], 0.0, where=waiting | ~there)
    starts = there & (seen == first)
    inputs[:, head][starts] = (scale * np.add.accumulate(np.where(there, x[:, head], 0.0), axis=1))[starts]
    skipped = ~(waiting | valid) if some else None
    out = recurrence(decay if skipped is None else np.where(skipped, 1.0, decay), inputs)
    np.copyto(out[:, head], np.nan, where=waiting | ~there)
    return out
