"""Point-in-time universe membership at each session.

Invariant: nothing here looks at a later row; a name's last date is never used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NotRequired, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from signals.audit.delivered_rows import ETF, STOCK, DeliveredRows, events
from signals.audit.session_audit import last_rows
from signals.market.actions import Action, ActionKind
from signals.market.bars import Days, Flags, Floats
from signals.market.eligibility import mean_dollars, tradable
from signals.market.eligibility_rule import EligibilityConfig
from signals.market.manifest import PriceBasis
from signals.market.securities import Identities
from trainer.curation.config import CurationConfig

FORESEEN = 400  # days: an end that was known longer before was written after the fact


class IntervalRow(TypedDict):
    """A row of a table of intervals: a name's membership or classification, and the day on which it became known where that is said."""

    symbol: str
    start: date
    end: date | None
    known_at: NotRequired[date]
    sector: NotRequired[str | None]
    shares: NotRequired[float | None]


@dataclass(frozen=True, eq=False)
class Membership:
    """Point-in-time membership, bool (T, S), with the column of each symbol; the last column is nobody's.

    `foreseen` are ends that were known too long before, None where the table does not say when its rows became known.
    """

    columns: dict[str, int]
    member: Flags
    foreseen: tuple[str, ...] | None = None

    @classmethod
    def of(cls, universe: pa.Table, days: Days) -> Membership:
        """Lay the intervals of a universe table on the sessions `days`.

        A row counts from the session on whose evening it was known, in place of an earlier row of the same symbol and
        start. Rows without a day of their own count as known from the start.
        """
        columns = {symbol: place for place, symbol in enumerate(sorted(set(universe.column("symbol").to_pylist())))}
        member = np.zeros((len(days), len(columns) + 1), dtype=bool)
        is_dated = "known_at" in universe.column_names and universe.column("known_at").null_count == 0
        foreseen = []
        for row, first, last in believed(universe, days, is_dated=is_dated):
            member[first:last, columns[row["symbol"]]] = True
            if is_dated and row["end"] is not None and (row["end"] - row["known_at"]).days > FORESEEN:
                foreseen.append(f"{row['symbol']} {row['end']}")
        return cls(columns, member, tuple(sorted(foreseen)) if is_dated else None)

    def of_rows(self, symbols: NDArray[np.object_]) -> NDArray[np.int64]:
        """Column of each row's symbol."""
        nobody = self.member.shape[1] - 1
        return np.array([self.columns.get(symbol, nobody) for symbol in symbols], dtype=np.int64)


def believed(table: pa.Table, days: Days, *, is_dated: bool) -> Iterator[tuple[IntervalRow, int, int]]:
    """Give each row of a table of intervals with the sessions [first, last) of `days` on which it holds, as far as was known then."""
    for rows in _statements(table, is_dated=is_dated).values():
        since = [0 if not is_dated else _row_of(days, row["known_at"]) for row in rows]
        for row, here, there in zip(rows, since, [*since[1:], len(days)], strict=True):
            first = max(here, _row_of(days, row["start"]))
            last = there if row["end"] is None else min(there, _row_of(days, row["end"]))
            yield row, first, max(first, last)


def _statements(universe: pa.Table, *, is_dated: bool) -> dict[tuple[str, date] | int, list[IntervalRow]]:
    """Rows by symbol and start in the order in which they became known; each on its own where nothing says when."""
    found: dict[tuple[str, date] | int, list[IntervalRow]] = {}
    for place, row in enumerate(universe.to_pylist()):
        found.setdefault((row["symbol"], row["start"]) if is_dated else place, []).append(row)
    for rows in found.values():
        if is_dated:
            rows.sort(key=lambda row: row["known_at"])
    return found


def _row_of(days: Days, day: date) -> int:
    return int(np.searchsorted(days, np.datetime64(day, "D")))


def belonging_rows(data: DeliveredRows, usable: Flags, membership: Membership | None, config: CurationConfig) -> Flags:
    """Rows of names that belong to the universe at their session, bool (R,).

    With a universe table, its members. Without one, stocks (and ETFs if configured) with at least `min_history`
    usable bars up to and including the session; no other kind. In both cases the row itself must be usable.
    """
    if membership is not None:
        result = np.zeros(len(usable), dtype=bool)
        result[usable] = membership.member[data.session[usable], membership.of_rows(data.symbol[usable])]
        return result
    total = np.cumsum(usable)
    first = np.searchsorted(data.rows.security, data.rows.security)
    history = total - total[first] + usable[first]
    allowed = np.isin(data.kind.astype(str), [STOCK, ETF] if config.etfs_eligible else [STOCK])
    return usable & (history >= config.min_history) & allowed


def eligible_rows(data: DeliveredRows, usable: Flags, belongs: Flags, price: Floats, rule: EligibilityConfig) -> Flags:
    """Rows of names that belong and are dear and traded enough at their session, bool (R,)."""
    kept = np.flatnonzero(usable)
    code = data.rows.security[kept]
    dollars = mean_dollars(code, data.session[kept], data.rows.close[kept] * data.rows.volume[kept])
    found = np.zeros(len(usable), dtype=bool)
    found[kept] = tradable(code, belongs[kept], price[kept], dollars, rule)
    return found


def as_traded(data: DeliveredRows, actions: Sequence[Action], names: Identities, days: Days, basis: PriceBasis) -> Floats | None:
    """Close of each row as it was traded that day, USD, shape (R,); None where that is not known.

    Raw closes are; split-adjusted ones are restored where the vendor's splits are recorded: times every ratio that
    takes effect after the row, up to the last session of the data.
    """
    if basis is PriceBasis.RAW:
        return data.rows.close
    logs = split_logs(data, actions, names, days)
    if basis is PriceBasis.TOTAL_RETURN or logs is None:
        return None
    last = np.searchsorted(data.rows.security, data.rows.security, side="right") - 1
    return data.rows.close * np.exp(logs[last] - logs)


def split_logs(data: DeliveredRows, actions: Sequence[Action], names: Identities, days: Days) -> Floats | None:
    """Log of the shares that one has become by each row, up to a constant of each name, shape (R,); None without a recorded split."""
    splits = [a for a in actions if a.kind is ActionKind.SPLIT and np.datetime64(a.effective, "D") <= days[-1]]
    return np.cumsum(np.log(events(data, splits, names, days, PriceBasis.RAW).ratio)) if splits else None


def ended_cells(data: DeliveredRows, has_bar: Flags, usable: Flags, ended: NDArray[np.int64], membership: Membership | None) -> Flags:
    """Whether a record has ended a name by each session, bool (T, N): delisted, or no longer a member."""
    result: Flags = np.arange(has_bar.shape[0])[:, None] >= ended[None, :]
    if membership is not None:
        columns = np.full(has_bar.shape, membership.member.shape[1] - 1, dtype=np.int32)
        columns[data.session[usable], data.rows.security[usable]] = membership.of_rows(data.symbol[usable])
        before = np.take_along_axis(columns, np.maximum(last_rows(has_bar), 0), axis=0)
        result = result | ~np.take_along_axis(membership.member, before, axis=1)
    return result
