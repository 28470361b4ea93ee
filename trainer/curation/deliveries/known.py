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
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.audit.defects import SPLIT_RATIOS
from signals.errors import BadBars
from signals.market.bars import Flags, Floats
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


@dataclass(frozen=True, eq=False)
class KnownRows:
    """Rows that became known on one day, as `read_bars` returns them."""

    known_at: date
    scope: Scope
    basis: PriceBasis
    frame: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Known:
    """Rows of all deliveries combined.

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
    axes = _Axes([delivery.frame for delivery in deliveries])
    held = _Held.empty(axes)
    for delivery in deliveries:
        held = held.after(delivery, axes)
    frame = held.frame.assign(revised=held.revised).drop(columns=["known_at"])
    found = pd.concat(held.revisions) if held.revisions else pd.DataFrame(columns=REVISION_COLUMNS)
    order = ["date", "symbol", "revised_at", "field"]
    return Known(frame, found[REVISION_COLUMNS].sort_values(order, ignore_index=True))


class _Axes:
    """Numbers of every (symbol, date) that any delivery has."""

    def __init__(self, frames: Sequence[pd.DataFrame]) -> None:
        self.symbols = pd.Index(np.unique(np.concatenate([frame["symbol"].unique() for frame in frames]).astype(str)))
        self.days = np.unique(np.concatenate([frame["date"].unique() for frame in frames]))

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
class MatchedRows:
    """A delivery next to the rows accepted before it, with the pairs of rows that are on one cell.

    Attributes
    ----------
    held, delivered : DataFrame, H and D rows
    held_cells, cells : int64, shape (H,), (D,)
        Cell of each of their rows, as `axes` numbers them.
    old, new : int64, shape (M,)
        Row in `held` and in `delivered` of each pair; the first where a side repeats a cell.
    ratio : float64, shape (M,)
        Delivered over held price where every price of the pair's symbol moved by that split's ratio, else 1.

    Examples
    --------
    A closes at 48 and 50, then pays 1 and closes at 51. The delivery repeats the second session, adjusted to 49 for the
    payment: the factor held there, 50 / 50, is 1 / 0.98 of the one delivered, and so is every factor spliced on.

    >>> days = np.array(["2024-01-02", "2024-01-03", "2024-01-04"], dtype="datetime64[ns]")
    >>> held = pd.DataFrame({"symbol": "A", "date": days[:2], "close": [48.0, 50.0], "adj_close": [48.0, 50.0]})
    >>> delivered = pd.DataFrame({"symbol": "A", "date": days[1:], "close": [50.0, 51.0], "adj_close": [49.0, 51.0]})
    >>> axes = _Axes([held, delivered])
    >>> match = MatchedRows.of(held, axes.keys(held), delivered, axes.keys(delivered), axes)
    >>> match.held_cells, match.cells, match.old, match.new, match.ratio
    (array([0, 1]), array([1, 2]), array([1]), array([0]), array([1.]))
    >>> spliced, scale = _spliced(match, np.array([np.nan]))
    >>> spliced["adj_close"].round(4).tolist(), scale.round(4)
    ([50.0, 52.0408], array([1.0204]))
    """

    held: pd.DataFrame
    held_cells: Rows
    delivered: pd.DataFrame
    cells: Rows
    old: Rows
    new: Rows
    ratio: Floats
    axes: _Axes

    @classmethod
    def of(cls, held: pd.DataFrame, held_cells: Rows, delivered: pd.DataFrame, cells: Rows, axes: _Axes) -> MatchedRows:
        """Pair the rows."""
        place = np.full(axes.cells, -1, dtype=np.int64)
        place[held_cells[::-1]] = np.arange(len(held_cells))[::-1]
        first = np.zeros(len(cells), dtype=bool)
        first[np.unique(cells, return_index=True)[1]] = True
        new = np.flatnonzero(first & (place[cells] >= 0))
        unmoved = cls(held, held_cells, delivered, cells, place[cells[new]], new, np.ones(len(new)), axes)
        return replace(unmoved, ratio=_restatement(unmoved))

    @property
    def symbol(self) -> Rows:
        """Number of each pair's symbol, shape (M,)."""
        return self.axes.symbol_of(self.cells[self.new])

    def was(self, name: str) -> Floats:
        """Held figure of each pair, shape (M,); NaN without the column."""
        return _column(self.held, name)[self.old]

    def now(self, name: str) -> Floats:
        """Delivered figure of each pair, shape (M,); NaN without the column."""
        return _column(self.delivered, name)[self.new]


