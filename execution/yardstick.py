r"""The yardstick of a model in training and live: the long-short book of the top and bottom deciles of its scores.

The top tenth of names is held with +1/2 and the bottom tenth with -1/2 of equity, equally weighted, in k overlapping
cohorts of which one is renewed per session:

    w_t = mean of the decile weights of sessions t - k + 1 .. t        gross <= 1
    turnover_t = sum_i |w_{t,i} - w_{t-1,i}| / 2
    net_t = sum_i w_{t,i} y_{t,i} - s/2 sum_i |w_{t,i} - w_{t-1,i}|
    impact_t = sum_i c_i |dw_i|^{3/2} / sum_i |dw_i|                   per traded value, at an equity of 1 USD

y_t is the return from the open of t + 1 to the open of t + 2, s the full quoted spread, c_i = Y sigma_i / sqrt(ADV_i):
at an equity of E the impact is impact_t sqrt(E). Neighbouring sessions' returns do not overlap. A name without a bar at
the open of t + 1 enters no cohort that begins there, and its weight stays as it was (`signals.market.bars`). No caps, no
neutrality, no borrow: it compares a model with its own past, it is no backtest.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from execution.costs.spread import half_spread
from signals.errors import InvariantBroken
from signals.market.bars import Flags, Floats, Opens
from signals.scoring.scores import MIN_NAMES, average_ranks, rank_ic

DECILES = 10


@dataclass(frozen=True, eq=False)
class Lived:
    """Results of a run of scores, session by session, from the first that has a book before it.

    Attributes
    ----------
    rows : int64, shape (n,)
        Rows of the scores' panel.
    ic : float64, shape (n,)
        Rank IC against the following open-to-open return; NaN where there is none.
    turnover, net : float64, shape (n,), fraction of equity
    impact : float64, shape (n,)
        Fraction of traded value per square root of a USD of equity; NaN where nothing was traded.
    deciles : float64, shape (n, 10)
        Mean following return of the names of each decile in excess of the mean of all; NaN where none is known.
    """

    rows: NDArray[np.int64]
    ic: Floats
    turnover: Floats
    net: Floats
    impact: Floats
    deciles: Floats


def lived(scores: Floats, following: Opens, k: int, coefficient: Floats | None = None) -> Lived:
    """Measure a run of scores by the formulas of the module's header.

    Parameters
    ----------
    scores : float64, shape (T, N)
        NaN where there is none; a session without any is left out.
    following : Opens, shape (T, N)
        A return that is not known earns nothing.
    k : int
        Cohorts.
    coefficient : float64, shape (T, N), optional
        c_i; a name without one trades free of impact.
    """
    rows = np.flatnonzero(np.isfinite(scores).any(axis=1))
    if len(rows) <= k:
        nothing = np.empty(0)
        return Lived(rows[:0].astype(np.int64), nothing, nothing, nothing, nothing, nothing.reshape(0, DECILES))
    deciles = decile_of(scores[rows])
    weights = book_weights(deciles, k, following.fills[rows], following.waits[rows])
    changes = np.abs(np.diff(weights, axis=0))
    rows = rows[k:].astype(np.int64)
    traded = changes.sum(axis=1)
    earned = np.einsum("tn,tn->t", weights[1:], np.nan_to_num(following.earned[rows]))
    priced = np.zeros_like(changes) if coefficient is None else changes**1.5 * coefficient[rows]
    paid = np.where(np.isfinite(priced), priced, 0.0).sum(axis=1)
    impact = np.divide(paid, traded, out=np.full(len(rows), np.nan), where=traded > 0)
    net = earned - float(half_spread()) * traded
    outcomes = following.outcomes()[rows]
    return Lived(rows, rank_ic(scores[rows], outcomes), traded / 2.0, net, impact, _by_decile(deciles[k:], outcomes))


def _by_decile(deciles: Floats, outcomes: Floats) -> Floats:
    """Mean outcome of each decile in excess of the mean over all names of the session that have both."""
    known = np.isfinite(deciles) & np.isfinite(outcomes)
    sets = np.stack([known, *(known & (deciles == decile) for decile in range(DECILES))])
    count, total = sets.sum(axis=2), np.where(sets, outcomes, 0.0).sum(axis=2)
    means: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    excess: Floats = (means[1:] - means[0]).T
    return excess


def levels(net: Floats) -> Floats:
    """Value after each net return from a start of 1, along the last axis; once it is zero or below, it stays there.

    Examples
    --------
    >>> levels(np.array([0.5, -3.0, 0.5])).tolist()
    [1.5, -3.0, -3.0]
    """
    found = np.cumprod(1.0 + net, axis=-1).astype(np.float64)
    over = np.logical_or.accumulate(found <= 0.0, axis=-1)
    final = np.take_along_axis(found, over.argmax(axis=-1, keepdims=True), axis=-1)
    return np.where(over, final, found)


def decile_of(scores: Floats) -> Floats:
    """Decile of each name within its session, 0 lowest to 9 highest, shape (T, N).

    Ties share their average rank. NaN where the score is NaN or fewer than `MIN_NAMES` names have one.
    """
    deciles = np.full(scores.shape, np.nan)
    for row, out in zip(scores, deciles, strict=True):
        present = np.flatnonzero(np.isfinite(row))
        if present.size >= MIN_NAMES:
            out[present] = np.floor(DECILES * (average_ranks(row[present]) - 0.5) / present.size)
    return deciles


def book_weights(deciles: Floats, k: int, fills: Flags | None = None, waits: Flags | None = None) -> Floats:
    """Weights of the k-cohort decile book, shape (T', N), for the T' sessions at which k cohorts exist.

    Parameters
    ----------
    deciles : float64, shape (T, N)
    fills, waits : bool, shape (T, N), optional
        Of `signals.market.bars.Opens`: where they are not given, every order fills.
    """
    if k < 1 or len(deciles) < k:
        raise InvariantBroken(f"{len(deciles)} sessions make no book of {k} cohorts")
    top, bottom = (deciles == DECILES - 1).astype(float), (deciles == 0).astype(float)
    cohort = 0.5 * (_each_row_to_one(top) - _each_row_to_one(bottom))
    if fills is not None:
        cohort = np.where(fills, cohort, 0.0)
    summed = np.cumsum(cohort, axis=0)
    summed[k:] = summed[k:] - summed[:-k]
    weights: Floats = summed[k - 1 :] / k
    return weights if waits is None else _kept(weights, waits[k - 1 :])


def _kept(weights: Floats, waits: Flags) -> Floats:
    """The weights, but where a name waits those of the last session in which it did not; 0 where there is none."""
    source = np.where(waits, -1, np.arange(len(weights))[:, None])
    source = np.maximum.accumulate(source, axis=0)
    return np.where(source >= 0, np.take_along_axis(weights, np.maximum(source, 0), axis=0), 0.0)


def _each_row_to_one(flags: Floats) -> Floats:
    count = flags.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(flags, count, out=np.zeros_like(flags), where=count > 0)
    return shares
