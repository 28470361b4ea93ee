r"""Session returns of the decile book of a set of scores, the input of Sharpe ratios.

    r_t = sum_i w_{t,i} y_{t,i} - s/2 sum_i |w_{t,i} - w_{t-1,i}|

w_t is the book of `execution/yardstick.py` after session t, y_t the return from the open of t + 1 to the open of t + 2
with delistings at their payout, s the full quoted spread. The returns of neighbouring sessions do not overlap, so
T sessions are T observations. No impact, borrow, caps or neutrality: it compares scores, it is no backtest.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from execution.costs.spread import half_spread
from signals.errors import TooLittleHistory
from signals.market.actions import Action
from signals.market.bars import Bars, Floats, Opens, departures, opens
from trainer.labels.panel import Rows
from trainer.validation.deciles import book_weights, decile_of


@dataclass(frozen=True, eq=False)
class BookReturns:
    """Net returns, float64 (n,), fraction of equity, of the books after the sessions `rows` (rows of the panel)."""

    rows: Rows
    net: Floats


def next_opens(bars: Bars, delistings: Iterable[Action]) -> Opens:
    """Return what a holding of every name earns from the open of t + 1 to the open of t + 2, its delisting included."""
    return opens(bars, departures(bars, delistings))


def book_returns(scores: Floats, following: Opens, k: int) -> BookReturns:
    """Net returns of the k-cohort decile book of `scores`.

    Parameters
    ----------
    scores : float64, shape (T, N)
        NaN where there is none; a session without any is left out.
    following : Opens, shape (T, N)
        From `next_opens`; a return that is not known earns nothing.

    Raises
    ------
    TooLittleHistory
        Fewer than k sessions are scored.
    """
    rows = np.flatnonzero(np.isfinite(scores).any(axis=1))
    if len(rows) < k:
        raise TooLittleHistory(f"{len(rows)} scored sessions make no book of {k} cohorts")
    weights = book_weights(decile_of(scores[rows]), k, following.fills[rows], following.waits[rows])
    rows = rows[k - 1 :]
    earned = np.einsum("tn,tn->t", weights, np.nan_to_num(following.earned[rows]))
    before = np.vstack([np.zeros(weights.shape[1]), weights[:-1]])
    traded = np.abs(weights - before).sum(axis=1)
    return BookReturns(rows.astype(np.int64), earned - float(half_spread()) * traded)