@dataclass(frozen=True, eq=False)
class _Held:
    """The rows accepted up to now, with their cells; `scale` is the last splice of each symbol, NaN before the first."""

    frame: pd.DataFrame
    keys: Rows
    revised: Flags
    scale: Floats
    revisions: list[pd.DataFrame]

    @classmethod
    def empty(cls, axes: _Axes) -> _Held:
        scale = np.full(len(axes.symbols), np.nan)
        return cls(pd.DataFrame(), np.zeros(0, np.int64), np.zeros(0, bool), scale, [])

    def after(self, delivery: KnownRows, axes: _Axes) -> _Held:
        frame = delivery.frame.drop(columns=["known_at"], errors="ignore").assign(known_at=delivery.known_at)
        keys = axes.keys(frame)
        if not len(self.keys):
            scale = np.full(len(axes.symbols), np.nan)
            return _Held(frame.reset_index(drop=True), keys, np.zeros(len(frame), bool), scale, self.revisions)
        match = MatchedRows.of(self.frame, self.keys, frame, keys, axes)
        changed = _changed(match, delivery.basis)
        revisions = [*self.revisions, *_revisions(match, changed)]
        if delivery.scope is Scope.WHOLE:
            return self._replaced(match, changed, revisions)
        _refuse_restated(match, delivery.basis)
        scale = self.scale
        if "adj_close" in frame or "adj_close" in self.frame:
            frame, scale = _spliced(match, scale)
        kept_new = np.ones(len(keys), dtype=bool)
        repeated = np.bincount(keys, minlength=axes.cells)[keys[match.new]] > 1
        same = (~np.logical_or.reduce(list(changed.values())) | (match.ratio != 1)) & ~repeated
        kept_new[match.new[same]] = False  # nothing new is said of these cells
        superseded = np.zeros(axes.cells, dtype=bool)
        superseded[keys[kept_new]] = True
        stays = ~superseded[self.keys]
        was_held = np.zeros(axes.cells, dtype=bool)
        was_held[self.keys] = True
        revised = np.concatenate([self.revised[stays], was_held[keys[kept_new]]])
        joined = pd.concat([self.frame[stays], frame[kept_new]], ignore_index=True)
        return _Held(joined, np.concatenate([self.keys[stays], keys[kept_new]]), revised, scale, revisions)

    def _replaced(self, match: MatchedRows, changed: dict[str, Flags], revisions: list[pd.DataFrame]) -> _Held:
        frame = match.delivered
        gone = ~np.isin(match.held_cells, match.cells)
        if gone.any():
            lost = match.held[gone]
            revisions = [*revisions, _revision(lost, WITHDRAWN, lost["close"], np.nan, frame["known_at"].iloc[0])]
        revised = np.zeros(len(frame), dtype=bool)
        differs = np.logical_or.reduce(list(changed.values()))
        revised[match.new] = differs | self.revised[match.old]
        scale = np.full(len(match.axes.symbols), np.nan)
        return _Held(frame.reset_index(drop=True), match.cells, revised, scale, revisions)


