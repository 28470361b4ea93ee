"""Reads a vendor's minutes, ticks or two-sided quotes into rows by END, and finds out the zone and the label of its times.

A file shows both. Its zone is the one in which the fewest trades are outside of the sessions; its label is START where there are
bars at opens and none at closes, END in the opposite case, and on markets without a pause what the first and the last row say.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from signals.errors import BadBars
from signals.market.sessions import exchange
from signals.minutes.bars import PRICES, QUOTES
from signals.minutes.grid import SessionGrid, default_hours, grid_of
from trainer.curation.vendors.cells import figures, instants, symbols, words
from trainer.curation.vendors.files import Note, WantedColumns, no_note, tables
from trainer.curation.vendors.mapping import Label

TICKS = ("price", "size")
SIDES = tuple(f"{name}_{side}" for name in PRICES for side in ("bid", "ask"))
OPTIONAL = ("symbol", "root", "contract", *PRICES, "volume", *QUOTES, *TICKS, *SIDES)
ZONES = ("America/New_York", "UTC", "America/Chicago")
MINUTE = pd.Timedelta(minutes=1)
CLEAR = 0.5  # of the sessions that have a bar at their open, or close: what is true of more is a convention
AROUND = timedelta(days=10)


@dataclass(frozen=True, eq=False)
class DeliveredMinutes:
    """Rows of a delivery: END in UTC, symbol, root, contract, prices, volume and quotes; and what was understood of it."""

    rows: pd.DataFrame
    length: int
    calendar: str
    understood: tuple[str, ...]


def read(
    content: bytes, calendar: str, *, where: str, zone: str = "", label: Label | None = None, symbol: str = "", note: Note = no_note
) -> DeliveredMinutes:
    """Read one delivery of minutes.

    Parameters
    ----------
    calendar : str
        Of exchange_calendars.
    zone : str
        Of times that name none; empty finds it out.
    label : Label, optional
        Which end of a bar its time marks; None finds it out.
    symbol : str
        Of a file that does not say it.

    Raises
    ------
    BadBars
        Unreadable, or the file does not show its label.
    """
    wanted = WantedColumns({}, ("time",), OPTIONAL, symbol)
    frame = pd.concat([_table(raw, place, symbol) for raw, place in tables(content, wanted, where=where, note=note)], ignore_index=True)
    is_tick = "price" in frame
    naive = not _is_zoned(frame["time"])
    zone_found = zone or (_zone(frame, calendar, where) if naive else "UTC")
    times = instants(frame["time"], zone_found, where=where).dt.tz_localize(None)
    said = [f"times are {zone_found}"] if naive and not zone else []
    if is_tick:
        rows = _minutes_of_ticks(frame.assign(time=times))
        return DeliveredMinutes(rows, 1, calendar, ("ticks, made into minutes", *said))
    length = _length(times, frame)
    grid = _grid(times, calendar)
    mark = label or _label(times[frame["close"].notna()], grid, length, where=where)
    if label is None:
        said.append(f"times mark the {mark} of a bar")
    ends = times + (length * MINUTE if mark is Label.START else pd.Timedelta(0))
    return DeliveredMinutes(frame.drop(columns="time").assign(end=ends.astype("datetime64[s]")), length, calendar, tuple(said))


def _table(raw: pd.DataFrame, where: str, symbol: str) -> pd.DataFrame:
    raw = raw.reset_index(drop=True)
    numbers = figures(raw, (*PRICES, "volume", *QUOTES, *TICKS, *SIDES), where=where)
    if "close" not in numbers and f"close_{'bid'}" in numbers:
        numbers |= {name: (numbers[f"{name}_bid"] + numbers[f"{name}_ask"]) / 2.0 for name in PRICES}
        numbers |= {side: numbers[f"close_{side}"] for side in ("bid", "ask")}
    root, contract = words(raw, "root", ""), words(raw, "contract", "")
    if "symbol" in raw:
        name = symbols(raw["symbol"], where=where)
    elif (root != "").all() or symbol:
        name = (root + contract).where(root != "", symbol)
    else:
        raise BadBars("missing column: symbol", where=where, fix="Name it: --symbol ES")
    root = root.where(contract != "", "")  # contracts have a root; what has none is an instrument by itself
    found = pd.DataFrame({"time": raw["time"], "symbol": name, "root": root, "contract": contract})
    found = found.assign(**{key: value for key, value in numbers.items() if key not in SIDES})
    if "price" not in found and not {*PRICES} <= {*found}:
        lacking = ", ".join(column for column in PRICES if column not in found)
        raise BadBars(f"missing columns: {lacking}", where=where, fix="Deliver open, high, low and close, or price and size")
    if "volume" not in found and "price" not in found:
        found["volume"] = np.where(found["close"].notna(), 0.0, np.nan)
    return found


def _is_zoned(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.DatetimeTZDtype) or column.dtype.kind in "iuf":
        return True
    return column.dtype.kind != "M" and bool(column.astype("string").str.contains(r"(?:Z|UTC|[+-]\d{2}:?\d{2})\s*$").iloc[0])


def _length(times: pd.Series, frame: pd.DataFrame) -> int:
    """Minutes of a bar: the commonest step of a symbol's rows."""
    steps = times.groupby(frame["symbol"], sort=False).diff().dropna()
    common = steps[steps > pd.Timedelta(0)].mode()
    return max(1, int(common.iloc[0] / MINUTE)) if len(common) else 1


