"""Outcomes of events: realised R, excursions and exits, by the back-labeler.

    entry  open of the next bar        R = `stop_atr` x ATR at the event        stop  entry - R        target  entry + `target_r` R

seen from the event's side; `entry_atr` moves the entry from the open by so many ATR: below 0 to a better price, which is waited for
within the bar, above 0 to a confirmation. Where the bar does not come that far there is no trade. Both barriers in one bar are the
stop, and counted as a tie; a bar that opens beyond a barrier leaves there; without a touch the trade ends at the close of the last
bar of its patience, or, where that is missing, at the next open within `EXIT_SESSIONS` bars, else at the last price. Bars within the
day end with their session.

What is said of the trade is known at `t1`, the bar that ended it; excursions and `bars_to_*`, of the whole patience, at `seen_to`. In the
bar of the exit a stop is taken to come before any favourable move, a target after any adverse one; in that of a better entry none after it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from signals.events.panel import EventBars, EventTable, Rows
from signals.events.recorded import OutcomeRules
from signals.market.bars import EXIT_SESSIONS, Flags, Floats, Payout


def first_touch(
    opens: Floats, highs: Floats, lows: Floats, upper: Floats, lower: Floats, is_entry: Flags | bool
) -> tuple[Flags, Floats, NDArray[np.int8]]:
    """Whether a bar touches a barrier, the price it fills at and which: 1 upper, -1 lower, which wins a tie.

    A bar that opens beyond a barrier fills at its open, but for the bar of the entry (`is_entry`). A missing bar touches nothing.
    """
    stopped, taken, later = lows <= lower, highs >= upper, np.logical_not(is_entry)
    gap_down, gap_up = (opens <= lower) & later, (opens >= upper) & later
    at_stop = np.where(gap_down, opens, lower)
    at_profit = np.where(gap_up, opens, upper)
    profit_first = gap_up | (taken & ~stopped)
    price = np.where(profit_first, at_profit, at_stop)
    side = np.where(profit_first, 1, -1).astype(np.int8)
    return stopped | taken, price, side


TOGETHER = 20_000


class Exit(IntEnum):
    """How a trade ended."""

    UNKNOWN = 0  # the bars end first, or one on the way cannot be compared
    TARGET = 1
    STOP = 2
    TIME = 3
    GAP = 4
    DELISTED = 5
    NOT_ENTERED = 6  # no bar at the entry, or one that does not come to it


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One row an event, in the order of the events.

    Attributes
    ----------
    realised_r, runup_r, drawdown_r : float64
        What the trade made, before costs, and the furthest that it stood above and below its entry, both >= 0, in R.
    mfe_atr, mae_atr, mfe_r, mae_r : float64
        Furthest favourable and adverse move from the entry within the patience, >= 0.
    bars_to_target, bars_to_stop : int32
        Bars from the event to the first touch within the patience; 0 never, -1 not known.
    exit, is_tie : int8, bool
        `Exit`, and whether target and stop are in the bar of it.
    t1, seen_to : int64
        Rows at which the trade, and the whole row, are known; -1 not known.
    """

    realised_r: Floats
    runup_r: Floats
    drawdown_r: Floats
    mfe_atr: Floats
    mae_atr: Floats
    mfe_r: Floats
    mae_r: Floats
    bars_to_target: NDArray[np.int32]
    bars_to_stop: NDArray[np.int32]
    exit: NDArray[np.int8]
    is_tie: Flags
    t1: Rows
    seen_to: Rows


def outcomes(bars: EventBars, events: EventTable, rules: OutcomeRules, payouts: Iterable[Payout] = ()) -> Outcomes:
    """Play the trade of every event that was found on these bars; one in a name that is delisted meanwhile ends at its payout."""
    gone = {one.column: one for one in payouts}
    parts = [_played(bars, events, slice(first, first + TOGETHER), rules, gone) for first in range(0, max(len(events), 1), TOGETHER)]
    return Outcomes(**{item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Outcomes)})


