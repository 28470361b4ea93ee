"""Curated bars as stored rows, and cutting dense panels from them.

A panel's columns are securities under the names that they bore at the panel's end, so that panels which end at
different sessions differ in names and order. Whoever walks through history session by session reads the rows once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from signals.market.bars import CLASSIFIED, GAP_FIELDS, Bars, Days, Flags, Floats, column_names, days_array
from signals.market.manifest import PriceBasis
from signals.market.sessions import Calendar

if TYPE_CHECKING:
    import pyarrow as pa

FIELDS = ("open", "high", "low", "close", "volume", "total_return", "overnight_return", *GAP_FIELDS)


@dataclass(frozen=True, eq=False)
class PanelRows:
    """Rows of bars of one range of sessions, and the securities that they are of.

    Attributes
    ----------
    days : datetime64[D], shape (T,)
    symbols, sectors : list of str, length N
        Of each security at its newest row, in any order.
    newest : int, shape (N,)
        Session of that row, as its position in `days`.
    session, security : int, shape (R,)
        Of each row, as positions in `days` and in `symbols`.
    eligible, undecided : bool, shape (R,)
    fields : mapping of name to float64, shape (R,)
        Every one of `FIELDS`, and of `CLASSIFIED` what the dataset has.
    """

    days: Days
    symbols: list[str]
    sectors: list[str]
    newest: NDArray[np.int64]
    session: NDArray[np.int64]
    security: NDArray[np.int64]
    eligible: Flags
    undecided: Flags
    fields: Mapping[str, Floats]

    def dense(self, *, has_dollars: bool) -> Bars:
        """Return the panel; what has no row is NaN, neither eligible nor undecided."""
        names = column_names(self.symbols, self.newest, self.days)
        order = sorted(range(len(names)), key=names.__getitem__)
        place = np.empty(len(names), dtype=np.int64)
        place[order] = np.arange(len(names))
        cells = self.session, place[self.security]

        def placed(values: NDArray[Any], absent: object) -> NDArray[Any]:
            panel = np.full((len(self.days), len(names)), absent)
            panel[cells] = values
            return panel

        return Bars(
            sessions=self.days,
            symbols=tuple(names[i] for i in order),
            eligible=placed(self.eligible, absent=False),
            sectors=tuple(self.sectors[i] for i in order),
            has_dollars=has_dollars,
            undecided=placed(self.undecided, absent=False),
            joined={name: placed(self.fields[name], absent=np.nan) for name in CLASSIFIED if name in self.fields},
            **{name: placed(self.fields[name], absent=np.nan) for name in FIELDS},
        )


class BarRows:
    """Rows of bars, sorted by session.

    Parameters
    ----------
    table : Table
        With the columns of `docs/curated-data.md`; those of a dataset from before returns across gaps may lack them.
    red : sequence of date
        Sessions whose rows are not shown in a panel.
    """

    def __init__(self, table: pa.Table, calendar: Calendar, red: Sequence[date], basis: PriceBasis) -> None:
        # here rather than above: Arrow is 100 MB, and a device that scores has its rows from its own store
        from signals.storage.arrow import codes, days, flags, floats

        def coded(name: str) -> tuple[NDArray[np.int64], list[str]]:
            numbers, words = codes(table.column(name))
            return numbers[order], words

        self._calendar, self._red, self._basis = calendar, days_array(list(red)), basis
        self._session = days(table.column("session"))
        order = np.argsort(self._session, kind="stable")
        self._session = self._session[order]
        self._security, self._owners = coded("security")
        self._symbol, self._names = coded("symbol")
        self._sector, self._sectors = coded("sector")
        self._eligible = flags(table.column("eligible"))[order]
        present = set(table.column_names)
        self._undecided = np.zeros(len(order), dtype=bool)
        if "undecided" in present and table.column("undecided").null_count == 0:
            self._undecided = flags(table.column("undecided"))[order]
        self._fields = {
            name: floats(table.column(name))[order] if name in present or name not in GAP_FIELDS else np.full(len(order), np.nan)
            for name in (*FIELDS, *(name for name in CLASSIFIED if name in present))
        }

    def panel(self, first: date, last: date) -> Bars:
        """Return the panel of the sessions [first, last]; see `signals.market.dataset.load_bars`."""
        days, inside = self._range(first, last)
        red = np.isin(self._session[inside], self._red)
        shown = inside.start + np.flatnonzero(~red) if red.any() else inside
        owners, at = self._owned(inside)
        return PanelRows(
            days=days,
            symbols=[self._names[code] for code in self._symbol[at]],
            sectors=[self._sectors[code] for code in self._sector[at]],
            newest=np.searchsorted(days, self._session[at]),
            session=np.searchsorted(days, self._session[shown]),
            security=np.searchsorted(owners, self._security[shown]),
            eligible=self._eligible[shown],
            undecided=self._undecided[shown],
            fields={name: values[shown] for name, values in self._fields.items()},
        ).dense(has_dollars=self._basis.has_dollars)

    def securities(self, first: date, last: date) -> Mapping[str, str]:
        """Name in the panel of [first, last] -> the security's stable id."""
        days, inside = self._range(first, last)
        owners, at = self._owned(inside)
        names = column_names([self._names[code] for code in self._symbol[at]], np.searchsorted(days, self._session[at]), days)
        return {name: self._owners[owner] for name, owner in zip(names, owners, strict=True)}

    def symbols_on(self, day: date) -> Mapping[str, str]:
        """Security -> the symbol that it bore on `day`, of every security with a row then."""
        _, inside = self._range(day, day)
        pairs = zip(self._security[inside], self._symbol[inside], strict=True)
        return {self._owners[security]: self._names[symbol] for security, symbol in pairs}

    def closes(self, day: date) -> Mapping[str, float]:
        """Close of every symbol with a row on `day`, USD, under the name it bore then; RED sessions too."""
        _, inside = self._range(day, day)
        pairs = zip(self._symbol[inside], self._fields["close"][inside].tolist(), strict=True)
        return {self._names[symbol]: close for symbol, close in pairs}

    def dollar_volumes(self, first: date, day: date) -> Mapping[str, float]:
        """Mean of close x volume over the rows of [first, day] of every symbol with a row on `day`, USD."""
        _, inside = self._range(first, day)
        _, today = self._range(day, day)
        owners, column = np.unique(self._security[inside], return_inverse=True)
        value = self._fields["close"][inside] * self._fields["volume"][inside]
        mean = np.bincount(column, value, len(owners)) / np.bincount(column, minlength=len(owners))
        place = np.searchsorted(owners, self._security[today])
        return {self._names[symbol]: float(mean[at]) for symbol, at in zip(self._symbol[today], place, strict=True)}

    def _range(self, first: date, last: date) -> tuple[Days, slice]:
        days = days_array(self._calendar.between(first, last))
        begin = int(np.searchsorted(self._session, days[0])) if len(days) else 0
        return days, slice(begin, int(np.searchsorted(self._session, days[-1], side="right")) if len(days) else 0)

    def _owned(self, inside: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Securities with a row in the range, ascending, and the newest row of each."""
        owners, backwards = np.unique(self._security[inside][::-1], return_index=True)
        return owners, inside.stop - 1 - backwards
