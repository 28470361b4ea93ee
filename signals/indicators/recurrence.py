r"""First-order recurrences down a column, by doubling, and weighted sums of the past: no loop over bars.

    y_t = b_t y_{t-1} + u_t        after the step g:  y_t = sum over i < g of (b_t .. b_{t-i+1}) u_{t-i}

Each step adds what stood g rows before, times the product of the decays between, and doubles g: log2 T passes (Hillis and
Steele 1986, "Data parallel algorithms").

1. Row t is the same to the bit however many rows follow, and whatever the other columns hold.
2. A missing observation leaves the average as it is; the average itself is NaN there and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    decay : float64, shape that broadcasts to that of `inputs`; (1, ...) where it is the same at every row
    inputs : float64, shape (T, ...), finite
    """
    out, gap, product = inputs.copy(), 1, decay
    constant = len(decay) == 1
    while gap < len(out):
        out[gap:] += (product if constant else product[gap:]) * out[:-gap]
        product = product * product if constant else np.concatenate([product[:gap], product[gap:] * product[:-gap]])
        gap *= 2
    return out


FIELDS = ("first", "scale", "decay", "gain")


@dataclass(frozen=True)
class Smoothing:
    """How an average begins and forgets: at the `first`-th valid value it is `scale` times their sum, then b y + a x."""

    first: int
    scale: float
    decay: float
    gain: float

    @classmethod
    def ema(cls, length: int) -> Smoothing:
        """A = 2 / (length + 1), from the mean of the first `length` values."""
        gain = 2.0 / (length + 1)
        return cls(length, 1.0 / length, 1.0 - gain, gain)

    @classmethod
    def wilder(cls, length: int) -> Smoothing:
        """A = 1 / length, from the mean of the first `length` values (Wilder 1978)."""
        return cls(length, 1.0 / length, (length - 1.0) / length, 1.0 / length)

    @classmethod
    def wilder_sum(cls, length: int) -> Smoothing:
        """S - s / length + x, from the sum of the first `length` - 1 values, as directional movement is smoothed."""
        return cls(length - 1, 1.0, 1.0 - 1.0 / length, 1.0)


def smoothed(x: Floats, how: tuple[Smoothing, ...]) -> Floats:
    """Average of each series: `x` has shape (T, K, C), series k is averaged by `how[k]`; returns the same shape."""
    valid = np.isfinite(x)
    first, scale, decay, gain = (np.array([getattr(one, name) for one in how])[None, :, None] for name in FIELDS)
    seen = np.add.accumulate(valid, axis=0, dtype=np.int32)
    begun = seen >= first
    last = int(np.argmax(begun, axis=0).max(initial=0)) + 1 if begun[-1:].all() else len(x)  # rows in which all begin
    filled = x if valid.all() else np.where(valid, x, 0.0)
    starts = valid[:last] & (seen[:last] == first)
    inputs = np.where(begun, gain * filled, 0.0)
    inputs[:last][starts] = (scale * np.add.accumulate(filled[:last], axis=0))[starts]
    skipped = begun & ~valid
    some = bool(skipped.any())
    out = recurrence(np.where(skipped, 1.0, decay) if some else decay, inputs)
    return np.where(begun & valid if some else begun, out, np.nan)
