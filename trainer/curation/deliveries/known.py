"""Merges deliveries by the time at which they became known, keeping revisions.

Entry point: `fold`.

Invariants
----------
1. The newest delivery of a (symbol, date) is believed; what it replaced stays in the table of revisions with both days.
2. Differences within float32 rounding are no revisions: the first row stays, so that nothing changes by noise.
3. Rows of one delivery that repeat a (symbol, date) are left to the audit, all of them.
4. Cutting the deliveries known after a day gives exactly what the fold was on that day.

A vendor that adjusts for splits sends old rows again at a restated level. Where a delivery moves every price of a
symbol by one split's ratio, that is a restatement and no revision. On raw prices the row as first delivered is the raw
one and stays; on adjusted prices a delivery of some rows cannot restate the others and is refused. Total-return prices
move with every dividend, too: their levels are not compared between whole deliveries, rows on another one are refused.

Adjusted closes of different deliveries stand at different levels. The adjustment factor f = adj_close / close of a
delivery that adds rows is multiplied by k = f_held / f_delivered at the newest (symbol, date) that both have, so that
returns are those of the delivery that spans both sessions and no factor held before ever changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.audit.defects import SPLIT_RATIOS
from signals.errors import BadBars
from signals.market.bars import Floats
from signals.market.manifest import PriceBasis
from trainer.curation.audit.returns import FACTOR_TOLERANCE
from trainer.curation.deliveries.receipts import Scope

PRICES = ("open", "high", "low", "close")
COMPARED = (*PRICES, "volume")
ROUNDING = 1e-6  # relative; float32 prices differ by 6e-8, a vendor's own rounding by a few times that
LEVEL = 1e-5  # relative; total-return prices of one adjustment agree to float32
RESTATEMENT = 5e-3  # distance from a split's ratio within which every price of a symbol moved
WITHDRAWN, RESTATED = "withdrawn", "restated"
REVISION_COLUMNS = ["date", "symbol", "field", "was", "now", "known_at", "revised_at"]
Rows = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class KnownRows:
    """Rows that became known on one day.

    Attributes
    ----------
    known_at : date
    scope : Scope
    basis : PriceBasis
    frame : DataFrame
        As `read_bars` returns it.
    """

    known_at: date
    scope: Scope
    basis: PriceBasis
    frame: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Known:
    """What all deliveries together say.

    Attributes
    ----------
    frame : DataFrame
        As `read_bars` returns it, with `revised`: whether the row replaced one that differed.
    revisions : DataFrame
        date, symbol, field, was, now, known_at, revised_at; by date, symbol, revised_at, field.
    """

    frame: pd.DataFrame
    revisions: pd.DataFrame


def fold(deliveries: Sequence[KnownRows]) -> Known:
    """Fold deliveries, oldest knowledge first.

    Raises
    ------
    BadBars
        A delivery of some rows restates adjusted prices for a split.
    """
    if len(deliveries) == 1:
        return Known(deliveries[0].frame.assign(revised=False), pd.DataFrame(columns=REVISION_COLUMNS))
    axes = _Axes(deliveries)
    held = _Held.empty(axes)
    for told in deliveries:
        held = held.after(told, axes)
    frame = held.frame.assign(revised=held.revised).drop(columns=["known_at"])
    found = pd.concat(held.revisions) if held.revisions else pd.DataFrame(columns=REVISION_COLUMNS)
    order = ["date", "symbol", "revised_at", "field"]
    return Known(frame, found[REVISION_COLUMNS].sort_values(order, ignore_index=True))


class _Axes:
    """Numbers of every (symbol, date) that any delivery has."""

    def __init__(self, deliveries: Sequence[KnownRows]) -> None:
        self.symbols = pd.Index(np.unique(np.concatenate([t.frame["symbol"].unique() for t in deliveries]).astype(str)))
        self.days = np.unique(np.concatenate([t.frame["date"].unique() for t in deliveries]))

    def keys(self, frame: pd.DataFrame) -> Rows:
        """Number of each row's cell, shape (R,); cells of one symbol are contiguous and in order of date."""
        symbol = self.symbols.get_indexer(pd.Index(frame["symbol"].astype(str))).astype(np.int64)
        result: Rows = symbol * len(self.days) + np.searchsorted(self.days, frame["date"].to_numpy())
        return result

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.symbols) * len(self.days)

    def symbol_of(self, keys: Rows) -> Rows:
        """Number of each cell's symbol."""
        return keys // max(1, len(self.days))


