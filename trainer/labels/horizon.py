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
from scipy.special import ndtri

from signals.errors import InvariantBroken
from signals.market.actions import Action
from signals.market.bars import EXIT_SESSIONS, Bars, Days, Flags, Floats, bridged, departures
from signals.scoring.scores import MIN_NAMES, average_ranks

__all__ = ["MIN_NAMES", "Labels", "Rows", "normal_ranks"]

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labels:
    """Outcomes of a run of sessions, dense [session, symbol].

    Attributes
    ----------
    sessions : datetime64[D], shape (T,)
        Sessions of the bars that the labels were computed from.
    symbols : tuple of str, length N
    values : float64, shape (T, N), fraction
        Outcome of the features' session t; NaN where there is none.
    ends : int64, shape (T, N)
        Row of the session at which the label is known (t1); -1 where there is no label. t0 is the row itself: the
        features' session, one before the entry, so that a closed interval [t0, t1] covers all that was looked at.
    target : float64, shape (T, N), optional
        What is learned of each; None learns the rank of the value within its session.
    quality : float64, shape (T, N), optional
        Weight of each, with mean 1 in every session; None weighs all alike.
    """

    sessions: Days
    symbols: tuple[str, ...]
    values: Floats
    ends: Rows
    target: Floats | None = None
    quality: Floats | None = None

    def __post_init__(self) -> None:
        shape = (len(self.sessions), len(self.symbols))
        if self.values.shape != shape or self.ends.shape != shape:
            raise InvariantBroken(f"labels of shape {self.values.shape} and ends of {self.ends.shape}, not {shape}")
        labelled = self.ends >= 0
        if not np.array_equal(np.isfinite(self.values), labelled):
            raise InvariantBroken("a label has an end and an end has a label")
        for beside in (self.target, self.quality):
            if beside is not None and (beside.shape != shape or not bool(np.isfinite(beside[labelled]).all())):
                raise InvariantBroken("a label has a finite target and quality")
        starts = np.arange(shape[0])[:, None]
        if bool(np.any(labelled & (self.ends <= starts))) or bool(np.any(self.ends >= shape[0])):
            raise InvariantBroken("a label ends after its features and inside the panel")
        self.values.setflags(write=False)
        self.ends.setflags(write=False)


def normal_ranks(values: Floats) -> Floats:
    r"""Per-row inverse-normal ranks: :math:`\Phi^{-1}((r - 1/2) / n)`, r the average rank among the row's n numbers.

    Parameters
    ----------
    values : float64, shape (T, N)
        NaN is absent: it takes no rank and stays NaN.

    Returns
    -------
    float64, shape (T, N)
        Ties share their average rank; a lone value maps to 0.
    """
    ranked = np.full(values.shape, np.nan)
    for row, out in zip(values, ranked, strict=True):
        present = np.flatnonzero(np.isfinite(row))
        if present.size:
            out[present] = ndtri((average_ranks(row[present]) - 0.5) / present.size)
    return ranked


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
