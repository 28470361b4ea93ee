"""Minutes as material to learn from: every bar of the training timeframe is a row of the axis that days have elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from signals.errors import BadBars, FixInput, UnknownSymbol
from signals.features.panel import FeaturePanel
from signals.indicators.catalogue import BY_NAME
from signals.market.bars import Flags, Floats
from signals.market.dataset import FileRole, read_manifest, read_table, session_range, stored_length
from signals.market.manifest import Manifest
from signals.market.sessions import Calendar, exchange
from signals.minutes.bars import PRICES, QUOTES, MinuteBars
from signals.minutes.grid import Hours, default_hours, grid_of, minute_bars
from signals.minutes.stretch import DecisionBars, decision_bars
from signals.sleeves.bars import BarsSleeve
from signals.sleeves.base import Sleeve
from trainer.curation.minutes.ingest import stored_rows
from trainer.curation.minutes.reading import read
from trainer.curation.vendors.packing import pack
from trainer.labels.horizon import Rows
from trainer.recipes.base import CpcvConfig, MinutesConfig, RecipeConfig

SHOWN = 20
GROWTHS = ("total_return", "overnight_return", "gap_return", "gap_overnight")


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


WHOLE_DAY, EMBARGO_BARS, EMBARGO_SESSIONS = 1440, 1440, 5


@dataclass(frozen=True, eq=False)
class Intraday:
    """The dataset, the sleeve and the recipe as the data settle them, the minutes, the decisions and their features."""

    manifest: Manifest
    sleeve: BarsSleeve
    config: RecipeConfig
    minutes: MinuteBars
    bars: DecisionBars
    panel: FeaturePanel


def read_intraday(
    sleeve: BarsSleeve,
    config: RecipeConfig,
    data: Path,
    symbols: tuple[str, ...],
    span: tuple[date | None, date | None],
    version: int | None,
) -> Intraday:
    """Read one symbol's minutes and compute the features of every decision.

    Raises
    ------
    FixInput
        No symbol, or more than one, is meant.
    """
    manifest, wish = read_manifest(data, version), cast(MinutesConfig, config.minutes)
    hours = wish.hours or default_hours(manifest.calendar.name)
    minutes = load_minutes(data, manifest, _one(data, manifest, symbols), hours, *span)
    lengths, counts = np.unique(minutes.minutes, return_counts=True)
    usual = wish.session_minutes or int(lengths[np.argmax(counts)])
    settled = wish.model_copy(update={"hours": hours, "length": wish.length or minutes.length, "session_minutes": usual})
    chosen = cast(BarsSleeve, shaped(sleeve, settled))
    bars, panel = chosen.intraday(minutes)
    return Intraday(manifest, chosen, config.model_copy(update={"minutes": settled}), minutes, bars, panel)


def side_by_side(
    config: RecipeConfig, data: Path, symbols: tuple[str, ...], span: tuple[date | None, date | None], version: int | None
) -> tuple[Manifest, MinuteBars, DecisionBars]:
    """Return bars of several symbols, all of the dataset where none is named, and the minutes of the longest sessions.

    Raises as `load_minutes` does.
    """
    manifest, wish = read_manifest(data, version), cast(MinutesConfig, config.minutes)
    hours, names = wish.hours or default_hours(manifest.calendar.name), symbols or _symbols(data, manifest)
    each = [load_minutes(data, manifest, name, hours, *span) for name in sorted(set(names or ("",)))]
    return manifest, max(each, key=lambda one: int(one.minutes.max())), on_one_axis(each, wish.timeframe)


def on_one_axis(each: Sequence[MinuteBars], timeframe: int) -> DecisionBars:
    """Return the bars of several symbols on one axis of ENDs, the nights taken out: a gap at an open is no move within the day.

    A symbol has no bars in a session that it lacks.
    """
    parts = []
    for one in each:
        unit = np.ones((len(one.sessions), -(-one.width // max(1, timeframe // one.length))))
        parts.append(decision_bars(replace(one, overnight=np.zeros(len(one.sessions))), timeframe, unit))
    ends = np.unique(np.concatenate([part.sessions for part in parts]))
    places = [np.searchsorted(ends, part.sessions) for part in parts]
    days = np.empty(len(ends), dtype="datetime64[D]")
    for one, part, rows in zip(each, parts, places, strict=True):
        days[rows] = one.sessions[part.session[:, 0]]

    def joined(field: str) -> Floats:
        panel = np.full((len(ends), len(parts)), np.nan)
        for column, (part, rows) in enumerate(zip(parts, places, strict=True)):
            panel[rows, column] = getattr(part, field)[:, 0]
        return panel

    fields: dict[str, Any] = {field: joined(field) for field in (*PRICES, "volume", *GROWTHS, "sigma")}
    session = np.repeat(np.unique(days, return_inverse=True)[1][:, None], len(parts), axis=1)
    left = np.nan_to_num(joined("left"), nan=-1.0).astype(np.int64)
    names, has = tuple(one.symbol for one in each), np.isfinite(fields["close"])
    return DecisionBars(ends, names, **fields, eligible=has, session=session, left=left)


def shaped(sleeve: Sleeve, wish: MinutesConfig) -> Sleeve:
    """Return the sleeve as a recipe wants it; what the data say is as the sleeve has it where the recipe leaves it open."""
    if not isinstance(sleeve, BarsSleeve):  # features of daily bars, of these bars instead
        return replace(sleeve, table=tuple(replace(row, units=f"{row.units}; {wish.timeframe} min") for row in sleeve.table), optional=())
    return replace(
        sleeve,
        timeframe=wish.timeframe,
        strategy=wish.strategy,
        hours=wish.hours or sleeve.hours,
        indicators=tuple(BY_NAME) if wish.features else wish.indicators,
        length=wish.length or sleeve.length,
        session_minutes=wish.session_minutes or sleeve.session_minutes,
    )


def split_of(config: RecipeConfig, minutes: MinuteBars, t0: Rows) -> CpcvConfig:
    """Return what is sealed and kept apart, in bars: the share of the labelled decisions, and the rule of the embargo."""
    wish = cast(MinutesConfig, config.minutes)
    if not wish.test_share:
        return config.cpcv
    per_session = -(-int(minutes.minutes.max()) // wish.timeframe)
    is_whole_day = int(np.median(minutes.minutes)) >= WHOLE_DAY
    embargo = EMBARGO_BARS if is_whole_day else min(EMBARGO_BARS, EMBARGO_SESSIONS * per_session)
    return config.cpcv.model_copy(update={"holdout_sessions": round(wish.test_share * len(np.unique(t0))), "embargo_sessions": embargo})


def evenings(bars: DecisionBars, panel: FeaturePanel, scores: Floats) -> tuple[FeaturePanel, Floats]:
    """Return features and scores as drift compares them: a session a row, its decisions next to one another.

    `panel` and `scores` are a run of the rows of `bars`.
    """
    start = int(np.searchsorted(bars.sessions, panel.sessions[0]))
    session = bars.session[start : start + len(panel.sessions), 0]
    row = session - session[0]
    first = np.flatnonzero(np.diff(row, prepend=-1))
    place = np.arange(len(row)) - np.repeat(first, np.diff(np.append(first, len(row))))
    shape = (int(row[-1]) + 1, int(place.max()) + 1, len(panel.symbols))
    values = np.full((*shape, len(panel.names)), np.nan, dtype=np.float32)
    eligible, dense = np.zeros(shape, dtype=bool), np.full(shape, np.nan)
    values[row, place], eligible[row, place], dense[row, place] = panel.values, panel.eligible, scores
    days = panel.sessions[np.append(first[1:], len(row)) - 1].astype("datetime64[D]")
    flat = (shape[0], shape[1] * shape[2])
    names = tuple(f"{number:04d}" for number in range(flat[1]))
    return FeaturePanel(days, names, panel.names, values.reshape(*flat, -1), eligible.reshape(flat)), dense.reshape(flat)


def _one(data: Path, manifest: Manifest, symbols: tuple[str, ...]) -> str:
    if len(symbols) == 1:
        return symbols[0]
    known = _symbols(data, manifest)
    if not symbols and len(known) == 1:
        return str(known[0])
    raise FixInput(f"{len(symbols or known)} symbols may be meant", where=str(data), fix="Name one: --symbol X")


def _symbols(data: Path, manifest: Manifest) -> tuple[str, ...]:
    records = manifest.of_role(FileRole.MINUTE_SESSIONS)
    return tuple(sorted(set(read_table(data, records[0], ["symbol"]).column("symbol").to_pylist()))) if records else ()
