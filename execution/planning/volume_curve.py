"""The share of a session's volume that each step of a schedule meets, from the sessions before. Pure.

A step works from its instant until the next one leaves, the last one until the close. Within a bar volume is spread evenly.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from execution.planning.config import EntryConfig
from signals.market.bars import Floats

FEWEST_SESSIONS = 5
PLACES = Decimal("0.000001")
SessionVolume = tuple[NDArray[np.int64], Floats, int]
"""Of one session: minutes from the open to the END of each bar, shares of each, and the session's length in minutes."""
StepShares = tuple[Decimal, ...]
StepSharesOf = Callable[[str], StepShares | None]


def shares_of(volume: SessionVolume, entry: EntryConfig) -> Floats:
    """Share of one session's volume in each step, float64 (N,); what trades before the first step is in none.

    Examples
    --------
    Steps at 10, 35 and 60 minutes of a session of 85 minutes that traded 10 shares in its first half hour and 30 afterwards:

    >>> entry = EntryConfig(kind="twap", steps=3, first_minutes=10, last_minutes=25)
    >>> shares_of((np.array([30, 85]), np.array([10.0, 30.0]), 85), entry).round(4).tolist()
    [0.2348, 0.3409, 0.3409]
    """
    ends, shares, length = volume
    steps = [(when.minutes + when.share * (length - when.before_close - when.minutes)) for when in entry.whens()]
    so_far = np.interp([*steps, length], np.concatenate([[0], ends]), np.concatenate([[0.0], np.cumsum(shares)]))
    return np.asarray(np.diff(so_far) / shares.sum())


def usual(shares: Floats) -> Floats:
    """Mean of the middle half of sessions (S, N) in each column, (N,): nearer to the next session than median or mean.

    Examples
    --------
    A quarter of the sessions is left out on either side:

    >>> usual(np.array([[0.1], [0.2], [0.4], [0.9]])).round(4).tolist()
    [0.3]
    """
    cut = len(shares) // 4
    return np.asarray(np.sort(shares, axis=0)[cut : len(shares) - cut].mean(axis=0))


def step_shares(trailing: Sequence[SessionVolume], entry: EntryConfig) -> StepShares | None:
    """Usual share of each step over the `trailing` sessions that traded; None under `FEWEST_SESSIONS` of them."""
    traded = [shares_of(volume, entry) for volume in trailing if volume[1].sum() > 0]
    if len(traded) < FEWEST_SESSIONS:
        return None
    return tuple(Decimal(repr(float(share))).quantize(PLACES) for share in usual(np.array(traded)))
