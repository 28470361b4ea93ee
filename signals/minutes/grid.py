"""Places bars of one instrument, given by their END, on the grid of its sessions of some hours, and makes minute bars of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from signals.errors import BadBars, DataNotUsable, FixInput
from signals.market.bars import Days, Flags, Floats, days_array
from signals.market.sessions import Calendar, Session
from signals.minutes.bars import PRICES, QUOTES, Counts, MinuteBars

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
        return self.missing / minutes


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


CHICAGO = ZoneInfo("America/Chicago")
SHORTER_SINCE = date(2015, 9, 21)  # futures on Globex closed at 16:15 in Chicago before
NIGHT_MINUTES = 4 * 60  # after the regular close, in which US shares are still traded


class Hours(StrEnum):
    """Which minutes of a session are used."""

    RTH = "rth"  # regular trading hours
    ETH = "eth"  # the minutes before them: the pre-market, or the night session of futures
    BOTH = "both"


def _shares(session: Session) -> tuple[datetime, datetime, datetime, datetime]:
    return session.at(time(4, 0)), session.open, session.close, session.close + timedelta(minutes=NIGHT_MINUTES)


def _futures(session: Session) -> tuple[datetime, datetime, datetime, datetime]:
    until = time(16, 15) if session.day < SHORTER_SINCE else time(16, 0)
    first, last, end = (datetime.combine(session.day, at, CHICAGO).astimezone(UTC) for at in (time(8, 30), time(15, 0), until))
    end = min(end, session.close)
    return session.open, min(first, end), min(last, end), end


def _one(session: Session) -> tuple[datetime, datetime, datetime, datetime]:
    return session.open, session.open, session.close, session.close


PARTS = {"XNYS": _shares, "CMES": _futures}
ALSO_CALLED = {"CME": "CMES", "COMEX": "CMES", "NYSE": "XNYS", "NASDAQ": "XNYS", "24h": "24/7"}


def default_hours(calendar: str) -> Hours:
    """Hours of an exchange that are meant where nobody says which."""
    return Hours.RTH if calendar == "XNYS" else Hours.BOTH


def grid_of(calendar: Calendar, hours: Hours) -> SessionGrid:
    """Return the sessions' grid of these hours; sessions that have none of them are left out.

    Raises
    ------
    FixInput
        The exchange trades around the clock, or its other hours are not known.
    """
    if hours is not Hours.BOTH and calendar.name not in PARTS and not (hours is Hours.RTH and calendar.name != "24/7"):
        raise FixInput(f"{calendar.name} has no {hours} hours", where="hours", fix="Use both")
    parts = PARTS.get(calendar.name, _one)
    rows = []
    for session in calendar.sessions:
        begin, first, last, end = parts(session)
        opened, closed = {Hours.RTH: (first, last), Hours.ETH: (begin, first), Hours.BOTH: (begin, end)}[hours]
        if opened < closed:
            rows.append((session.day, opened, closed))
    opens = np.array([row[1].replace(tzinfo=None) for row in rows], dtype="datetime64[m]")
    minutes = np.array([(closed - opened) // timedelta(minutes=1) for _, opened, closed in rows], dtype=np.int64)
    return SessionGrid(days_array([row[0] for row in rows]), opens, minutes)


def exchange_name(name: str) -> str:
    """Return the name of an exchange's calendar by what people call it."""
    return ALSO_CALLED.get(name, name)
