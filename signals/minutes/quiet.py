"""Quiet minutes, in which nothing was traded: carried prices, missing minutes, and the quality of a session."""

from dataclasses import dataclass

import numpy as np

from signals.market.bars import Floats
from signals.minutes.bars import PRICES, Counts, Flags

MAX_QUIET_MINUTES = 30
MAX_MISSING = 0.02


@dataclass(frozen=True, eq=False)
class FilledMinutes:
    """Grids with last prices carried, which bars traded, and how many minutes of each session are missing, (S,)."""

    grids: dict[str, Floats]
    traded: Flags
    missing: Counts

    def share(self, minutes: Counts) -> Floats:
        """Share of each session's minutes that is missing; those of a session without any trade are."""
        shares: Floats = self.missing / minutes
        return shares


def carried(
    grids: dict[str, Floats], minutes: Counts, *, length: int = 1, absent: Flags | None = None, most: int = MAX_QUIET_MINUTES
) -> FilledMinutes:
    """Carry a session's last price over minutes without a trade.

    Quiet is information, as long as it lasts no more than `most` minutes: bars of the first `most` minutes of a longer silence
    hold the last price, those after them are NaN until the next trade, for at the time nobody knew how long it would last.
    All minutes of the longer silence are missing, and so are those that are `absent`, bool (S, M): known to have been traded
    elsewhere. Nothing is carried over a session's border; before the first trade there is no price.

    Parameters
    ----------
    grids : mapping of name to float64, shape (S, M)
        `open`, `high`, `low`, `close` and `volume`, NaN where there was no trade.
    minutes : int64, shape (S,)
    length : int
        Minutes of a bar.
    """
    close = grids["close"]
    traded = np.isfinite(close)
    bars = np.arange(close.shape[1])
    inside = bars < -(-minutes // length)[:, None]
    last = np.maximum.accumulate(np.where(traded, bars, -1), axis=1)
    silence = bars - last  # bars since the last trade, or since the open
    before = last < 0
    carries = inside & ~traded & ~before & (silence * length <= most)
    price = np.take_along_axis(close, np.maximum(last, 0), axis=1)
    filled = {name: np.where(carries, price, grids[name]) for name in PRICES}
    filled["volume"] = np.where(carries, 0.0, grids["volume"])
    # the silence that a bar is part of ends before the next trade, or at the close
    following = np.where(traded, bars, len(bars))
    following = np.minimum.accumulate(following[:, ::-1], axis=1)[:, ::-1]
    ends = np.minimum(following, inside.sum(axis=1)[:, None])
    is_long = (ends - last - 1) * length > most
    lost = inside & ~traded & (is_long if absent is None else is_long | absent)
    missing = np.minimum(lost.sum(axis=1) * length, minutes)
    return FilledMinutes(filled, traded, missing)
