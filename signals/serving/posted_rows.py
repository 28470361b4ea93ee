"""Rows of features or bars that are given to be scored: as JSON, or as a Parquet file.

rows: symbol, asof, one number a feature of the bundle (null where undefined)
bars: symbol, session, open, high, low, close, volume: restated for splits and dividends, contiguous sessions
"""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from signals.errors import BadBars, FixInput
from signals.market.bars import PRICE_FIELDS, Bars, Floats, days_array
from signals.market.sessions import Calendar
from signals.serving.outlook import FeatureRows, Outlook, document
from signals.text import strict_json
from signals.text.wording import clean

BAR_FIELDS = (*PRICE_FIELDS, "volume")
MOST_ROWS = 20_000
MOST_SYMBOL = 40
SPARSE, FEW_CELLS = 10, 100_000  # cells of a panel by bar that was given, and how many are always allowed
NUMBER = {"type": ["number", "null"]}
SYMBOL = {"type": "string", "minLength": 1, "maxLength": MOST_SYMBOL, "pattern": r"^[\x20-\x7e]+$"}
DAY = {"type": "string", "format": "date"}
ROW = {
    "type": "object",
    "required": ["symbol", "asof", "features"],
    "properties": {"symbol": SYMBOL, "asof": DAY, "features": {"type": "object", "additionalProperties": NUMBER}},
    "additionalProperties": False,
}
BAR = {
    "type": "object",
    "required": ["symbol", "session", *BAR_FIELDS],
    "properties": {"symbol": SYMBOL, "session": DAY, **{name: {"type": "number", "minimum": 0} for name in BAR_FIELDS}},
    "additionalProperties": False,
}
BODY = {
    "oneOf": [
        {
            "type": "object",
            "required": [name],
            "properties": {name: {"type": "array", "items": row, "minItems": 1, "maxItems": MOST_ROWS * factor}},
            "additionalProperties": False,
        }
        for name, row, factor in (("rows", ROW, 1), ("bars", BAR, 20))
    ]
}
OUTLOOK = {
    "type": "object",
    "required": ["signal", "probabilities", "confidence", "expected_return", "symbol", "asof", "bundle"],
    "properties": {
        "signal": {"enum": [-1, 0, 1, None]},
        "probabilities": {"type": ["array", "null"], "items": {"type": "number", "minimum": 0, "maximum": 1}},
        "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "expected_return": {"type": ["number", "null"]},
        "symbol": {"type": "string"},
        "asof": DAY,
        "bundle": {"type": "string"},
    },
    "additionalProperties": False,
}


def from_json(content: bytes, features: Sequence[str], calendar: Calendar) -> FeatureRows | Bars:
    """Read a body.

    Parameters
    ----------
    features : sequence of str
        Names that a row gives, in the bundle's order.
    calendar : Calendar
        Of the sessions that bars are of.

    Raises
    ------
    BadJson
        It is no JSON.
    FixInput
        It is of another shape, a feature is missing or unknown, or a bar is none.
    """
    found = strict_json.loads(content, decimals=float)
    if not isinstance(found, dict) or len(found) != 1 or next(iter(found)) not in ("rows", "bars"):
        raise FixInput("the body is neither rows nor bars", fix='Send {"rows": [...]} or {"bars": [...]}')
    ((kind, given),) = found.items()
    most = MOST_ROWS * (1 if kind == "rows" else 20)
    if not isinstance(given, list) or not 1 <= len(given) <= most:
        raise FixInput(f"{kind} is no list of 1 to {most}", fix="Send less at a time, or score a file")
    day_key, numbers = ("asof", ("features",)) if kind == "rows" else ("session", BAR_FIELDS)
    rows = [_checked(row, kind, place, ("symbol", day_key, *numbers)) for place, row in enumerate(given)]
    symbols = [read_symbol(row["symbol"], kind, place) for place, row in enumerate(rows)]
    days = [read_day(row[day_key], kind, place) for place, row in enumerate(rows)]
    if kind == "bars":
        fields = {name: np.array([_number(row[name], kind, place, name) for place, row in enumerate(rows)]) for name in BAR_FIELDS}
        return bars_of(symbols, days, fields, calendar)
    return FeatureRows(tuple(symbols), tuple(days), tuple(features), read_numbers([row["features"] for row in rows], features))


def read_numbers(rows: Sequence[object], features: Sequence[str]) -> NDArray[np.float32]:
    """Return rows of features, float32 (n, F), NaN for null and infinite beyond float32; raise `FixInput` for a wrong name or number."""
    named = [_checked(row, "rows", place, features) for place, row in enumerate(rows)]
    cells = [[_number(row[name], "rows", place, name) for name in features] for place, row in enumerate(named)]
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused by name
        return np.array(cells, dtype=np.float64).astype(np.float32).reshape(len(rows), len(features))


def _checked(row: object, kind: str, place: int, keys: Sequence[str]) -> Mapping[str, object]:
    if not isinstance(row, dict):
        raise FixInput("a row is no object", where=f"{kind}[{place}]", fix=f"Give {', '.join(keys[:4])}, ...")
    if wrong := [name for name in keys if name not in row] or [name for name in row if name not in set(keys)]:
        state = "is unknown" if wrong[0] in row else "is missing"
        raise FixInput(f"{clean(wrong[0])[:60]!r} {state}", where=f"{kind}[{place}]", fix="Give exactly what the bundle or a bar has")
    return row


