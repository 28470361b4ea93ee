"""Column definitions of a grid: text and tone of a cell, and which columns fit a width.

A tone never carries a meaning by itself: the words, signs and symbols of a cell say the same without colour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from appliance.views.view import Cell, ViewRow
from signals.text.wording import clean

GAP = 2
GUTTER = 2


class Tone(StrEnum):
    """How a cell is coloured; the stylesheet knows the colours."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    DIM = "dim"


def as_text(value: Cell) -> str:
    """A cell as it is recorded; a dash for what is missing."""
    if value is None or value == "":
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def plain(_value: Cell) -> Tone:
    """No tone."""
    return Tone.PLAIN


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    key : str
        Of the cell in the row.
    width : int
        Characters; the least, for the column that takes what is left.
    right : bool
        Aligned to the right.
    rank : int
        The columns of the highest rank give way first when the width is too small; rank 0 never does.
    fills : bool
        Takes the width that is left.
    text, tone : callable
        Text and tone of the cell.
    """

    key: str
    title: str
    width: int
    right: bool = False
    rank: int = 0
    fills: bool = False
    text: Callable[[Cell], str] = as_text
    tone: Callable[[Cell], Tone] = plain

    def cell(self, row: ViewRow) -> Cell:
        """The row's value in this column."""
        value: Cell = row.get(self.key)
        return value


def fit(columns: Sequence[Column], width: int) -> tuple[tuple[Column, int], ...]:
    """Return the columns that fit `width` characters with the width of each; order is kept."""
    kept = list(columns)
    while len(kept) > 1 and _total(kept) > width:
        weakest = max(column.rank for column in kept)
        if weakest == 0:
            break
        del kept[max(i for i, column in enumerate(kept) if column.rank == weakest)]
    spare = max(0, width - _total(kept))
    return tuple((column, column.width + (spare if column.fills else 0)) for column in kept)


def aligned(text: str, column: Column, width: int) -> str:
    """The text cleaned, and cut or padded to exactly `width` characters."""
    text = clean(text)
    if len(text) > width:
        text = text[: max(0, width - 1)] + "…"
    return text.rjust(width) if column.right else text.ljust(width)


def _total(columns: Sequence[Column]) -> int:
    return GUTTER + sum(column.width for column in columns) + GAP * (len(columns) - 1)
