"""Mortality of the names of a panel: delistings, their rate per year, and names that ended without a recorded price."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.market.actions import Action
from signals.market.bars import Bars, departures

SILENT_SESSIONS = 5  # a name without a bar in so many last sessions of the panel has ended
SESSIONS_PER_YEAR = 252


@dataclass(frozen=True)
class Year:
    """One calendar year of the universe: mean number of names, how many ended, and how many without a price."""

    year: int
    names: float
    ends: int
    unpriced: int


def unpriced_ends(bars: Bars, actions: Iterable[Action]) -> NDArray[np.int64]:
    """Last row of each column that ended inside the panel with no delisting recorded; -1 elsewhere. Shape (N,).

    An end that was inferred, of a history that the vendor joined to another one's, has no price of its own.
    """
    ends = _ends(bars)
    ends[[gone.column for gone in departures(bars, (action for action in actions if not action.inferred))]] = -1
    return ends


@dataclass(frozen=True)
class YearlyEnds:
    """The yearly table of ends of eligible names, their rate a year (None of an empty panel), and those without a price."""

    years: tuple[Year, ...] = ()
    yearly_end_rate: float | None = None
    unpriced_ends: int = 0


def document(bars: Bars, actions: tuple[Action, ...]) -> YearlyEnds:
    """Return the yearly table of ends of eligible names and their rate a year, for evidence."""
    ends, unpriced = _ends(bars), unpriced_ends(bars, actions)
    was = np.array(
        [ends[c] >= 0 and bool(bars.eligible[max(0, ends[c] - SILENT_SESSIONS) : ends[c] + 1, c].any()) for c in range(len(bars.symbols))],
        dtype=bool,
    )
    year = bars.sessions.astype("datetime64[Y]").astype(int) + 1970
    counts = bars.eligible.sum(axis=1)
    years = tuple(
        Year(
            int(y),
            float(counts[year == y].mean()),
            int(np.count_nonzero(was & (ends >= 0) & (year[ends] == y))),
            int(np.count_nonzero(was & (unpriced >= 0) & (year[unpriced] == y))),
        )
        for y in np.unique(year[counts > 0])
    )
    name_years = float(counts.sum()) / SESSIONS_PER_YEAR
    total = sum(row.ends for row in years)
    return YearlyEnds(years, total / name_years if name_years else None, sum(row.unpriced for row in years))


def _ends(bars: Bars) -> NDArray[np.int64]:
    traded = np.isfinite(bars.close)
    last = np.where(traded.any(axis=0), len(traded) - 1 - traded[::-1].argmax(axis=0), -1)
    return np.where(last < len(traded) - SILENT_SESSIONS, last, -1).astype(np.int64)
