"""Reads one instrument's minutes of a dataset as `MinuteBars`."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from signals.errors import BadBars, FixInput, UnknownSymbol
from signals.market.bars import Flags, Floats
from signals.market.dataset import FileRole, Manifest, read_table, session_range, stored_length
from signals.market.sessions import Calendar, exchange
from signals.minutes.bars import PRICES, QUOTES, MinuteBars
from signals.minutes.grid import Hours, grid_of, minute_bars
from trainer.curation.minutes.ingest import stored_rows
from trainer.curation.minutes.reading import read
from trainer.curation.vendors.packing import pack

SHOWN = 20


def load_minutes(
    folder: Path, manifest: Manifest, symbol: str, hours: Hours, first: date | None = None, last: date | None = None
) -> MinuteBars:
    """Return the minutes of these hours of a symbol, or of a root whose contracts follow one another, in [first, last].

    Sessions that miss too many of these minutes are absent.

    Raises
    ------
    BadBars, UnknownSymbol, NotASession
        The dataset holds no minutes, not this symbol, or not these sessions.
    DataNotUsable
        No session is usable.
    """
    length = stored_length(folder, manifest)
    first, last = session_range(manifest, first, last)
    known = read_table(folder, manifest.of_role(FileRole.MINUTE_SESSIONS)[0], ["session", "symbol", "rows_of", "step"]).to_pandas()
    own = known[(known["symbol"] == symbol) & (known["session"] >= first) & (known["session"] <= last)]
    if own.empty:
        names = ", ".join(sorted(set(known["symbol"]))[:SHOWN])
        raise UnknownSymbol(f"no minutes of {symbol or 'a symbol that is not named'}", where=str(folder), fix=f"Name one of: {names}")
    rows = stored_rows(folder, manifest, tuple(sorted(set(own["rows_of"]))))
    days = manifest.calendar.between(first, last)
    wanted = set(own["session"])
    grid = grid_of(Calendar(manifest.calendar.name, tuple(manifest.calendar.session(day) for day in days if day in wanted)), hours)
    ends = rows["end"].to_numpy().astype("datetime64[m]")
    session, _ = grid.cells(ends, length)
    by_day = dict(zip(own["session"], own["rows_of"], strict=True))
    holder = np.array([by_day[day] for day in grid.sessions.astype(object)], dtype=object)
    chosen = (session >= 0) & (holder[np.maximum(session, 0)] == rows["symbol"].to_numpy(dtype=object))
    columns = _columns(rows, chosen)
    steps = dict(zip(own["session"], own["step"], strict=True))
    step = np.array([steps[day] for day in grid.sessions.astype(object)], dtype=np.float64)
    return minute_bars(symbol, grid, ends[chosen], columns, length=length, steps=step)


def minutes_of_file(path: Path, calendar: str, hours: Hours) -> MinuteBars:
    """Return the minutes of one instrument of a vendor's file, restated for splits and rolls; its newest session may be under way.

    Raises
    ------
    BadBars
        Unreadable, or a minute contradicts itself.
    FixInput
        The file is of several instruments.
    DataNotUsable
        The newest session, or every one, misses too many minutes.
    """
    name, content = pack(path)
    rows = read(content, calendar, where=name)
    held = sorted(set(rows.rows["symbol"]))
    if len(held) != 1:
        raise FixInput(f"{len(held)} instruments in one file", where=str(path), fix="Give the minutes of one")
    ends = rows.rows["end"].to_numpy().astype("datetime64[m]")
    columns = _columns(rows.rows, np.ones(len(ends), dtype=bool))
    prices = [columns[field] for field in PRICES]
    known, low, high = np.isfinite(columns["close"]), np.minimum.reduce(prices), np.maximum.reduce(prices)
    is_sound = (columns["low"] == low) & (columns["high"] == high) & (low > 0.0) & (columns["volume"] >= 0.0)
    is_sound &= np.isfinite(high) & np.isfinite(columns["volume"])
    if wrong := np.flatnonzero(known & ~is_sound).tolist():
        where = f"{path}, {ends[wrong[0]]} UTC"
        raise BadBars(f"{len(wrong)} minutes contradict themselves", where=where, fix="0 < low <= open, close <= high")
    first, last = (moment.astype("datetime64[D]").astype(object) for moment in (ends.min(), ends.max()))
    grid = grid_of(exchange(calendar, first, last + timedelta(days=1)), hours)
    return minute_bars(held[0], grid, ends, columns, length=rows.length, is_under_way=True)


def _columns(rows: pd.DataFrame, chosen: Flags) -> dict[str, Floats]:
    return {name: rows[name].to_numpy(dtype=np.float64)[chosen] for name in (*PRICES, "volume", *QUOTES) if name in rows}
