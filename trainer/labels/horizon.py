"""Total return over k sessions, entry to entry: what the device trades is what is learned.

Features of session t (close) lead to an entry at the open of D = t + 1 and an exit at the open of D + k. With
C, O the close and open of one session, R its total return and G its overnight return (both fixed at curation, dividends
and splits included), the holding period is a product of per-session ratios; no price is compared across sessions:

    1 + y_t = C_D / O_D * (1 + R_{D+1}) ... (1 + R_{D+k-1}) * (1 + G_{D+k})

A plan that enters at the close, or in steps through the day, is learned from the prices that it meets: E is the close,
or the middle of open and close (what a day's even steps pay on average, as far as daily bars tell), and

    1 + y_t = C_D / E_D * (1 + R_{D+1}) ... (1 + R_{D+k}) * E_{D+k} / C_{D+k}
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import numpy as np

from signals.actions import Action
from signals.bars import Bars, Floats
from signals.errors import InvariantBroken
from trainer.labels.delisting import departures
from trainer.labels.panel import Labels


class EntryPrice(StrEnum):
    """Where in the session a plan enters and leaves, in the word of a bundle's manifest."""

    OPG = "opg"
    CLS = "cls"
    DAY = "day"


def horizon_labels(
    bars: Bars, k: int, *, delistings: Iterable[Action] = (), entry: EntryPrice = EntryPrice.OPG
) -> Labels:
    """Label every eligible name of every session whose exit lies inside the panel.

    Parameters
    ----------
    bars : Bars, shape (T, N)
    k : int, sessions
        Holding period; at least 1.
    delistings : iterable of Action
        A name that is delisted while held ends there: it is worth its cash payout, and the label ends at the effective
        session. Without this the worst outcomes would be missing. Other actions are ignored: returns hold them.
    entry : EntryPrice
        Price of D at which the position is entered, and of D + k at which it is left.

    Returns
    -------
    Labels
        NaN where the name is not eligible, has no bar at D, or misses a bar on the way; the last k + 1 rows have none.
    """
    if k < 1:
        raise InvariantBroken(f"a label lasts at least one session, not {k}")
    shape = bars.close.shape
    growth, ends = np.full(shape, np.nan), np.full(shape, -1, dtype=np.int64)
    labelled = shape[0] - 1 - k
    if labelled > 0:
        price = _entry_price(bars, entry)
        growth[:labelled] = _growth(bars, k, labelled, price, entry)
        _end_at_delisting(bars, k, growth, ends, delistings, price)
    values = np.where(bars.eligible, growth - 1.0, np.nan)
    usual = np.arange(shape[0])[:, None] + 1 + k
    known = np.isfinite(values)
    return Labels(bars.sessions, bars.symbols, values, np.where(known, np.where(ends >= 0, ends, usual), -1))


def _entry_price(bars: Bars, entry: EntryPrice) -> Floats:
    if entry is EntryPrice.OPG:
        return bars.open
    return bars.close if entry is EntryPrice.CLS else (bars.open + bars.close) / 2.0


def _growth(bars: Bars, k: int, labelled: int, price: Floats, entry: EntryPrice) -> Floats:
    """Gross return from the entry in row t + 1 to the exit in row t + 1 + k, for t < labelled."""
    first, last = slice(1, 1 + labelled), slice(1 + k, 1 + k + labelled)
    growth: Floats = bars.close[first] / price[first]
    for step in range(1, k):
        growth = growth * (1.0 + bars.total_return[1 + step : 1 + step + labelled])
    if entry is EntryPrice.OPG:
        return growth * (1.0 + bars.overnight_return[last])
    return growth * (1.0 + bars.total_return[last]) * (price[last] / bars.close[last])


def _end_at_delisting(
    bars: Bars, k: int, growth: Floats, ends: np.ndarray, actions: Iterable[Action], price: Floats
) -> None:
    """Fill in place the labels of names that stop trading between entry and exit."""
    for gone in departures(bars, actions):
        column, worth = gone.column, gone.payout
        for entry in range(gone.last, 0, -1):  # rows whose entry is at `entry`, walking back from the last bar
            if entry + k < gone.effective or not np.isfinite(worth):
                break
            if entry - 1 < len(growth) - 1 - k:
                growth[entry - 1, column] = worth * bars.close[entry, column] / price[entry, column]
                ends[entry - 1, column] = gone.effective
            worth *= 1.0 + bars.total_return[entry, column]
