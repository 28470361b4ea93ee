r"""Open-to-open returns of a held position, including sessions without a bar.

An order for an open at which the name has no bar does not fill. A holding of a name without a bar stays at its last
price and cannot be left; it earns what the name comes back with at its next open. After `EXIT_SESSIONS` sessions
without a bar it counts as left at its last price. With O and C the open and close of a session, G the overnight return
and G* that across a gap, a holding earns from the open of session s to that of s + 1

    a bar in both           C_s / O_s (1 + G_{s+1}) - 1
    a bar in s alone        C_s / O_s - 1                    marked at its last price
    a bar in s + 1 alone    G*_{s+1}
    in neither              0
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars, Floats

Flags = NDArray[np.bool_]

EXIT_SESSIONS = 20
"""Sessions after a missing exit within which the next open is taken; then the last price."""


@dataclass(frozen=True)
class Payout:
    """One delisting inside a panel: the column, its last bar's row, the effective row, and payout / last close."""

    column: int
    last: int
    effective: int
    payout: float


def departures(bars: Bars, actions: Iterable[Action]) -> Iterator[Payout]:
    """Yield the delistings that take effect inside the panel; other actions are ignored.

    A column that trades at or after the effective session belongs to another security and is left alone.
    """
    columns = {symbol: column for column, symbol in enumerate(bars.symbols)}
    for action in actions:
        if action.kind is not ActionKind.DELISTING or action.symbol not in columns or action.cash is None:
            continue
        column = columns[action.symbol]
        effective = int(np.searchsorted(bars.sessions, np.datetime64(action.effective, "D")))
        traded = np.flatnonzero(np.isfinite(bars.close[:, column]))
        if effective < len(bars.sessions) and traded.size and traded[-1] < effective:
            last = int(traded[-1])
            yield Payout(column, last, effective, float(action.cash) / float(bars.close[last, column]))


@dataclass(frozen=True, eq=False)
class Opens:
    """Returns after the features of session t: entry at the open of t + 1, marked at the open of t + 2; (T, N) each.

    Attributes
    ----------
    earned : float64
        Return of a holding between the two opens; NaN in the last two rows and where no return is known.
    fills : bool
        Whether an order for the open of t + 1 fills: the name has a bar there.
    waits : bool
        Whether a holding can be neither left nor enlarged at the open of t + 1.
    """

    earned: Floats
    fills: Flags
    waits: Flags

    def at(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Opens:
        """Return these rows and columns."""
        place = np.ix_(rows, columns)
        return Opens(self.earned[place], self.fills[place], self.waits[place])

    def outcomes(self) -> Floats:
        """Return of an order for the open of t + 1 that leaves at the open of t + 2, or at the next one there is.

        NaN where the order does not fill, and where the way out is not known by the end of the panel.
        """
        found = np.where(self.fills, self.earned, np.nan)
        stuck = self.fills & _ahead(self.waits, 1, False)
        for step in range(1, EXIT_SESSIONS + 2):
            if not stuck.any():
                break
            found = np.where(stuck, (1.0 + found) * (1.0 + _ahead(self.earned, step, np.nan)) - 1.0, found)
            stuck = stuck & _ahead(self.waits, step + 1, False)
        return found


def opens(bars: Bars, payouts: Iterable[Payout] = ()) -> Opens:
    """Return what follows every session of a panel by the table of the module's header.

    Parameters
    ----------
    bars : Bars, shape (T, N)
    payouts : iterable of Payout
        A holding of such a name is cash from the effective session on.
    """
    shape, payouts = bars.close.shape, tuple(payouts)
    earned, waits = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    has = np.isfinite(bars.close)
    fills = np.zeros(shape, dtype=bool)
    fills[:-1] = has[1:]
    waits[:-1] = _waiting(has, payouts)[1:]
    if shape[0] > 2:
        now, then = has[1:-1], has[2:]
        day = bars.close[1:-1] / bars.open[1:-1]
        both = day * (1.0 + bars.overnight_return[2:]) - 1.0
        back = np.where(then, bars.gap_overnight[2:], 0.0)
        earned[:-2] = np.where(now, np.where(then, both, day - 1.0), back)
        for gone in payouts:
            row, held_since = gone.effective - 2, gone.effective - 1
            if row >= 0:
                marked = day[row, gone.column] if held_since == gone.last else 1.0
                earned[row, gone.column] = marked * gone.payout - 1.0
    return Opens(earned, fills, waits)


def bridged(bars: Bars) -> tuple[Floats, Floats]:
    """Total and overnight return of each bar since the bar before it, however many sessions ago, (T, N) each.

    0 where there is no bar: a holding stays at its last price.
    """
    has = np.isfinite(bars.close)
    return (
        np.where(has, np.where(np.isnan(bars.total_return), bars.gap_return, bars.total_return), 0.0),
        np.where(has, np.where(np.isnan(bars.overnight_return), bars.gap_overnight, bars.overnight_return), 0.0),
    )


def comparable(bars: Bars) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Open, high, low, close and newest close so far on one total-return scale per name."""
    growth = np.nan_to_num(bridged(bars)[0])
    level = np.cumprod(1.0 + growth, axis=0).astype(np.float64)
    close = np.where(np.isfinite(bars.close), level, np.nan)
    return close * bars.open / bars.close, close * bars.high / bars.close, close * bars.low / bars.close, close, level


def unknown_returns(bars: Bars) -> int:
    """How many bars follow an earlier bar of their name and have no return since it."""
    return int(np.count_nonzero(without_return(bars)))


def without_return(bars: Bars) -> Flags:
    """Bars that follow an earlier bar of their name and have no return since it: they cannot be compared with it."""
    has = np.isfinite(bars.close)
    earlier = np.vstack([np.zeros((1, has.shape[1]), dtype=bool), np.logical_or.accumulate(has, axis=0)[:-1]])
    found: Flags = has & earlier & np.isnan(bridged(bars)[0])
    return found


def _waiting(has: Flags, payouts: tuple[Payout, ...]) -> Flags:
    """Whether a name that had a bar has none since, for at most `EXIT_SESSIONS` sessions, and was not paid out."""
    row = np.arange(len(has))[:, None]
    last = np.maximum.accumulate(np.where(has, row, -1), axis=0)
    waits = ~has & (last >= 0) & (row - last <= EXIT_SESSIONS)
    for gone in payouts:
        waits[gone.effective :, gone.column] = False
    found: Flags = waits
    return found


def _ahead(panel: NDArray[Any], step: int, past_the_end: float) -> NDArray[Any]:
    """Row t + `step` at row t."""
    found = np.full(panel.shape, past_the_end, dtype=panel.dtype)
    if step < len(panel):
        found[:-step] = panel[step:]
    return found
