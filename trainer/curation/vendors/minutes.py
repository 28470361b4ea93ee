"""Aggregates minute bars to daily bars of regular hours, with spreads from quotes.

A bar covers (t, t + m] with m its length; `label` says whether its time is t or t + m. It belongs to a session when
open <= t and t + m <= close, early closes included; minutes outside the regular hours enter no daily bar.

    open = first, high = max, low = min, close = last, volume = sum  over the minutes with a trade
    spread_bps = median over the minutes with a sane two-sided quote of 10^4 (ask - bid) / ((ask + bid) / 2)

A session of which no symbol of the file has a bar in its first (last) 15 minutes was cut: its open (close) and its
volume are not known, and the daily bar says so by having none. Minutes on a day without a session are gathered too, so
that the audit names the day.

The files show trades as minutes: the daily open and close are the first and last traded minute's, which is near the
auctions' prices and not always equal to them.
"""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from signals.errors import BadBars
from signals.market.sessions import Calendar, xnys
from trainer.curation.vendors.bars import KINDS
from trainer.curation.vendors.cells import NEW_YORK, figures, instants, refuse_later, symbols, words
from trainer.curation.vendors.files import Note, WantedColumns, no_note, tables
from trainer.curation.vendors.mapping import Label, MinuteColumns

NEEDED = ("time", "symbol", "open", "high", "low", "close", "volume")
OPTIONAL = ("bid", "ask", "kind")
SPREADS_SCHEMA = pa.schema([("session", pa.date32()), ("symbol", pa.string()), ("spread_bps", pa.float64()), ("minutes", pa.int64())])
BASIS_POINTS = 1e4
CUT = pd.Timedelta(minutes=15)
MOST = 0.5  # of the symbols and sessions of a file: what is true of more than these is a convention


def read_minutes(
    content: bytes, mapping: MinuteColumns, *, where: str, today: date | None = None, note: Note = no_note
) -> tuple[pd.DataFrame, pa.Table | None]:
    """Return daily bars of a delivery of minutes, and spreads (session, symbol, spread_bps, minutes) or None; all as of `read_bars`.

    Raises
    ------
    BadBars
        Unreadable file, a missing column, a bad cell, no minute in regular hours, or times that contradict `label`.
    """
    wanted = WantedColumns(mapping.columns, NEEDED, OPTIONAL)
    parts = [
        pd.DataFrame(
            {
                "time": instants(raw["time"], mapping.zone, where=place),
                "symbol": symbols(raw["symbol"], where=place),
                **figures(raw, (*NEEDED[2:], "bid", "ask"), mapping.decimal, where=place),
                "kind": words(raw, "kind", mapping.kind, KINDS),
            }
        )
        for raw, place in tables(content, wanted, where=where, note=note)
    ]
    frame = pd.concat(parts, ignore_index=True)
    frame["symbol"] = symbols(frame["symbol"], mapping.symbols, where=where, note=note)
    refuse_later(frame["time"].dt.tz_convert(NEW_YORK).dt.tz_localize(None).dt.normalize(), today, where=where)
    days = frame["time"].dt.tz_convert("America/New_York").dt.date
    calendar = xnys(days.min() - timedelta(days=7), days.max() + timedelta(days=7))
    placed = regular_hours(frame, calendar, mapping)
    if placed.empty:
        raise BadBars("no minute is in the regular hours", where=where, fix="Check `zone` and `label` in the mapping")
    _refuse_wrong_label(frame, calendar, mapping, where=where)
    bars = pd.concat([without_cut_ends(daily(placed), placed, calendar, mapping), daily(closed_days(frame, calendar))])
    return bars.reset_index(drop=True), spreads(placed)


def regular_hours(frame: pd.DataFrame, calendar: Calendar, mapping: MinuteColumns) -> pd.DataFrame:
    """Rows whose whole interval is in a session's regular hours, with that `session`, by symbol and time."""
    start = frame["time"]
    length = pd.Timedelta(minutes=mapping.minutes)
    if mapping.label is Label.END:
        start = start - length
    opens = pd.DatetimeIndex([s.open for s in calendar.sessions]).as_unit("ns")
    closes = pd.DatetimeIndex([s.close for s in calendar.sessions]).as_unit("ns")
    place = np.searchsorted(opens.asi8, start.dt.as_unit("ns").astype("int64").to_numpy(), side="right") - 1
    inside = (place >= 0) & ((start + length).dt.as_unit("ns") <= closes[np.maximum(place, 0)]).to_numpy()
    days = np.array(calendar.days, dtype="datetime64[s]")
    kept = frame[inside].assign(session=days[place[inside]])
    result: pd.DataFrame = kept.sort_values(["symbol", "session", "time"], kind="stable", ignore_index=True)
    return result


