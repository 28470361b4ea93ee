"""The universe of a download: at each month's last session, the common stocks that were traded most. Pure.

Invariants
----------
1. MemberStretch from a session on depends on bars of earlier sessions only.
2. Names that have ended since are judged at each date like all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from signals.config import Config
from signals.market.actions import Action, ActionKind
from signals.market.bars import days_array
from signals.market.securities import identities
from signals.market.sessions import Calendar
from trainer.curation.download.kinds import AssetKind, SymbolHistory


class UniverseRule(Config):
    """The published rule.

    Attributes
    ----------
    size : int
        Names.
    min_price : float
        USD, as traded at the close of the month's last session; more than this.
    min_sessions : int
        Sessions with a bar, that one included.
    median_sessions : int
        Of the median of dollar volume; a session without a bar counts as zero.
    screen : float
        Names whose daily bars are asked for are those that any month ranks among `size` times this.
    """

    size: int = Field(default=500, ge=1)
    min_price: float = Field(default=5.0, ge=0)
    min_sessions: int = Field(default=252, ge=1)
    median_sessions: int = Field(default=60, ge=1)
    screen: float = Field(default=1.5, ge=1)

    def sentence(self) -> str:
        """In words, for reports."""
        return (
            f"monthly, the {self.size} common stocks with the highest median dollar volume of {self.median_sessions} sessions, "
            f"over {self.min_price:g} USD as traded, with {self.min_sessions} sessions or more"
        )


@dataclass(frozen=True)
class MemberStretch:
    """One stretch of a symbol's membership: from `start`, before `end`; None for one that goes on."""

    symbol: str
    start: date
    end: date | None


@dataclass(frozen=True)
class Selection:
    """Members by date.

    Attributes
    ----------
    members : tuple of MemberStretch
        By symbol and start.
    chosen : mapping of date to int
        Members by the session at whose close they were chosen.
    """

    members: tuple[MemberStretch, ...]
    chosen: dict[date, int]


def screened(months: pd.DataFrame, rule: UniverseRule) -> pd.Series:
    """Return the best monthly rank by dollar volume of each symbol, 1 the most traded, of those near enough to the top."""
    dollars = (months["close"] * months["volume"]).where(months["volume"] > 0)
    rank = dollars.groupby(months["date"]).rank(ascending=False, method="first")
    best = rank.groupby(months["symbol"]).min()
    return best[best <= rule.size * rule.screen].astype(int)


def month_ends(calendar: Calendar, first: date, last: date) -> tuple[date, ...]:
    """Return the last session of each month that ends in [first, last]."""
    days = [day for day in calendar.days if day >= first]
    return tuple(day for day, after in pairwise(days) if day <= last and day.month != after.month)


def select(frame: pd.DataFrame, actions: Sequence[Action], names: SymbolHistory, calendar: Calendar, rule: UniverseRule) -> Selection:
    """Apply the rule at every month's last session.

    Parameters
    ----------
    frame : DataFrame
        Raw daily bars: date, symbol, close, volume; one row a (symbol, date).
    actions : sequence of Action
        Of which changes of symbols join histories, and delistings end memberships.
    calendar : Calendar
        Beyond the last bar, so that the session after it is known.
    """
    days = days_array(tuple(day for day in calendar.days if frame["date"].min().date() <= day <= frame["date"].max().date()))
    symbols, dates = frame["symbol"].to_numpy(dtype=object), frame["date"].to_numpy().astype("datetime64[D]")
    first_days = {str(s): day.date() for s, day in frame.groupby("symbol")["date"].min().items()}
    who, columns = np.unique(identities(actions, first_days).of_rows(symbols, dates).astype(str), return_inverse=True)
    rows = np.searchsorted(days, dates)
    table = _Table(days, len(who), rows, columns, frame)
    at: dict[tuple[int, int], str] = dict(zip(zip(rows.tolist(), columns.tolist(), strict=True), symbols.tolist(), strict=True))
    ends = [int(np.searchsorted(days, np.datetime64(day))) for day in month_ends(calendar, days[0].item(), days[-1].item())]
    found: list[MemberStretch] = []
    chosen: dict[date, int] = {}
    for row, following in zip(ends, [*ends[1:], None], strict=True):
        day = days[row].item()
        start, end = calendar.next(day), None if following is None else calendar.next(days[following].item())
        kinds = {column: names.kind(at[row, column], day) for column in table.candidates(row, rule)}
        order = [column for column in table.ranked(row, rule) if kinds.get(column) is AssetKind.STOCK][: rule.size]
        chosen[day] = len(order)
        for column in order:
            found += _stretches(at[row, column], start, end, actions)
    return Selection(_joined(found), {day: count for day, count in chosen.items() if count})


class _Table:
    """Closes and dollar volumes, shape (T, N)."""

    def __init__(self, days: NDArray[np.datetime64], count: int, rows: NDArray[np.int64], columns: NDArray[np.int64], frame: pd.DataFrame):
        shape = (len(days), count)
        self.close, self.dollars = np.full(shape, np.nan), np.zeros(shape)
        close, volume = frame["close"].to_numpy(dtype=np.float64), frame["volume"].to_numpy(dtype=np.float64)
        self.close[rows, columns] = close
        self.dollars[rows, columns] = np.nan_to_num(close * volume)
        self.history = np.cumsum(np.isfinite(self.close), axis=0)

    def candidates(self, row: int, rule: UniverseRule) -> list[int]:
        """Columns that are dear and old enough, and trade."""
        fits = (self.close[row] > rule.min_price) & (self.history[row] >= rule.min_sessions) & (self.dollars[row] > 0)
        return [int(column) for column in np.flatnonzero(fits)]

    def ranked(self, row: int, rule: UniverseRule) -> list[int]:
        """Those columns, the most traded first."""
        fits = self.candidates(row, rule)
        median = np.median(self.dollars[max(0, row + 1 - rule.median_sessions) : row + 1, fits], axis=0)
        return [fits[place] for place in np.argsort(-median, kind="stable")]


def _stretches(symbol: str, start: date, end: date | None, actions: Sequence[Action]) -> list[MemberStretch]:
    """Return one security's membership by the symbols that it bears in [start, end), until it is delisted."""
    found = []
    events = [a for a in actions if a.effective >= start and (end is None or a.effective < end)]
    for action in sorted(events, key=lambda action: action.effective):
        if action.symbol != symbol or action.kind not in (ActionKind.SYMBOL_CHANGE, ActionKind.DELISTING):
            continue
        found.append(MemberStretch(symbol, start, action.effective))
        if action.kind is ActionKind.DELISTING:
            return [one for one in found if one.end is None or one.end > one.start]
        symbol, start = str(action.new_symbol), action.effective
    found.append(MemberStretch(symbol, start, end))
    return [one for one in found if one.end is None or one.end > one.start]


def _joined(found: list[MemberStretch]) -> tuple[MemberStretch, ...]:
    """Join stretches of one symbol of which one begins where the other ends."""
    result: list[MemberStretch] = []
    for one in sorted(found, key=lambda one: (one.symbol, one.start)):
        if result and result[-1].symbol == one.symbol and result[-1].end == one.start:
            result[-1] = MemberStretch(one.symbol, result[-1].start, one.end)
        else:
            result.append(one)
    return tuple(result)
