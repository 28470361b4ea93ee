r"""Total and overnight returns of each session, computed once at curation and never revised by later data.

With adjusted closes, f = adj_close / close:

    total_t = adj_close_t / adj_close_{t-1} - 1,    overnight_t = open_t f_t / adj_close_{t-1} - 1

Without them, with r the split ratio and D the dividend per share effective on t (r = 1 unless the basis is raw):

    total_t = r (close_t + D) / close_{t-1} - 1,    overnight_t = r (open_t + D) / close_{t-1} - 1

t-1 is the exchange session before t, never merely the row before; NaN when either session has no usable bar. The two
forms differ by about D / close times the return: vendors divide the old price by (1 - D / close_{t-1}) instead.

Across sessions without a usable bar, from the last usable one b to the first after them, a, at most `GAP_SESSIONS`
later, the same two returns are fixed apart: with R_j the product of the split ratios after b up to j,

    gap_a = (R_a close_a + sum_j R_j D_j) / close_b - 1,    its overnight form with open_a, or adj_close_a / adj_close_b
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.audit.defects import Rows
from signals.market.bars import Floats

GAP_SESSIONS = 40
"""Sessions from one usable bar to the next, at most, for a return between them; a device looks back as far."""


@dataclass(frozen=True, eq=False)
class Steps:
    """Pairs of a row and the usable row of the same security before it, shape (S,).

    Attributes
    ----------
    before, after : int64
        Rows.
    sessions : int64
        From one to the other: 1 where they are on consecutive sessions.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    sessions: NDArray[np.int64]

    @property
    def is_adjacent(self) -> NDArray[np.bool_]:
        """Whether they are on consecutive sessions."""
        found: NDArray[np.bool_] = self.sessions == 1
        return found


def steps(rows: Rows, usable: NDArray[np.bool_], session: NDArray[np.int64]) -> Steps:
    """Pair each usable row with the usable row of its security before it.

    Parameters
    ----------
    usable : bool, shape (R,)
    session : int64, shape (R,)
        Position of each row's session in the calendar; not read where not usable.
    """
    kept = np.flatnonzero(usable)
    before, after = kept[:-1], kept[1:]
    same = rows.security[before] == rows.security[after]
    before, after = before[same], after[same]
    return Steps(before, after, session[after] - session[before])


def returns(rows: Rows, pairs: Steps, ratio: Floats, cash: Floats) -> tuple[Floats, Floats]:
    """Total and overnight return of every row, shape (R,) each; NaN where the session before has no usable bar.

    Parameters
    ----------
    ratio : float64, shape (R,)
        Recorded split ratio effective on the row's session; 1 where none or already adjusted.
    cash : float64, shape (R,)
        Recorded dividend per share effective on the row's session, in the dataset's basis; 0 where none.
    """
    total, overnight = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    b, a = pairs.before[pairs.is_adjacent], pairs.after[pairs.is_adjacent]
    recorded = (ratio[a] * (rows.close[a] + cash[a]) / rows.close[b] - 1, ratio[a] * (rows.open[a] + cash[a]) / rows.close[b] - 1)
    total[a], overnight[a] = _believed(rows, b, a, recorded)
    return total, overnight


def gap_returns(rows: Rows, pairs: Steps, ratio: Floats, cash: Floats) -> tuple[Floats, Floats]:
    """Total and overnight return of every row across the sessions without a usable bar before it, shape (R,) each.

    NaN where there are none or too many. Parameters are those of `returns`; what took effect on rows in between that
    are not usable is held, too.
    """
    total, overnight = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    bridged = ~pairs.is_adjacent & (pairs.sessions <= GAP_SESSIONS)
    b, a = pairs.before[bridged], pairs.after[bridged]
    shares, paid, at = np.ones(len(a)), np.zeros(len(a)), b.copy()
    while bool((at < a).any()):
        moving = np.flatnonzero(at < a)
        at[moving] += 1
        shares[moving] *= ratio[at[moving]]
        paid[moving] += shares[moving] * cash[at[moving]]
    recorded = ((shares * rows.close[a] + paid) / rows.close[b] - 1, (shares * rows.open[a] + paid) / rows.close[b] - 1)
    total[a], overnight[a] = _believed(rows, b, a, recorded)
    return total, overnight


def _believed(rows: Rows, b: NDArray[np.int64], a: NDArray[np.int64], recorded: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """The vendor's adjusted closes' returns where both rows have one, the recorded ones where neither has."""
    known_b, known_a = np.isfinite(rows.adj_close[b]), np.isfinite(rows.adj_close[a])
    adjusted_open = rows.open[a] * (rows.adj_close[a] / rows.close[a])
    adjusted = (rows.adj_close[a] / rows.adj_close[b] - 1, adjusted_open / rows.adj_close[b] - 1)
    # Where only one of the two closes has an adjusted form, neither formula holds.
    total, overnight = (
        np.where(known_a & known_b, vendor, np.where(known_a | known_b, np.nan, plain))
        for plain, vendor in zip(recorded, adjusted, strict=True)
    )
    return total, overnight
