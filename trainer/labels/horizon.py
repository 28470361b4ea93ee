"""Horizon labels: the total return from open to open over k sessions, as the device trades.

Features of session t (close) lead to an entry at the open of D = t + 1 and an exit at the open of D + k. With
C, O the close and open of one session, R its total return and G its overnight return (both fixed at curation, dividends
and splits included), the holding period is a product of per-session ratios; no price is compared across sessions:

    1 + y_t = C_D / O_D * (1 + R_{D+1}) ... (1 + R_{D+k-1}) * (1 + G_{D+k})

A plan that enters at the close, or in steps through the day, is learned from the prices that it meets: E is the close,
or the middle of open and close (what a day's even steps pay on average, as far as daily bars tell), and

    1 + y_t = C_D / E_D * (1 + R_{D+1}) ... (1 + R_{D+k}) * E_{D+k} / C_{D+k}

Sessions without a bar (`signals.market.bars`): where D has none, the order does not fill and there is no label; one on the
way adds nothing, and the first bar after it brings the return across the gap. Where D + k has none, the exit is the
next entry price there is, up to `EXIT_SESSIONS` sessions later; then the payout of a delisting by that session; else
the last price. The label ends where its exit does, which is later than D + k.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken
from signals.market.actions import Action
from signals.market.bars import EXIT_SESSIONS, Bars, Flags, Floats, bridged, departures
from trainer.labels.panel import Labels


class EntryPrice(StrEnum):
    """Where in the session a plan enters and leaves, in the word of a bundle's manifest."""

    OPG = "opg"
    CLS = "cls"
    DAY = "day"


def horizon_labels(bars: Bars, k: int, *, delistings: Iterable[Action] = (), entry: EntryPrice = EntryPrice.OPG) -> Labels:
    """Label every eligible name of every session whose exit is inside the panel.

    Parameters
    ----------
    bars : Bars, shape (T, N)
    k : int, sessions
        Holding period; at least 1.
    delistings : iterable of Action
        A name that is delisted while held, or while its exit is awaited, ends there: it is worth its cash payout, and
        the label ends at the effective session. Without this the worst outcomes would be missing. Other actions are
        ignored: returns hold them.
    entry : EntryPrice
        Price of D at which the position is entered, and of D + k at which it is left.

    Returns
    -------
    Labels
        NaN where the name is not eligible, has no bar at D, a return is not known, or the exit is not by the panel's
        end; the last k + 1 rows have none.
    """
    if k < 1:
        raise InvariantBroken(f"a label lasts at least one session, not {k}")
    shape = bars.close.shape
    growth, ends = np.full(shape, np.nan), np.full(shape, -1, dtype=np.int64)
    if shape[0] - 1 - k > 0:
        price = _entry_price(bars, entry)
        steps = _Steps.of(bars, price, entry)
        _to_the_exit(steps, k, growth, ends)
        _end_at_delisting(bars, steps, k, growth, ends, delistings, price)
    values = np.where(bars.eligible, growth - 1.0, np.nan)
    return Labels(bars.sessions, bars.symbols, values, np.where(np.isfinite(values), ends, -1))


@dataclass(frozen=True, eq=False)
class _Steps:
    """Factors of a holding by session, (T, N): of its first, of one in between, and of its last; where it has a bar."""

    first: Floats
    between: Floats
    last: Floats
    has: Flags

    @classmethod
    def of(cls, bars: Bars, price: Floats, entry: EntryPrice) -> _Steps:
        total, overnight = bridged(bars)
        last = 1.0 + overnight if entry is EntryPrice.OPG else (1.0 + total) * (price / bars.close)
        return cls(bars.close / price, 1.0 + total, last, np.isfinite(bars.close))


def _entry_price(bars: Bars, entry: EntryPrice) -> Floats:
    if entry is EntryPrice.OPG:
        return bars.open
    return bars.close if entry is EntryPrice.CLS else (bars.open + bars.close) / 2.0


def _to_the_exit(steps: _Steps, k: int, growth: Floats, ends: NDArray[np.int64]) -> None:
    """Fill in place gross returns, and the rows at which they end, of all that leave at a price of their own."""
    sessions = len(growth)
    labelled = sessions - 1 - k
    held = steps.first[1 : 1 + labelled].copy()
    for step in range(1, k):
        held *= steps.between[1 + step : 1 + step + labelled]
    waiting = np.isfinite(held)
    row = np.arange(labelled)[:, None]
    for late in range(min(EXIT_SESSIONS + 1, labelled)):
        count = labelled - late  # rows whose exit, this late, is inside the panel
        exits = slice(1 + k + late, sessions)
        leaves = waiting[:count] & steps.has[exits]
        growth[:count] = np.where(leaves, held[:count] * steps.last[exits], growth[:count])
        if late == EXIT_SESSIONS:
            leaves = waiting[:count]
            growth[:count] = np.where(leaves & ~steps.has[exits], held[:count], growth[:count])
        ends[:count] = np.where(leaves, row[:count] + 1 + k + late, ends[:count])
        waiting[:count] &= ~leaves
        if not waiting.any():
            break


def _end_at_delisting(
    bars: Bars, steps: _Steps, k: int, growth: Floats, ends: NDArray[np.int64], actions: Iterable[Action], price: Floats
) -> None:
    """Fill in place the labels of names that stop trading before their exit and are paid out while it is awaited."""
    for gone in departures(bars, actions):
        column, worth = gone.column, gone.payout
        for entry in range(gone.last, 0, -1):  # rows whose entry is at `entry`, walking back from the last bar
            leaves = entry + k
            if leaves <= gone.last or not np.isfinite(worth):
                break
            if gone.effective <= leaves + EXIT_SESSIONS and entry - 1 < len(growth) - 1 - k:
                growth[entry - 1, column] = worth * bars.close[entry, column] / price[entry, column]
                ends[entry - 1, column] = gone.effective
            worth *= steps.between[entry, column]