@dataclass(frozen=True, eq=False)
class _Held:
    """The rows believed so far, with their cells; `scale` is the last splice of each symbol, NaN before the first."""

    frame: pd.DataFrame
    keys: Rows
    revised: Flags
    scale: Floats
    revisions: list[pd.DataFrame]

    @classmethod
    def empty(cls, axes: _Axes) -> _Held:
        scale = np.full(len(axes.symbols), np.nan)
        return cls(pd.DataFrame(), np.zeros(0, np.int64), np.zeros(0, bool), scale, [])

    def after(self, told: KnownRows, axes: _Axes) -> _Held:
        frame = told.frame.drop(columns=["known_at"], errors="ignore").assign(known_at=told.known_at)
        keys = axes.keys(frame)
        if not len(self.keys):
            scale = np.full(len(axes.symbols), np.nan)
            return _Held(frame.reset_index(drop=True), keys, np.zeros(len(frame), bool), scale, self.revisions)
        old, new = _matched(self.keys, keys, axes.cells)
        ratio = _restatement(self.frame, frame, old, new, axes.symbol_of(keys[new]), len(axes.symbols))
        changed = _changed(self.frame, frame, old, new, ratio, told.basis)
        revisions = [*self.revisions, *_told(self.frame, frame, old, new, changed, ratio)]
        if told.scope is Scope.WHOLE:
            return self._replaced(frame, keys, old, new, changed, revisions, axes)
        _refuse_restated(told, self.frame, frame, old, new, ratio)
        scale = self.scale
        if "adj_close" in frame or "adj_close" in self.frame:
            frame, scale = _spliced(self.frame, frame, old, new, ratio, (self.keys, keys), scale, axes)
        kept_new = np.ones(len(keys), dtype=bool)
        repeated = np.bincount(keys, minlength=axes.cells)[keys[new]] > 1
        same = (~np.logical_or.reduce(list(changed.values())) | (ratio != 1)) & ~repeated
        kept_new[new[same]] = False  # nothing new is said of these cells
        superseded = np.zeros(axes.cells, dtype=bool)
        superseded[keys[kept_new]] = True
        stays = ~superseded[self.keys]
        was_held = np.zeros(axes.cells, dtype=bool)
        was_held[self.keys] = True
        revised = np.concatenate([self.revised[stays], was_held[keys[kept_new]]])
        joined = pd.concat([self.frame[stays], frame[kept_new]], ignore_index=True)
        return _Held(joined, np.concatenate([self.keys[stays], keys[kept_new]]), revised, scale, revisions)

    def _replaced(
        self, frame: pd.DataFrame, keys: Rows, old: Rows, new: Rows, changed: dict[str, Flags], revisions: list[pd.DataFrame], axes: _Axes
    ) -> _Held:
        gone = ~np.isin(self.keys, keys)
        if gone.any():
            lost = self.frame[gone]
            revisions = [*revisions, _revision(lost, WITHDRAWN, lost["close"], np.nan, frame["known_at"].iloc[0])]
        revised = np.zeros(len(frame), dtype=bool)
        differs = np.logical_or.reduce(list(changed.values()))
        revised[new] = differs | self.revised[old]
        scale = np.full(len(axes.symbols), np.nan)
        return _Held(frame.reset_index(drop=True), keys, revised, scale, revisions)


def _matched(held: Rows, told: Rows, cells: int) -> tuple[Rows, Rows]:
    """Rows of both that are on one cell, the first of each where a side repeats it."""
    place = np.full(cells, -1, dtype=np.int64)
    place[held[::-1]] = np.arange(len(held))[::-1]
    first = np.zeros(len(told), dtype=bool)
    first[np.unique(told, return_index=True)[1]] = True
    new = np.flatnonzero(first & (place[told] >= 0))
    return place[told[new]], new


