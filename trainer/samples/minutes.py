"""Reads one instrument's minutes of a dataset as `MinuteBars`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np

from signals.errors import UnknownSymbol
from signals.market.dataset import FileRole, Manifest, read_table, session_range
from signals.market.sessions import Calendar
from signals.minutes.bars import PRICES, QUOTES, MinuteBars
from signals.minutes.grid import minute_bars
from signals.minutes.hours import Hours, grid_of
from trainer.curation.minutes.ingest import stored_length, stored_rows

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
    columns = {name: rows[name].to_numpy(dtype=np.float64)[chosen] for name in (*PRICES, "volume", *QUOTES) if name in rows}
    steps = dict(zip(own["session"], own["step"], strict=True))
    step = np.array([steps[day] for day in grid.sessions.astype(object)], dtype=np.float64)
    return minute_bars(symbol, grid, ends[chosen], columns, length=length, steps=step)