def _grid(times: pd.Series, calendar: str) -> SessionGrid:
    days = times.dt.date
    return grid_of(exchange(calendar, days.min() - AROUND, days.max() + AROUND), default_hours(calendar))


def _zone(frame: pd.DataFrame, calendar: str, where: str) -> str:
    """Zone of naive times: the one in which the most trades are inside of the sessions; of two alike the first of the exchange."""
    zones = ("UTC", *ZONES) if calendar != "XNYS" else ZONES
    is_trade = frame["close" if "close" in frame else "price"].notna()
    amounts = next((frame[name] for name in ("volume", "size") if name in frame), is_trade.astype("float64"))
    weight = amounts[is_trade].fillna(0.0).to_numpy(dtype=np.float64) + 1e-9
    sample = frame[is_trade]
    best = max(zones, key=lambda zone: (_inside(sample["time"], zone, calendar, weight, where), -zones.index(zone)))
    return best


def _inside(column: pd.Series, zone: str, calendar: str, weight: np.ndarray, where: str) -> float:
    try:
        times = instants(column, zone, where=where).dt.tz_localize(None)
    except BadBars:
        return -1.0  # the hour that this zone's clocks leave out
    grid = _grid(times, calendar)
    ends = times.dt.floor("min").to_numpy().astype("datetime64[m]") + 1
    session, _ = grid.cells(ends, 1)
    return round(float(weight[session >= 0].sum() / weight.sum()), 6)


def _label(times: pd.Series, grid: SessionGrid, length: int, *, where: str) -> Label:
    known = np.unique(times.to_numpy().astype("datetime64[m]"))
    span = (grid.opens >= known[0]) & (grid.closes <= known[-1])
    if span.any() and not np.array_equal(grid.opens[1:], grid.closes[:-1]):
        at_open, at_close = (float(np.isin(moments[span], known).mean()) for moments in (grid.opens, grid.closes))
        if at_open > CLEAR and at_close < at_open / 2:
            return Label.START
        if at_close > CLEAR and at_open < at_close / 2:
            return Label.END
    first, last = (int(moment.astype("datetime64[m]").astype(np.int64) % 60) for moment in (known[0], known[-1]))
    is_start, is_end = first == 0 or last == 60 - length, first == length or last == 0
    if is_start == is_end:
        raise BadBars(
            "the file does not show whether its times mark the start or the end of a bar",
            where=where,
            fix="Say it: --marks start, or --marks end",
        )
    return Label.START if is_start else Label.END


def _minutes_of_ticks(ticks: pd.DataFrame) -> pd.DataFrame:
    """Bars of one minute, from trades in the order in which they came: a trade at 10:00:00 is in the bar that ENDs at 10:01."""
    kept = ticks[ticks["price"].notna()]
    ends = (kept["time"].dt.floor("min") + MINUTE).astype("datetime64[s]")
    grouped = kept.assign(end=ends).sort_values(["symbol", "time"], kind="stable").groupby(["symbol", "end"], sort=True)
    bars = grouped.agg(
        root=("root", "first"),
        contract=("contract", "first"),
        open=("price", "first"),
        high=("price", "max"),
        low=("price", "min"),
        close=("price", "last"),
        volume=("size", "sum") if "size" in kept else ("price", "size"),
    )
    return bars.reset_index().astype({"volume": "float64"})