def read_symbol(value: object, kind: str, place: int) -> str:
    """Return a symbol; raise `FixInput` where it is none."""
    if isinstance(value, str) and 0 < len(value) <= MOST_SYMBOL and value.isascii() and value.isprintable():
        return value
    raise FixInput("no symbol", where=f"{kind}[{place}]", fix=f"Give up to {MOST_SYMBOL} printable ASCII characters")


def read_day(value: object, kind: str, place: int) -> date:
    """Return a date; raise `FixInput` where it is none."""
    try:
        if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise FixInput("no date", where=f"{kind}[{place}]", fix="Write it as YYYY-MM-DD")


def _number(value: object, kind: str, place: int, name: str) -> float:
    if value is None and kind == "rows":
        return math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise FixInput(f"{clean(name)[:60]} is no number", where=f"{kind}[{place}]", fix="Give a number")


def bars_of(symbols: Sequence[str], days: Sequence[date], fields: Mapping[str, Floats], calendar: Calendar) -> Bars:
    """Return bars as a panel whose every name with a bar is eligible; returns are those of the closes that were given.

    Raises
    ------
    NotASession
        A day is none of the calendar.
    BadBars
        A bar comes twice, its prices contradict one another, or there are few bars for so many names and sessions.
    """
    for day in sorted(set(days)):
        calendar.index(day)
    names, sessions = sorted(set(symbols)), list(calendar.between(min(days), max(days)))
    column, row = {name: c for c, name in enumerate(names)}, {day: r for r, day in enumerate(sessions)}
    if (size := len(names) * len(sessions)) > max(SPARSE * len(symbols), FEW_CELLS):
        what = f"{len(symbols)} bars of {len(names)} names over {len(sessions)} sessions leave the panel nearly empty"
        raise BadBars(what, where=f"{size} cells", fix="Give the bars of the same sessions for every name")
    cells = np.array([row[day] for day in days]), np.array([column[symbol] for symbol in symbols])
    flat = cells[0] * len(names) + cells[1]
    first = np.unique(flat, return_index=True)[1]
    bad = np.setdiff1d(np.arange(len(flat)), first)
    if bad.size:
        raise BadBars("a bar comes twice", where=f"{symbols[bad[0]]}, {days[bad[0]]}", fix="Give one bar a symbol and session")
    low, high = fields["low"], fields["high"]
    sound = np.isfinite(np.stack([fields[name] for name in BAR_FIELDS])).all(axis=0) & (low > 0) & (fields["volume"] >= 0)
    sound &= (low <= np.minimum(fields["open"], fields["close"])) & (high >= np.maximum(fields["open"], fields["close"]))
    if not sound.all():
        at = int(np.argmin(sound))
        raise BadBars("prices of a bar contradict one another", where=f"{symbols[at]}, {days[at]}", fix="0 < low <= open, close <= high")
    panels = {name: np.full((len(sessions), len(names)), np.nan) for name in BAR_FIELDS}
    for name, panel in panels.items():
        panel[cells] = fields[name]
    before = np.vstack([np.full((1, len(names)), np.nan), panels["close"][:-1]])
    return Bars(
        days_array(sessions),
        tuple(names),
        open=panels["open"],
        high=panels["high"],
        low=panels["low"],
        close=panels["close"],
        volume=panels["volume"],
        total_return=panels["close"] / before - 1.0,
        overnight_return=panels["open"] / before - 1.0,
        eligible=np.isfinite(panels["close"]),
    )


def from_parquet(path: Path, features: Sequence[str], calendar: Calendar) -> FeatureRows | Bars:
    """Read a Parquet file of rows, or of bars where it has a column `close`; raises as `from_json`, and OSError."""
    import pyarrow as pa  # 100 MB that a server does without
    import pyarrow.compute as pc

    from signals.storage.arrow import codes, days, floats, read_parquet

    try:
        table = read_parquet(path.read_bytes())
        is_bars = "close" in table.column_names
        day, wanted = ("session", BAR_FIELDS) if is_bars else ("asof", tuple(features))
        if lacking := [name for name in ("symbol", day, *wanted) if name not in table.column_names]:
            raise FixInput(f"the column {lacking[0]!r} is missing", where=str(path), fix="Give a row's symbol, day and every number")
        numbers, words = codes(pc.cast(table.column("symbol"), pa.string()))
        sessions = days(pc.cast(table.column(day), pa.date32())).astype(object).tolist()
        fields = {name: floats(pc.cast(table.column(name), pa.float64())) for name in wanted}
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise FixInput(
            "this is no Parquet file of rows or bars", where=f"{path}: {clean(error)[:120]}", fix="See docs/serving.md"
        ) from None
    symbols = [words[number] for number in numbers.tolist()]
    if not symbols:
        raise FixInput("there is no row to score", where=str(path), fix="Give at least one")
    if is_bars:
        return bars_of(symbols, sessions, fields, calendar)
    with np.errstate(over="ignore"):
        values = np.stack([fields[name] for name in features], axis=1).astype(np.float32)
    return FeatureRows(tuple(symbols), tuple(sessions), tuple(features), values)


def to_parquet(found: Sequence[Outlook]) -> bytes:
    """Return the outlooks as a Parquet file with a column a key of the contract."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "signal": pa.int8(),
        "probabilities": pa.list_(pa.float64()),
        "confidence": pa.float64(),
        "expected_return": pa.float64(),
        "symbol": pa.string(),
        "asof": pa.string(),
        "bundle": pa.string(),
    }
    rows = [document(one) for one in found]
    schema = pa.schema(list(kinds.items()))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in kinds}, schema=schema), sink)
    return bytes(sink.getvalue())
