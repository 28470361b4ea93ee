"""Filters and sorts the rows of a grid, and keeps each screen's sort in a file of the user; one that cannot be read is ignored."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.tui.columns import Column
from appliance.tui.screens import BY_NAME
from appliance.views.view import Cell, ViewRow
from signals.files import write_atomic
from signals.text import strict_json

MOST_BYTES = 10_000


@dataclass(frozen=True)
class Arrangement:
    """The filter and sort order of a table.

    Attributes
    ----------
    words : str
        Every word must occur in a row, in any cell, whatever its case; `-word` must not.
    sort : str
        Key of the column to sort by; empty keeps the order of the query.
    """

    words: str = ""
    sort: str = ""
    descending: bool = False


def arrange(rows: Sequence[ViewRow], columns: Sequence[Column], how: Arrangement) -> tuple[ViewRow, ...]:
    """Return the rows that match, sorted as asked; rows without a value in the sort column come last."""
    found = [row for row in rows if matches(row, columns, how.words)]
    if not how.sort:
        return tuple(found)
    known = [row for row in found if row.get(how.sort) not in (None, "")]
    unknown = [row for row in found if row.get(how.sort) in (None, "")]
    known.sort(key=lambda row: sort_key(row.get(how.sort)), reverse=how.descending)
    return (*known, *unknown)


def matches(row: ViewRow, columns: Sequence[Column], words: str) -> bool:
    """Whether every word of the filter holds for the row."""
    text = " ".join(column.text(column.cell(row)) for column in columns).casefold()
    return all((word[1:] not in text) if word.startswith("-") and len(word) > 1 else (word in text) for word in words.casefold().split())


def sort_key(value: Cell) -> tuple[int, float, str]:
    """Numbers by size, however they are written (`+1.25%`, `1,000.00`), then text by letters."""
    if isinstance(value, (int, float)):
        return (0, float(value), "")
    text = str(value)
    try:
        return (0, float(text.replace(",", "").removesuffix("%")), "")
    except ValueError:
        return (1, 0.0, text.casefold())


def find_symbol(rows: Sequence[ViewRow], text: str) -> int | None:
    """Index of the row of a symbol, else of the first symbol that begins with `text`; None when there is none."""
    wanted = text.strip().upper()
    symbols = [str(row.get("symbol", "")) for row in rows]
    if wanted in symbols:
        return symbols.index(wanted)
    return next((i for i, symbol in enumerate(symbols) if wanted and symbol.startswith(wanted)), None)


def read_sorts(path: Path) -> dict[str, Arrangement]:
    """Return the sort of each screen by its name; only of screens and columns that there are."""
    try:
        content = path.read_bytes()
        rows = strict_json.loads(content) if len(content) <= MOST_BYTES else {}
    except (OSError, ValueError):
        return {}
    found = {}
    for name, row in rows.items() if isinstance(rows, dict) else ():
        match row:
            case [str(key), bool(descending)] if name in BY_NAME and key in {column.key for column in BY_NAME[name].columns}:
                found[name] = Arrangement("", key, descending)
    return found


def write_sorts(path: Path, sorts: Mapping[str, Arrangement]) -> None:
    """Keep the sort of each screen that has one; raise `OSError` where the file cannot be written."""
    rows = {name: [how.sort, how.descending] for name, how in sorts.items() if how.sort}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(rows).encode())
