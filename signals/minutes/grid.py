"""Places bars of one instrument, given by their END, on the grid of its sessions, and makes minute bars of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from signals.errors import BadBars, DataNotUsable
from signals.market.bars import Days, Floats
from signals.minutes.bars import PRICES, QUOTES, Counts, Flags, MinuteBars
from signals.minutes.quiet import MAX_MISSING, MAX_QUIET_MINUTES, carried

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


def minute_bars(
    symbol: str,
    grid: SessionGrid,
    ends: Ends,
    columns: Mapping[str, Floats],
    *,
    length: int = 1,
    steps: Floats | None = None,
    is_under_way: bool = False,
) -> MinuteBars:
    """Return the bars of one instrument from rows (END, columns); sessions that miss more than `MAX_MISSING` are absent.

    Parameters
    ----------
    ends : datetime64[m], shape (n,), UTC
    columns : mapping of name to float64, shape (n,)
        `open`, `high`, `low`, `close`, `volume`, and quotes; prices NaN where there was a quote and no trade.
    steps : float64, shape (S,), optional
        What a session's first price over the last one before it is to be multiplied by to be growth: what splits, dividends
        and changes of the contract take from a price. 1 where absent.
    is_under_way : bool
        Whether the newest session may go on: its minutes after the newest row are not there yet, and it has to be usable.

    Raises
    ------
    DataNotUsable
        No session is usable.
    """
    grids, has = grid.placed(ends, columns, length)
    until, newest = grid.minutes.copy(), np.flatnonzero(has.any(axis=1))[-1:]
    if is_under_way:
        until[newest] = [min((np.flatnonzero(has[s])[-1] + 1) * length, until[s]) for s in newest]
    filled = carried({name: grids[name] for name in (*PRICES, "volume")}, until, length=length, most=MAX_QUIET_MINUTES)
    usable = (filled.share(until) <= MAX_MISSING) & filled.traded.any(axis=1)
    if not usable.any() or (is_under_way and not usable[newest].all()):
        what = f"the newest session of {symbol} misses minutes" if usable.any() else f"no session of {symbol} has minutes enough"
        raise DataNotUsable(what, where=f"{len(usable)} sessions", fix="Ingest better minutes, or use other hours")
    each = np.ones(len(usable)) if steps is None else steps
    step = np.array([np.prod(part) for part in np.split(each, np.flatnonzero(usable) + 1)[:-1]], dtype=np.float64)
    bars = MinuteBars(
        symbol=symbol,
        sessions=grid.sessions[usable],
        opens=grid.opens[usable],
        minutes=grid.minutes[usable],
        **{name: filled.grids[name][usable] for name in (*PRICES, "volume")},
        traded=filled.traded[usable],
        overnight=np.full(int(usable.sum()), np.nan),
        quotes={name: grids[name][usable] for name in QUOTES if name in grids},
        length=length,
    )
    overnight = np.full(len(step), np.nan)
    overnight[1:] = step[1:] * bars.first_open[1:] / bars.last_close[:-1] - 1.0
    return replace(bars, overnight=overnight)