def _restatement(match: MatchedRows) -> Floats:
    """Return delivered over held price of each pair where its symbol was restated for a split, else 1. Shape (M,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.stack([match.now(price) / match.was(price) for price in PRICES])
        larger = np.maximum(moves, 1 / moves)
        place = np.clip(np.searchsorted(SPLIT_RATIOS, larger), 1, len(SPLIT_RATIOS) - 1)
        below, above = SPLIT_RATIOS[place - 1], SPLIT_RATIOS[place]
        nearest = np.where(larger - below < above - larger, below, above)
        signed = np.where(moves > 1, nearest, 1 / nearest)
        agrees = (np.abs(larger / nearest - 1) <= RESTATEMENT).all(axis=0) & (signed == signed[0]).all(axis=0)
    ratio = np.where(agrees, signed[0], 1.0)
    symbol, symbols = match.symbol, len(match.axes.symbols)
    lowest, highest = np.full(symbols, np.inf), np.full(symbols, -np.inf)
    np.minimum.at(lowest, symbol, ratio)
    np.maximum.at(highest, symbol, ratio)
    return np.where(lowest[symbol] == highest[symbol], ratio, 1.0)


def _changed(match: MatchedRows, basis: PriceBasis) -> dict[str, Flags]:
    """Which figures of the pairs differ by more than rounding, the restatement set aside.

    Total-return prices move as a whole with every dividend, so that a level that differs is no revision.
    """
    result: dict[str, Flags] = {}
    for name in ("volume",) if basis is PriceBasis.TOTAL_RETURN else COMPARED:
        was, now = match.was(name), match.now(name)
        was = was / match.ratio if name == "volume" else was * match.ratio
        slack = np.where(match.ratio == 1, ROUNDING if name in PRICES else 0.0, RESTATEMENT) * np.abs(was)
        result[name] = ~((np.abs(now - was) <= slack) | (np.isnan(now) & np.isnan(was)))
    return result


def _revisions(match: MatchedRows, changed: dict[str, Flags]) -> list[pd.DataFrame]:
    """Revisions of the pairs, one row a figure, and one `restated` row for each restated symbol."""
    found, at = [], match.delivered["known_at"].iloc[0]
    for name, differs in changed.items():
        if differs.any():
            before = match.held.iloc[match.old[differs]]
            found.append(_revision(before, name, before[name], match.now(name)[differs], at))
    restated = match.ratio != 1
    if restated.any():
        before = match.held.iloc[match.old[restated]]
        rows = _revision(before, RESTATED, before["close"], match.now("close")[restated], at)
        # One row says it: every older one was restated alike.
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


def _refuse_restated(match: MatchedRows, basis: PriceBasis) -> None:
    move = match.ratio
    if basis is PriceBasis.TOTAL_RETURN:
        level = match.now("close") / match.was("close")
        move = np.where(np.abs(level - 1) > LEVEL, level, 1.0)
    restated = np.flatnonzero(move != 1)
    if basis is not PriceBasis.RAW and restated.size:
        row = match.delivered.iloc[match.new[restated[0]]]
        raise BadBars(
            f"{row['symbol']} was restated by {move[restated[0]]:g}, which rows delivered before it do not show",
            where=f"{row['date']:%Y-%m-%d}, prices {basis}",
            fix="Deliver its whole history, without --add, or raw prices",
        )


def _spliced(match: MatchedRows, scale: Floats) -> tuple[pd.DataFrame, Floats]:
    """Bring the delivery's adjusted closes to the level of those held; return it and the scale of each symbol.

    A symbol that is held and shares no cell with the delivery loses its adjusted closes at the seams: no return may
    cross a step that nobody knows.
    """
    keys, symbol_of = match.cells, match.axes.symbol_of
    # A restated row keeps the held close, so its factor is taken on that level.
    close = np.where(match.ratio != 1, match.was("close"), match.now("close"))
    with np.errstate(divide="ignore", invalid="ignore"):
        step = (match.was("adj_close") / match.was("close")) / (match.now("adj_close") / close)
    shared = np.flatnonzero(np.isfinite(step))
    shared = shared[np.argsort(keys[match.new[shared]], kind="stable")]  # a symbol's newest shared cell is written last
    fresh = np.full(len(scale), np.nan)
    fresh[match.symbol[shared]] = step[shared]
    before = np.where(np.isnan(scale), 1.0, scale)
    fresh = np.where(np.abs(fresh / before - 1) <= FACTOR_TOLERANCE, before, fresh)  # rounding must not add up
    scale = np.where(np.isfinite(fresh), fresh, scale)
    symbol = symbol_of(keys)
    adjusted = _column(match.delivered, "adj_close") * np.where(np.isnan(scale), 1.0, scale)[symbol]
    oldest, newest = np.full(len(scale), np.iinfo(np.int64).max), np.full(len(scale), -1)
    np.minimum.at(oldest, symbol_of(match.held_cells), match.held_cells)
    np.maximum.at(newest, symbol_of(match.held_cells), match.held_cells)
    unspliced = (newest >= 0) & ~np.isfinite(fresh)
    for number in np.unique(symbol[unspliced[symbol]]):
        rows = np.flatnonzero(symbol == number)
        first, last = rows[int(keys[rows].argmin())], rows[int(keys[rows].argmax())]
        if keys[first] > oldest[number]:
            adjusted[first] = np.nan
        if keys[last] < newest[number]:
            adjusted[last] = np.nan
    return match.delivered.assign(adj_close=adjusted), scale


def _column(frame: pd.DataFrame, name: str) -> Floats:
    if name not in frame:
        return np.full(len(frame), np.nan)
    return frame[name].to_numpy(dtype=np.float64)
