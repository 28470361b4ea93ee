"""Places bars of one instrument, given by their END, on the grid of its sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.errors import BadBars
from signals.market.bars import Days, Floats
from signals.minutes.bars import Counts, Flags

Ends = NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class SessionGrid:
    """Sessions of a calendar as arrays: day, open in UTC (datetime64[m]) and length in minutes, each (S,)."""

    sessions: Days
    opens: Ends
    minutes: Counts

    @property
    def closes(self) -> Ends:
        """Close of each session, datetime64[m] in UTC."""
        closes: Ends = self.opens + self.minutes.astype("timedelta64[m]")
        return closes

    def cells(self, ends: Ends, length: int) -> tuple[Counts, Counts]:
        """(session, bar) of bars that END at `ends`, datetime64[m] (n,) in UTC; -1 where a bar is in no session.

        A bar is in a session when the minutes before its END are, and lies on the grid of `length` minutes from the open, but for
        the last one, which may END at the close.
        """
        s = np.searchsorted(self.opens, ends, side="left").astype(np.int64) - 1
        since = (ends - self.opens[np.maximum(s, 0)]).astype("timedelta64[m]").astype(np.int64)
        length_of = self.minutes[np.maximum(s, 0)]
        inside = (s >= 0) & (since <= length_of) & ((since % length == 0) | (since == length_of))
        return np.where(inside, s, -1), np.where(inside, -(-since // length) - 1, -1)

    def placed(self, ends: Ends, columns: Mapping[str, Floats], length: int = 1) -> tuple[dict[str, Floats], Flags]:
        """Grids float64 (S, M) of the `columns` of bars that END at `ends`, NaN where there is none, and which bars have a row.

        Raises
        ------
        BadBars
            Two bars have the same END.
        """
        s, bar = self.cells(ends, length)
        width = max(1, int((-(-self.minutes // length)).max(initial=1)))
        flat = (s * width + bar)[s >= 0]
        if len(np.unique(flat)) != len(flat):
            found, count = np.unique(flat, return_counts=True)
            where = self.opens[found[count > 1][0] // width] + (found[count > 1][0] % width + 1) * length
            raise BadBars(f"{int((count > 1).sum())} minutes have two bars", where=f"the first ends {where} UTC", fix="Keep one of them")
        grids = {}
        for name, values in columns.items():
            grid = np.full(len(self.sessions) * width, np.nan)
            grid[flat] = values[s >= 0]
            grids[name] = grid.reshape(-1, width)
        has = np.zeros(len(self.sessions) * width, dtype=bool)
        has[flat] = True
        return grids, has.reshape(-1, width)
