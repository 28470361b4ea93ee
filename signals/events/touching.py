"""First touch of two barriers by a bar, and the price of the exit."""

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Floats

Flags = NDArray[np.bool_]


def first_touch(
    opens: Floats, highs: Floats, lows: Floats, upper: Floats, lower: Floats, is_entry: Flags | bool
) -> tuple[Flags, Floats, NDArray[np.int8]]:
    """Whether a bar touches a barrier, the price it fills at and which: 1 upper, -1 lower, which wins a tie.

    A bar that opens beyond a barrier fills at its open, but for the bar of the entry (`is_entry`). A missing bar touches nothing.
    """
    stopped, taken, later = lows <= lower, highs >= upper, np.logical_not(is_entry)
    gap_down, gap_up = (opens <= lower) & later, (opens >= upper) & later
    at_stop = np.where(gap_down, opens, lower)
    at_profit = np.where(gap_up, opens, upper)
    profit_first = gap_up | (taken & ~stopped)
    price = np.where(profit_first, at_profit, at_stop)
    side = np.where(profit_first, 1, -1).astype(np.int8)
    return stopped | taken, price, side
