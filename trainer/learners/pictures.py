"""Targets of a net of pictures, each packed into one number: the class, and the logarithm of the pole where there is one."""

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import Floats

POLE_SCALE = 16.0  # above the logarithm of any pole in average true ranges


def target_of(number: NDArray[np.int64], pole: Floats) -> Floats:
    """Return the number of the class and, as its fraction, ln(pole) / 16; of a pole of NaN or below 1 nothing.

    Examples
    --------
    >>> target_of(np.array([0, 1]), np.array([np.nan, np.exp(4.0)])).tolist()
    [0.0, 1.25]
    """
    length = np.log(np.fmax(pole, 1.0))
    return number.astype(np.float64) + np.where(np.isfinite(pole), np.clip(length / POLE_SCALE, 0.0, 0.99), 0.0)


def class_and_pole(target: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return what `target_of` put together; the logarithm of a pole that there is not is NaN."""
    number = np.floor(target)
    length = POLE_SCALE * (target - number)
    return number.astype(np.int64), np.where(length > 0.0, length, np.nan)