def _restatement(held: pd.DataFrame, told: pd.DataFrame, old: Rows, new: Rows, symbol: Rows, symbols: int) -> Floats:
    """Return told over held price of each matched row where its symbol was restated for a split, else 1. Shape (M,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.stack([_column(told, p)[new] / _column(held, p)[old] for p in PRICES])
        larger = np.maximum(moves, 1 / moves)
        place = np.clip(np.searchsorted(SPLIT_RATIOS, larger), 1, len(SPLIT_RATIOS) - 1)
        below, above = SPLIT_RATIOS[place - 1], SPLIT_RATIOS[place]
        nearest = np.where(larger - below < above - larger, below, above)
        signed = np.where(moves > 1, nearest, 1 / nearest)
        agrees = (np.abs(larger / nearest - 1) <= RESTATEMENT).all(axis=0) & (signed == signed[0]).all(axis=0)
    ratio = np.where(agrees, signed[0], 1.0)
    lowest, highest = np.full(symbols, np.inf), np.full(symbols, -np.inf)
    np.minimum.at(lowest, symbol, ratio)
    np.maximum.at(highest, symbol, ratio)
    result: Floats = np.where(lowest[symbol] == highest[symbol], ratio, 1.0)
    return result


def _changed(held: pd.DataFrame, told: pd.DataFrame, old: Rows, new: Rows, ratio: Floats, basis: PriceBasis) -> dict[str, Flags]:
    """Which figures of the matched rows differ by more than rounding, the restatement set aside.

    Total-return prices move as a whole with every dividend, so that a level that differs is no revision.
    """
    result: dict[str, Flags] = {}
    for name in ("volume",) if basis is PriceBasis.TOTAL_RETURN else COMPARED:
        was, now = _column(held, name)[old], _column(told, name)[new]
        was = was / ratio if name == "volume" else was * ratio
        slack = np.where(ratio == 1, ROUNDING if name in PRICES else 0.0, RESTATEMENT) * np.abs(was)
        result[name] = ~((np.abs(now - was) <= slack) | (np.isnan(now) & np.isnan(was)))
    return result


def _told(held: pd.DataFrame, told: pd.DataFrame, old: Rows, new: Rows, changed: dict[str, Flags], ratio: Floats) -> list[pd.DataFrame]:
    """Revisions of the matched rows, one row a figure, and one `restated` row for each restated cell."""
    found, at = [], told["known_at"].iloc[0]
    for name, differs in changed.items():
        if differs.any():
            before = held.iloc[old[differs]]
            found.append(_revision(before, name, before[name], _column(told, name)[new[differs]], at))
    restated = ratio != 1
    if restated.any():
        before = held.iloc[old[restated]]
        rows = _revision(before, RESTATED, before["close"], _column(told, "close")[new[restated]], at)
        # One row tells it: every older one was restated alike.
        found.append(rows.sort_values("date", kind="stable").drop_duplicates("symbol", keep="last"))
    return found


def _revision(before: pd.DataFrame, field: str, was: pd.Series, now: Floats | float, at: date) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "date": before["date"].to_numpy(),
            "symbol": before["symbol"].to_numpy(),
            "field": field,
            "was": was.to_numpy(dtype=np.float64),
            "now": now,
            "known_at": before["known_at"].to_numpy(),
            "revised_at": at,
        }
    )


def _refuse_restated(told: KnownRows, held: pd.DataFrame, frame: pd.DataFrame, old: Rows, new: Rows, ratio: Floats) -> None:
    move = ratio
    if told.basis is PriceBasis.TOTAL_RETURN:
        level = _column(frame, "close")[new] / _column(held, "close")[old]
        move = np.where(np.abs(level - 1) > LEVEL, level, 1.0)
    restated = np.flatnonzero(move != 1)
    if told.basis is not PriceBasis.RAW and restated.size:
        row = frame.iloc[new[restated[0]]]
        raise BadBars(
            f"{row['symbol']} was restated by {move[restated[0]]:g}, which rows delivered before it do not show",
            where=f"{row['date']:%Y-%m-%d}, prices {told.basis}",
            fix="Deliver its whole history, without --add, or raw prices",
        )


def _spliced(
    held: pd.DataFrame, told: pd.DataFrame, old: Rows, new: Rows, ratio: Floats, cells: tuple[Rows, Rows], scale: Floats, axes: _Axes
) -> tuple[pd.DataFrame, Floats]:
    """Bring the delivery's adjusted closes to the level of those held; return it and the scale of each symbol.

    `cells` are the cells of the held and of the delivered rows. A symbol that is held and shares no cell with the
    delivery loses its adjusted closes at the seams: no return may cross a step that nobody knows.
    """
    held_keys, keys = cells
    # A restated row keeps the held close, so its factor is taken on that level.
    close = np.where(ratio != 1, _column(held, "close")[old], _column(told, "close")[new])
    with np.errstate(divide="ignore", invalid="ignore"):
        step = (_column(held, "adj_close") / _column(held, "close"))[old] / (_column(told, "adj_close")[new] / close)
    shared = np.flatnonzero(np.isfinite(step))
    shared = shared[np.argsort(keys[new[shared]], kind="stable")]  # a symbol's newest shared cell is written last
    fresh = np.full(len(scale), np.nan)
    fresh[axes.symbol_of(keys[new[shared]])] = step[shared]
    before = np.where(np.isnan(scale), 1.0, scale)
    fresh = np.where(np.abs(fresh / before - 1) <= FACTOR_TOLERANCE, before, fresh)  # rounding must not add up
    scale = np.where(np.isfinite(fresh), fresh, scale)
    symbol = axes.symbol_of(keys)
    adjusted = _column(told, "adj_close") * np.where(np.isnan(scale), 1.0, scale)[symbol]
    oldest, newest = np.full(len(scale), np.iinfo(np.int64).max), np.full(len(scale), -1)
    np.minimum.at(oldest, axes.symbol_of(held_keys), held_keys)
    np.maximum.at(newest, axes.symbol_of(held_keys), held_keys)
    unspliced = (newest >= 0) & ~np.isfinite(fresh)
    for number in np.unique(symbol[unspliced[symbol]]):
        rows = np.flatnonzero(symbol == number)
        first, last = rows[int(keys[rows].argmin())], rows[int(keys[rows].argmax())]
        if keys[first] > oldest[number]:
            adjusted[first] = np.nan
        if keys[last] < newest[number]:
            adjusted[last] = np.nan
    return told.assign(adj_close=adjusted), scale


def _column(frame: pd.DataFrame, name: str) -> Floats:
    if name not in frame:
        return np.full(len(frame), np.nan)
    return frame[name].to_numpy(dtype=np.float64)