def closed_days(frame: pd.DataFrame, calendar: Calendar) -> pd.DataFrame:
    """Rows on New York dates that are no sessions, with that date as `session`."""
    day = frame["time"].dt.tz_convert("America/New_York").dt.tz_localize(None).dt.normalize().astype("datetime64[s]")
    closed = ~day.isin(pd.DatetimeIndex(calendar.days))
    rows = frame[closed].assign(session=day[closed])
    result: pd.DataFrame = rows.sort_values(["symbol", "time"], kind="stable", ignore_index=True)
    return result


def without_cut_ends(bars: pd.DataFrame, placed: pd.DataFrame, calendar: Calendar, mapping: MinuteColumns) -> pd.DataFrame:
    """Bars whose open, close and volume are NaN where the file's session does not reach its own open or close."""
    length = pd.Timedelta(minutes=mapping.minutes)
    shift = length if mapping.label is Label.END else pd.Timedelta(0)
    times = placed[placed["close"].notna()].groupby("session")["time"].agg(["min", "max"]) - shift
    days = pd.DatetimeIndex(calendar.days)
    opens = pd.Series(pd.DatetimeIndex([s.open for s in calendar.sessions]), days).reindex(times.index)
    closes = pd.Series(pd.DatetimeIndex([s.close for s in calendar.sessions]), days).reindex(times.index)
    late = times.index[times["min"] > opens + CUT]
    early = times.index[times["max"] + length < closes - CUT]
    result = bars.astype({"volume": "float64"})
    result.loc[result["date"].isin(late), ["open", "volume"]] = np.nan
    result.loc[result["date"].isin(early), ["close", "volume"]] = np.nan
    return result


def daily(placed: pd.DataFrame) -> pd.DataFrame:
    """Aggregate minutes that traded to one bar a symbol and session."""
    traded = placed[placed["close"].notna()]
    grouped = traded.groupby(["symbol", "session"], sort=True)
    bars = grouped.agg(
        open=("open", "first"),
        high=("high", "max"),
        low=("low", "min"),
        close=("close", "last"),
        volume=("volume", "sum"),
        kind=("kind", "first"),
    ).reset_index()
    result = bars.rename(columns={"session": "date"}).assign(sector="")
    return result[["date", "symbol", "open", "high", "low", "close", "volume", "kind", "sector"]]


def spreads(placed: pd.DataFrame) -> pa.Table | None:
    """Median quoted spread of each symbol and session; None where the file has no quotes."""
    if "bid" not in placed or "ask" not in placed:
        return None
    sane = placed[(placed["bid"] > 0) & (placed["ask"] >= placed["bid"])]
    bps = BASIS_POINTS * (sane["ask"] - sane["bid"]) / ((sane["ask"] + sane["bid"]) / 2)
    found = sane.assign(spread_bps=bps).groupby(["session", "symbol"])["spread_bps"].agg(["median", "size"])
    found = found.reset_index()
    columns = (found["session"].dt.date, found["symbol"], found["median"], found["size"])
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, SPREADS_SCHEMA.types, strict=True)], schema=SPREADS_SCHEMA)


def _refuse_wrong_label(frame: pd.DataFrame, calendar: Calendar, mapping: MinuteColumns, *, where: str) -> None:
    """A file of regular hours alone shows its convention: it has a bar at the open, or one at the close."""
    at_open = _share_at(frame, calendar, [s.open for s in calendar.sessions])
    at_close = _share_at(frame, calendar, [s.close for s in calendar.sessions])
    seems = Label.END if at_close > MOST and at_open == 0 else Label.START if at_open > MOST and at_close == 0 else None
    if seems is not None and seems is not mapping.label:
        bar = "close and none at the open" if seems is Label.END else "open and none at the close"
        raise BadBars(
            f"the mapping says that times mark the {mapping.label} of a bar, but there are bars at the {bar}",
            where=where,
            fix=f"Write `label: {seems}` in the mapping",
        )


def _share_at(frame: pd.DataFrame, calendar: Calendar, moments: list[object]) -> float:
    """Share of the file's (symbol, day) that have a bar at one of `moments`."""
    hits = frame["time"].isin(pd.DatetimeIndex(moments))
    day: NDArray[np.object_] = frame["time"].dt.tz_convert("America/New_York").dt.date.to_numpy()
    cells = pd.DataFrame({"symbol": frame["symbol"], "day": day})
    open_days = cells["day"].isin(set(calendar.days))
    total = len(cells[open_days].drop_duplicates())
    return len(cells[open_days & hits].drop_duplicates()) / max(1, total)
