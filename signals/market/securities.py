"""Security identities: joins histories across symbol changes and separates reused symbols.

Entry point: `Identities`, built by `identities`.

Invariants
----------
1. A security's id is the first symbol that the records show it under; a later change never renames it.
2. After a symbol was given up (renamed away or delisted), rows under it are a new security `<symbol>@<that day>`.
3. The identity of a row depends on actions effective on or before its day only.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from signals.market.actions import Action, ActionKind
from signals.market.bars import Days


@dataclass(frozen=True)
class Identities:
    """Timelines of the symbols that changed hands: (first day, security id), oldest first."""

    timelines: Mapping[str, tuple[tuple[date, str], ...]]

    def at(self, symbol: str, day: date) -> str:
        """Security that `symbol` means on `day`."""
        timeline = self.timelines.get(symbol, ())
        position = bisect_right([start for start, _ in timeline], day)
        return timeline[position - 1][1] if position else symbol

    def of_rows(self, symbols: NDArray[np.object_], days: Days) -> NDArray[np.object_]:
        """Security id of each row, shape (R,)."""
        result = symbols.copy()
        for symbol, timeline in self.timelines.items():
            rows = np.flatnonzero(symbols == symbol)
            starts = np.array([start for start, _ in timeline], dtype="datetime64[D]")
            names = np.array([symbol, *(name for _, name in timeline)], dtype=object)
            result[rows] = names[np.searchsorted(starts, days[rows], side="right")]
        return result


def identities(actions: Sequence[Action], first_days: Mapping[str, date]) -> Identities:
    """Follow symbol changes and delistings through time.

    A change whose old symbol has no row before it was already applied by the vendor to the whole history: it is
    left alone, so that the renamed history is not cut in two.

    Parameters
    ----------
    first_days : mapping
        First day on which each symbol has a row.
    """
    timelines: dict[str, list[tuple[date, str]]] = {}
    current: dict[str, str] = {}
    relevant = [a for a in actions if _applies(a, first_days)]
    relevant.sort(key=lambda action: (action.effective, action.symbol))
    for day, group in groupby(relevant, key=lambda action: action.effective):
        batch = list(group)
        # All changes of a day happen at once: A -> B and B -> C swap names without meeting.
        before = {action.symbol: current.get(action.symbol, action.symbol) for action in batch}
        after = {action.symbol: f"{action.symbol}@{day}" for action in batch}
        after |= {str(a.new_symbol): before[a.symbol] for a in batch if a.kind is ActionKind.SYMBOL_CHANGE}
        for symbol, security in after.items():
            timelines.setdefault(symbol, []).append((day, security))
        current |= after
    return Identities({symbol: tuple(timeline) for symbol, timeline in timelines.items()})


def _applies(action: Action, first_days: Mapping[str, date]) -> bool:
    if action.kind not in (ActionKind.SYMBOL_CHANGE, ActionKind.DELISTING):
        return False
    known_since = first_days.get(action.symbol)
    return known_since is not None and known_since < action.effective