@dataclass(frozen=True, eq=False)
class _Paths:
    """Bars after each event [step, event], mirrored for the short side so that up is always favourable."""

    step: Rows
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    broken: Flags

    @classmethod
    def of(cls, bars: EventBars, t: Rows, column: Rows, side: NDArray[np.int8], steps: int) -> _Paths:
        step = np.arange(1, steps + 1)[:, None]
        at, inside = np.minimum(t + step, len(bars.close) - 1), t + step < len(bars.close)
        sign = side.astype(np.float64)
        opened, high, low, close = (sign * np.where(inside, x[at, column], np.nan) for x in (bars.open, bars.high, bars.low, bars.close))
        broken = inside & (step > 1) & bars.is_broken[at, column]
        return cls(
            step, opened, np.where(side > 0, high, low), np.where(side > 0, low, high), close, np.logical_or.accumulate(broken, axis=0)
        )


def _played(bars: EventBars, events: EventTable, part: slice, rules: OutcomeRules, gone: dict[int, Payout]) -> Outcomes:
    t, column, side, atr = events.row[part], events.column[part], events.side[part], events.atr[part]
    rows, each = len(bars.close), np.arange(len(t))
    paths = _Paths.of(bars, t, column, side, rules.patience + EXIT_SESSIONS)
    step, unit = paths.step, rules.stop_atr * atr
    paths, entry, is_met = _at_the_entry(paths, rules.entry_atr * atr, rules.entry_atr)
    upper, lower = entry + rules.target_r * unit, entry - unit
    session_left = rules.patience if bars.last_row is None else np.minimum(bars.last_row[t] - t, rules.patience)
    last, paid, effective = _departures(bars, column, side, gone, rows + rules.patience)
    life = np.minimum(session_left, last - t)
    is_cut, alive = last - t < session_left, step <= life
    is_entered = is_met & (life >= 1) & (unit > 0.0)

    touched, level, hit = first_touch(paths.open, paths.high, paths.low, upper, lower, step == 1)
    touched &= alive
    has, place = touched.any(axis=0), touched.argmax(axis=0)
    timed, timed_step = _without_touch(paths, life, is_bound=bars.last_row is not None)
    price = np.where(has, level[place, each], np.where(is_cut, paid, timed))
    exit_step = np.where(has, place + 1, np.where(is_cut, life, timed_step))
    t1 = np.where(~has & is_cut, effective, t + exit_step)
    is_known = is_entered & np.isfinite(price) & (t1 < rows) & ~paths.broken[np.maximum(exit_step, 1) - 1, each]

    is_gap = has & (exit_step > 1) & ((paths.open[place, each] <= lower) | (paths.open[place, each] >= upper))
    how = np.where(
        has, np.where(is_gap, Exit.GAP, np.where(hit[place, each] > 0, Exit.TARGET, Exit.STOP)), np.where(is_cut, Exit.DELISTED, Exit.TIME)
    )
    is_tie = has & ~is_gap & (paths.low[place, each] <= lower) & (paths.high[place, each] >= upper)
    before = (step < exit_step) | ((step == exit_step) & ~has)
    runup = _largest(before & alive, paths.high - entry, price - entry)
    drawdown = _largest((before | ((step == exit_step) & (how == Exit.TARGET))) & alive, entry - paths.low, entry - price)

    end = np.where(is_cut, effective, t + life)
    is_seen = is_entered & (end < rows) & ~paths.broken[np.maximum(life, 1) - 1, each]
    mfe, mae = _largest(alive, paths.high - entry), _largest(alive, entry - paths.low)
    not_entered = ~is_entered & (np.minimum(t + 1, rows) < rows)
    to_target, to_stop = (
        _steps_to(reached, paths, is_entered, is_seen) for reached in (alive & (paths.high >= upper), alive & (paths.low <= lower))
    )

    return Outcomes(
        realised_r=_known((price - entry) / unit, is_known),
        runup_r=_known(runup / unit, is_known),
        drawdown_r=_known(drawdown / unit, is_known),
        mfe_atr=_known(mfe / atr, is_seen),
        mae_atr=_known(mae / atr, is_seen),
        mfe_r=_known(mfe / unit, is_seen),
        mae_r=_known(mae / unit, is_seen),
        bars_to_target=to_target.astype(np.int32),
        bars_to_stop=to_stop.astype(np.int32),
        exit=np.where(is_known, how, np.where(not_entered, Exit.NOT_ENTERED, Exit.UNKNOWN)).astype(np.int8),
        is_tie=is_tie & is_known,
        t1=np.where(is_known, t1, -1),
        seen_to=np.where(is_known & is_seen, np.maximum(t1, end), -1),
    )


