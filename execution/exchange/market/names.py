"""Symbols of each security by session, across renamings."""

from dataclasses import dataclass
from datetime import date

from signals.market.actions import Action, ActionKind


@dataclass(frozen=True)
class Tenure:
    """One column bore `symbol` in the half-open interval [first, until)."""

    column: int
    symbol: str
    first: date
    until: date


def tenures(symbols: tuple[str, ...], first_bars: tuple[date | None, ...], actions: tuple[Action, ...]) -> list[Tenure]:
    """Trace every column's names back from the one it bears at the panel's end.

    Parameters
    ----------
    symbols : tuple of str
        The columns' names at the panel's end.
    first_bars : tuple of date or None
        Session of each column's first bar; a column without any was never listed.
    actions : tuple of Action
        Of any kind; symbol changes are read, delistings end a tenure on their effective session.
    """
    changes = [action for action in actions if action.kind is ActionKind.SYMBOL_CHANGE]
    ends = {action.symbol: action.effective for action in actions if action.kind is ActionKind.DELISTING}
    rows: list[Tenure] = []
    for column, (name, first) in enumerate(zip(symbols, first_bars, strict=True)):
        if first is None:
            continue
        until = ends.get(name, date.max)
        if until <= first:  # an older holder of the same name was delisted
            until = date.max
        while True:
            earlier = [c for c in changes if c.new_symbol == name and first < c.effective < until]
            if not earlier:
                break
            change = max(earlier, key=lambda c: c.effective)
            rows.append(Tenure(column, name, change.effective, until))
            name, until = change.symbol, change.effective
        rows.append(Tenure(column, name, first, until))
    return rows


def directory(rows: list[Tenure], day: date) -> dict[str, int]:
    """Symbol -> column on `day`; of two claims the younger listing wins, as symbols are reused."""
    held = sorted((row for row in rows if row.first <= day < row.until), key=lambda row: row.first)
    return {row.symbol: row.column for row in held}
