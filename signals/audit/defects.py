"""Row-level defects of delivered daily bars: the rules, and the rows that each rule quarantines or warns of.

Entry point: `find_defects`. Each reason is a row of `DEFECTS`, which says whether it keeps the bar out of the curated
bars or only warns.

Invariants
----------
1. A price move alone never quarantines a row: large returns and suspected splits are warnings. The exceptions are a
   level that slipped by 100 or 1000, for five rows at most, and a recorded split that did not happen.
2. Recorded corporate actions are consulted before a move is called large or a split suspected.
3. Comparisons of prices within a bar tolerate float32 rounding (`body_tolerance`), nothing more.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from signals.config import Config
from signals.errors import InvariantBroken
from signals.market.bars import Days, Flags, Floats

# Ratios at which companies split shares, new per old; their inverses are the reverse splits.
SPLIT_RATIOS = np.array([1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0])
VOLUME_WINDOW_ROWS = 20
# A vendor's slip between cents and dollars; a level that holds for longer than a week is believed.
SHIFTS, SHIFT_TOLERANCE, SHIFT_ROWS = (2.0, 3.0), 0.1, 5  # powers of ten, and how near
LEAST_CHECKED_SPLIT = np.log(1.4)  # smaller ones drown in a session's own move


class Reason(StrEnum):
    """Names of the defects, as reports print them."""

    NON_SESSION = "non_session"
    NULL_PRICE = "null_price"
    NULL_VOLUME = "null_volume"
    NON_POSITIVE_PRICE = "non_positive_price"
    NON_POSITIVE_ADJUSTED = "adj_close_not_positive"
    HIGH_BELOW_BODY = "high_below_body"
    LOW_ABOVE_BODY = "low_above_body"
    NEGATIVE_VOLUME = "negative_volume"
    DUPLICATE = "duplicate"
    DUPLICATE_CONFLICT = "duplicate_conflict"
    SHIFTED_LEVEL = "shifted_level"
    SPLIT_CONTRADICTED = "split_contradicted"
    ZERO_VOLUME = "zero_volume"
    STALE_RUN = "stale_run"
    EXTREME_RETURN = "extreme_return"
    UNDECIDED_RETURN = "undecided_return"
    STITCHED = "stitched"
    SUSPECTED_SPLIT = "suspected_split"
    NULL_ADJUSTED = "null_adj_close"
    NO_RETURN = "no_return"
    MISSING_SESSION = "missing_session"
    EXPECTED_ABSENT = "expected_absent"
    REVISED = "revised"


@dataclass(frozen=True)
class Defect:
    """One row of the table of defects.

    Attributes
    ----------
    most : float
        Share of a session's usable rows up to which a warning leaves the session GREEN, if it is of few rows.
    """

    reason: Reason
    quarantines: bool
    meaning: str
    most: float = 0.05


DEFECTS = (
    Defect(Reason.NON_SESSION, True, "the exchange was closed on this date"),
    Defect(Reason.NULL_PRICE, True, "open, high, low or close is missing or not finite"),
    Defect(Reason.NULL_VOLUME, True, "volume is missing or not finite"),
    Defect(Reason.NON_POSITIVE_PRICE, True, "open, high, low or close is zero or negative"),
    Defect(Reason.NON_POSITIVE_ADJUSTED, True, "adj_close is zero or negative, so no return can be computed"),
    Defect(Reason.HIGH_BELOW_BODY, True, "high is below open or close by more than rounding"),
    Defect(Reason.LOW_ABOVE_BODY, True, "low is above open or close by more than rounding"),
    Defect(Reason.NEGATIVE_VOLUME, True, "volume is negative"),
    Defect(Reason.DUPLICATE, True, "a further identical copy of a row; the first copy is kept"),
    Defect(Reason.DUPLICATE_CONFLICT, True, "several rows of one symbol and date disagree; none is believed"),
    Defect(Reason.SHIFTED_LEVEL, True, "open and close moved by 100 or 1000, up or down, for a week at most"),
    Defect(Reason.SPLIT_CONTRADICTED, True, "open and close did not move as the recorded split says"),
    Defect(Reason.ZERO_VOLUME, False, "no share traded"),
    Defect(Reason.STALE_RUN, False, "part of a run of sessions without trade at one unchanged close"),
    Defect(Reason.EXTREME_RETURN, False, "the close more than doubled or more than halved, recorded splits applied"),
    Defect(Reason.UNDECIDED_RETURN, False, "an extreme return that nothing explains; its name waits"),
    Defect(Reason.STITCHED, False, "another security under the same symbol: more than 5 times up from under 1 USD"),
    Defect(Reason.SUSPECTED_SPLIT, False, "open and close moved by a split's ratio and no split is recorded"),
    Defect(Reason.NULL_ADJUSTED, False, "adj_close is missing although the vendor delivers it"),
    Defect(Reason.NO_RETURN, False, "no return although there are bars on both sessions: a seam of deliveries", most=0),
    Defect(Reason.MISSING_SESSION, False, "no row although the symbol has rows before and after"),
    Defect(Reason.EXPECTED_ABSENT, False, "no usable bar although the symbol was expected by what was known then"),
    Defect(Reason.REVISED, False, "replaces a row that was delivered before and differed", most=1),
)
QUARANTINES = frozenset(defect.reason for defect in DEFECTS if defect.quarantines)


class DefectConfig(Config):
    """Thresholds of the row audit.

    Attributes
    ----------
    body_tolerance : float
        Relative. Prices stored as float32 carry 6e-8; a vendor's split multiplication a few times that.
    stale_rows : int
        Least length of a run of zero-volume rows at one close that is called stale.
    extreme_rise, extreme_fall : float
        Close over previous close, minus 1, above or below which a move is named.
    split_tolerance : float
        Relative distance from a split's ratio within which the open's move over the previous close must lie; the
        close's move must be within twice that.
    split_dollar_volume : float
        A split leaves dollar volume as it was. A move on more than this multiple of its median is news.
    """

    body_tolerance: float = Field(default=1e-6, ge=0, lt=0.1)
    stale_rows: int = Field(default=5, ge=2)
    extreme_rise: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    extreme_fall: float = Field(default=-0.5, gt=-1, lt=0)
    split_tolerance: float = Field(default=0.06, ge=0, lt=0.2)
    split_dollar_volume: float = Field(default=4.0, gt=0, allow_inf_nan=False)


@dataclass(frozen=True, eq=False)
class Rows:
    """Delivered bars in long form, sorted by security, then day; every array has shape (R,).

    Attributes
    ----------
    day : datetime64[D]
    security : int64
        Code of the security; rows of one code are contiguous.
    open, high, low, close, volume : float64
        As delivered; NaN where missing.
    adj_close : float64
        NaN where missing or not delivered.
    has_adjusted : bool
        Whether the delivery has an adj_close column at all.
    """

    day: Days
    security: NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    adj_close: Floats
    has_adjusted: bool

    def __post_init__(self) -> None:
        order = np.lexsort((self.day, self.security))
        if not np.array_equal(order, np.arange(len(order))):
            raise InvariantBroken("rows are sorted by security, then day")

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True, eq=False)
class Defects:
    """Which row has which defect: one bool array of shape (R,) per reason."""

    flags: dict[Reason, Flags]

    @property
    def quarantined(self) -> Flags:
        """Rows that must stay out of the curated bars, bool (R,)."""
        result: Flags = np.logical_or.reduce([self.flags[reason] for reason in Reason if reason in QUARANTINES])
        return result


def find_defects(rows: Rows, sessions: Days, split_ratio: Floats, config: DefectConfig) -> Defects:
    """Audit every row.

    Parameters
    ----------
    sessions : datetime64[D], shape (T,)
        Every exchange session that the rows may fall on.
    split_ratio : float64, shape (R,)
        Product of recorded split ratios effective after the security's previous row and up to this one; 1 where none
        or where the prices are already adjusted.
    """
    flags = {Reason.NON_SESSION: ~np.isin(rows.day, sessions)} | _bar_defects(rows, config) | _duplicates(rows)
    missing = (Reason.MISSING_SESSION, Reason.EXPECTED_ABSENT)
    for set_elsewhere in (*missing, Reason.REVISED, Reason.NO_RETURN, Reason.UNDECIDED_RETURN, Reason.STITCHED):
        flags[set_elsewhere] = np.zeros(len(rows), dtype=bool)
    blocked = np.logical_or.reduce([flags[reason] for reason in flags if reason in QUARANTINES])
    flags[Reason.SHIFTED_LEVEL] = shifted_levels(rows, ~blocked, split_ratio)
    blocked |= flags[Reason.SHIFTED_LEVEL]
    flags[Reason.SPLIT_CONTRADICTED] = _contradicted(rows, ~blocked, split_ratio)
    blocked |= flags[Reason.SPLIT_CONTRADICTED]
    flags |= _move_defects(rows, ~blocked, split_ratio, config)
    flags[Reason.EXTREME_RETURN] |= flags[Reason.SHIFTED_LEVEL] | _extreme_as_delivered(rows, split_ratio, config)
    flags[Reason.STALE_RUN] = _stale_runs(rows, config.stale_rows)
    return Defects(flags)


def _bar_defects(rows: Rows, config: DefectConfig) -> dict[Reason, Flags]:
    prices = np.stack([rows.open, rows.high, rows.low, rows.close])
    known = np.isfinite(prices).all(axis=0)
    # A high below the low always is below the body, or puts the low above it.
    top, bottom = np.maximum(rows.open, rows.close), np.minimum(rows.open, rows.close)
    slack = config.body_tolerance * np.abs(np.where(known, rows.close, 0.0))
    positive = (prices > 0).all(axis=0)
    return {
        Reason.NULL_PRICE: ~known,
        Reason.NULL_VOLUME: ~np.isfinite(rows.volume),
        Reason.NON_POSITIVE_PRICE: (prices <= 0).any(axis=0),
        Reason.NON_POSITIVE_ADJUSTED: rows.adj_close <= 0,
        Reason.HIGH_BELOW_BODY: known & positive & (rows.high < top - slack),
        Reason.LOW_ABOVE_BODY: known & positive & (rows.low > bottom + slack),
        Reason.NEGATIVE_VOLUME: rows.volume < 0,
        Reason.ZERO_VOLUME: rows.volume == 0,
        Reason.NULL_ADJUSTED: ~np.isfinite(rows.adj_close) & rows.has_adjusted,
    }


def _duplicates(rows: Rows) -> dict[Reason, Flags]:
    count = len(rows)
    copies, conflicts = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    again = np.zeros(count, dtype=bool)
    again[1:] = (rows.security[1:] == rows.security[:-1]) & (rows.day[1:] == rows.day[:-1])
    table = np.stack([rows.open, rows.high, rows.low, rows.close, rows.volume, rows.adj_close])
    for first in np.flatnonzero(again & ~np.roll(again, 1)) - 1:
        last = first + 1
        while last < count and again[last]:
            last += 1
        group = table[:, first:last]
        if bool(np.all((group == group[:, :1]) | (np.isnan(group) & np.isnan(group[:, :1])))):
            copies[first + 1 : last] = True
        else:
            conflicts[first:last] = True
    return {Reason.DUPLICATE: copies, Reason.DUPLICATE_CONFLICT: conflicts}


def shifted_levels(rows: Rows, good: Flags, split_ratio: Floats) -> Flags:
    """Rows that lie a power of ten away from the last good row of their security, until that has held for a week."""
    result = np.zeros(len(rows), dtype=bool)
    kept = np.flatnonzero(good)
    level = np.cumsum(np.log10(split_ratio))[kept]
    prices = np.stack([rows.open[kept], rows.close[kept]])
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.log10(prices[:, 1:]) - np.log10(prices[1, :-1]) + np.diff(level)
    start = 0
    for place in map(int, np.flatnonzero(_is_shift(moves) & (np.diff(rows.security[kept]) == 0)) + 1):
        base = place - 1
        if base < start:
            continue  # the way back from a level that was not believed
        here = range(place, min(place + SHIFT_ROWS, len(kept)))
        run = 0
        for at in here:
            away = np.log10(prices[:, at]) - np.log10(prices[1, base]) + level[at] - level[base]
            if rows.security[kept[at]] != rows.security[kept[base]] or not _is_shift(away[:, None])[0]:
                break
            result[kept[at]] = True
            run += 1
        start = place + run
    return result


def _is_shift(moves: Floats) -> Flags:
    """Whether both moves, in powers of ten, are one of `SHIFTS`."""
    near = [(np.abs(np.abs(moves) - shift) <= SHIFT_TOLERANCE).all(axis=0) for shift in SHIFTS]
    result: Flags = np.logical_or.reduce(near) & (np.sign(moves[0]) == np.sign(moves[1]))
    return result


def _contradicted(rows: Rows, good: Flags, split_ratio: Floats) -> Flags:
    """Rows with a recorded split whose open and close are both nearer to where they were without it."""
    result = np.zeros(len(rows), dtype=bool)
    kept = np.flatnonzero(good)
    if kept.size > 1:
        before, after = kept[:-1], kept[1:]
        split = np.diff(np.cumsum(np.log(split_ratio))[kept])
        checked = (rows.security[before] == rows.security[after]) & (np.abs(split) >= LEAST_CHECKED_SPLIT)
        for price in (rows.open, rows.close):
            move = np.log(price[after]) - np.log(rows.close[before])
            checked &= np.abs(move) < np.abs(move + split)
        result[after] = checked
    return result


def _move_defects(rows: Rows, good: Flags, split_ratio: Floats, config: DefectConfig) -> dict[Reason, Flags]:
    extreme, split = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
    kept = np.flatnonzero(good)
    if kept.size > 1:
        # A quarantined row between two good ones must not hide a recorded split from the comparison.
        ratios = np.exp(np.diff(np.cumsum(np.log(split_ratio))[kept]))
        before, after = kept[:-1], kept[1:]
        joined = rows.security[before] == rows.security[after]
        close_move = ratios * rows.close[after] / rows.close[before]
        open_move = ratios * rows.open[after] / rows.close[before]
        extreme[after] = joined & ((close_move - 1 > config.extreme_rise) | (close_move - 1 < config.extreme_fall))
        # A split happens overnight: the open shows it best, the close has a session's own move on top.
        alike = _near_a_split(open_move, config.split_tolerance) & _near_a_split(close_move, 2 * config.split_tolerance)
        # A vendor whose own adjusted close does not move like a split has explained the move.
        adjusted_move = rows.adj_close[after] / rows.adj_close[before]
        alike &= np.isnan(adjusted_move) | _near_a_split(adjusted_move, 2 * config.split_tolerance)
        for candidate in np.flatnonzero(joined & alike):
            split[after[candidate]] = _is_quiet(rows, kept, int(candidate) + 1, config.split_dollar_volume)
    return {Reason.EXTREME_RETURN: extreme, Reason.SUSPECTED_SPLIT: split}


def _extreme_as_delivered(rows: Rows, split_ratio: Floats, config: DefectConfig) -> Flags:
    """Rows whose close is that far from the row before, whether that one is valid or not."""
    result = np.zeros(len(rows), dtype=bool)
    if len(rows) > 1:
        known = (rows.security[1:] == rows.security[:-1]) & (rows.close[1:] > 0) & (rows.close[:-1] > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            move = split_ratio[1:] * rows.close[1:] / rows.close[:-1] - 1
        result[1:] = known & ((move > config.extreme_rise) | (move < config.extreme_fall))
    return result


def _near_a_split(move: Floats, tolerance: float) -> Flags:
    larger = np.maximum(move, 1.0 / move)
    position = np.clip(np.searchsorted(SPLIT_RATIOS, larger), 1, len(SPLIT_RATIOS) - 1)
    distance = np.minimum(np.abs(larger / SPLIT_RATIOS[position] - 1), np.abs(larger / SPLIT_RATIOS[position - 1] - 1))
    near: Flags = distance <= tolerance
    return near


def _is_quiet(rows: Rows, kept: NDArray[np.intp], place: int, multiple: float) -> bool:
    """Whether dollar volume at kept[place] is at most `multiple` of its median over the preceding rows."""
    window = kept[max(0, place - VOLUME_WINDOW_ROWS) : place]
    window = window[rows.security[window] == rows.security[kept[place]]]
    usual = float(np.median(rows.close[window] * rows.volume[window]))
    return bool(rows.close[kept[place]] * rows.volume[kept[place]] <= multiple * usual)


def _stale_runs(rows: Rows, least: int) -> Flags:
    idle = rows.volume == 0
    starts = np.ones(len(rows), dtype=bool)
    starts[1:] = ~idle[1:] | ~idle[:-1] | (rows.security[1:] != rows.security[:-1]) | (rows.close[1:] != rows.close[:-1])
    run = np.cumsum(starts) - 1
    lengths = np.bincount(run)
    result: Flags = idle & (lengths[run] >= least)
    return result


def missing_sessions(rows: Rows, sessions: Days) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the sessions on which a security has no row although it has rows before and after.

    For the audit's table only: it looks at later rows, so no status, return or eligibility may depend on it.

    Returns
    -------
    row, session : int64, shape (M,)
        The row that ends the gap, and the position of the missing session in `sessions`.
    """
    inside = np.flatnonzero(np.isin(rows.day, sessions))
    place = np.searchsorted(sessions, rows.day[inside]).astype(np.int64)
    security = rows.security[inside]
    gap = np.zeros(len(place), dtype=np.int64)
    gap[1:] = np.where(security[1:] == security[:-1], np.maximum(place[1:] - place[:-1] - 1, 0), 0)
    owner = np.repeat(np.arange(len(place)), gap)
    offset = np.arange(int(gap.sum())) - np.repeat(np.cumsum(gap) - gap, gap)
    return inside[owner], place[owner] - gap[owner] + offset