def _at_the_entry(paths: _Paths, offset: Floats, sign: float) -> tuple[_Paths, Floats, Flags]:
    """(Paths, price, whether it is met) of an entry at an offset; after a better one its bar goes no further up."""
    entry = paths.open[0] + offset
    is_met = np.isfinite(entry)
    if sign > 0.0:
        return paths, entry, is_met & (paths.high[0] >= entry)
    if sign < 0.0:
        is_met &= paths.low[0] <= entry
        paths = replace(paths, high=np.vstack([np.where(is_met, entry, paths.high[0])[None], paths.high[1:]]))
    return paths, entry, is_met


def _departures(bars: EventBars, column: Rows, side: NDArray[np.int8], gone: dict[int, Payout], never: int) -> tuple[Rows, Floats, Rows]:
    """(Last row, payout seen from the side, row on which it is effective) of each event's name; `never`, NaN and -1 where it stays."""
    last, effective = np.full(len(column), never, dtype=np.int64), np.full(len(column), -1, dtype=np.int64)
    paid = np.full(len(column), np.nan)
    for place, name in enumerate(column.tolist()):
        if (one := gone.get(name)) is not None:
            last[place], effective[place] = one.last, one.effective
            paid[place] = one.payout * side[place] * bars.close[one.last, name]
    return last, paid, effective


def _known(x: Floats, where: Flags) -> Floats:
    return np.where(where, x, np.nan)


def _steps_to(reached: Flags, paths: _Paths, is_entered: Flags, is_seen: Flags) -> Rows:
    """First step [step, event] that is reached: 0 where none was as long as the trade was seen, -1 where that is not known."""
    first = reached.argmax(axis=0)
    is_known = is_entered & reached.any(axis=0) & ~paths.broken[first, np.arange(len(first))]
    return np.where(is_known, first + 1, np.where(is_seen, 0, -1))


def _without_touch(paths: _Paths, life: Rows, *, is_bound: bool) -> tuple[Floats, Rows]:
    """(Price, step) at which a trade ends that touches nothing; NaN while its way out is not known."""
    each, last = np.arange(len(life)), np.maximum(life, 1) - 1
    newest = np.maximum.accumulate(np.where(np.isfinite(paths.close), paths.step - 1, 0), axis=0)
    price_so_far = paths.close[newest[last, each], each]
    if is_bound:
        return price_so_far, life
    waiting = (paths.step > life) & (paths.step <= life + EXIT_SESSIONS) & np.isfinite(paths.open)
    returns, back = waiting.any(axis=0), waiting.argmax(axis=0)
    is_there = np.isfinite(paths.close[last, each])
    price = np.where(is_there, paths.close[last, each], np.where(returns, paths.open[back, each], price_so_far))
    return price, np.where(is_there, life, np.where(returns, back + 1, life + EXIT_SESSIONS))


def _largest(among: Flags, moves: Floats, at_least: Floats | float = 0.0) -> Floats:
    """Largest of the moves `among`, of `at_least` and of zero."""
    found = np.where(among & np.isfinite(moves), moves, 0.0).max(axis=0)
    return np.asarray(np.maximum(found, np.where(np.isfinite(at_least), at_least, 0.0)))
