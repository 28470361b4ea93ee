"""Liquidity clusters of events: the high, middle and low third of names by dollar volume, as known at each bar."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from signals.events.panel import Flags
from signals.indicators.stacked import Stacked
from signals.market.bars import Floats

DOLLAR_BARS, LEAST_NAMES = 60, 3


class LiquidityThird(IntEnum):
    """Third of the names of one bar by dollars traded."""

    UNKNOWN = 0
    LOW = 1
    MIDDLE = 2
    HIGH = 3


def liquidity(dollars: Floats, eligible: Flags, bars: int = DOLLAR_BARS) -> NDArray[np.int8]:
    """Third of each eligible name by its mean dollars traded over the last `bars` bars, among the eligible of the same bar.

    Parameters
    ----------
    dollars : float64, shape (T, N)
    eligible : bool, shape (T, N)

    Returns
    -------
    int8, shape (T, N)
        `LiquidityThird`; unknown where a name is not eligible or has under 80 % of its bars, and where three names cannot be
        compared. Equal names share a third.
    """
    mean = np.where(eligible, Stacked({"dollars": dollars}).mean("dollars", bars), np.nan)
    third = np.zeros(mean.shape, np.int8)
    for row, out in zip(mean, third, strict=True):
        known = np.isfinite(row)
        if np.count_nonzero(known) >= LEAST_NAMES:
            low, high = np.quantile(row[known], [1.0 / 3.0, 2.0 / 3.0])
            out[known] = LiquidityThird.LOW + (row[known] > low) + (row[known] > high)
    return third
