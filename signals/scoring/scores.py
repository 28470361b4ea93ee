"""Scores of one session: one number per symbol known at `asof`, higher means a higher expected return; their z and their rank IC."""

from dataclasses import dataclass
from datetime import date
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken, ScoresInvalid
from signals.market.bars import Floats


@dataclass(frozen=True, eq=False)
class Scores:
    """A sleeve's output for one session.

    Attributes
    ----------
    asof : date
        Last session whose close entered the features.
    symbols : tuple of str, length N, sorted
    values : float64, shape (N,)
        Finite.
    source : str
        Identity of what produced them: the bundle's sha256.
    probabilities : float64, shape (N,), optional
        Of the event that the bundle's map is for, strictly between 0 and 1; None where it has no map.
    """

    asof: date
    sleeve: str
    symbols: tuple[str, ...]
    values: Floats
    source: str
    probabilities: Floats | None = None

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.symbols),):
            raise InvariantBroken(f"{len(self.symbols)} symbols but scores of shape {self.values.shape}")
        if list(self.symbols) != sorted(set(self.symbols)):
            raise InvariantBroken("symbols must be sorted and distinct")
        bad = np.flatnonzero(~np.isfinite(self.values))
        if bad.size:
            raise ScoresInvalid(
                f"{bad.size} of {self.values.size} scores are not finite",
                where=f"first {self.symbols[bad[0]]}",
                fix="Check the features of this session",
            )
        self.values.setflags(write=False)
        if self.probabilities is not None:
            if self.probabilities.shape != self.values.shape or not ((self.probabilities > 0.0) & (self.probabilities < 1.0)).all():
                raise ScoresInvalid("a probability is not between 0 and 1, or they are not one a score", fix="Publish another bundle")
            self.probabilities.setflags(write=False)


def tied_share(values: Floats) -> float:
    """Share of scores that equal some other score exactly; 0 for an empty array."""
    if values.size == 0:
        return 0.0
    _, counts = np.unique(values, return_counts=True)
    return float(counts[counts > 1].sum() / values.size)


def z_scores(values: Floats) -> Floats:
    """(s - mean) / standard deviation along the last axis, over the scores that are there; the shape of `values`.

    The deviation has ddof 0: the session's names are all there are, not a sample. NaN where a score is missing, and
    for all names of a session whose scores are equal.
    """
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=-1, keepdims=True), 1)
    mean = np.where(known, values, 0.0).sum(axis=-1, keepdims=True) / count
    centred = np.where(known, values - mean, 0.0)
    deviation = np.sqrt(np.square(centred).sum(axis=-1, keepdims=True) / count)
    lowest = values.min(axis=-1, keepdims=True, initial=np.inf, where=known)
    highest = values.max(axis=-1, keepdims=True, initial=-np.inf, where=known)
    ranks = (highest > lowest) & (deviation > 0.0)  # equal scores may deviate from their mean by rounding
    z: Floats = np.where(known & ranks, centred / np.where(ranks, deviation, 1.0), np.nan)
    return z


Z_CLIP = 3.0
"""Largest |z|, in standard deviations: beyond it the normal tail says more than a rank can know."""


def average_ranks(values: Floats) -> Floats:
    """Ranks from 1 (lowest) to N (highest); equal values share the average of their ranks.

    Parameters
    ----------
    values : float64, shape (N,)
        Finite.

    Returns
    -------
    float64, shape (N,)

    Examples
    --------
    >>> average_ranks(np.array([0.3, 0.1, 0.3, 0.9])).tolist()
    [2.5, 1.0, 2.5, 4.0]
    """
    ranks: Floats = _average_ranks(values[None])[0]
    return ranks


def _average_ranks(rows: Floats) -> Floats:
    """Average ranks within each row (T, N)."""
    order = np.argsort(rows, axis=1)
    ordered = np.take_along_axis(rows, order, axis=1)
    places = np.arange(rows.shape[1])
    differs = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((len(rows), 1), dtype=np.bool_)
    first = np.maximum.accumulate(np.where(np.hstack((edge, differs)), places, 0), axis=1)
    last = np.minimum.accumulate(np.where(np.hstack((differs, edge)), places, places.size)[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, (first + last) / 2.0 + 1.0, axis=1)
    return ranks


def inverse_normal(values: Floats) -> Floats:
    """z_i = Phi^-1((rank_i - 1/2) / N), clipped to [-Z_CLIP, Z_CLIP].

    Symmetric about 0, equal for ties, unchanged by any increasing transformation of the values.

    Parameters
    ----------
    values : float64, shape (N,)
        Finite.

    Returns
    -------
    float64, shape (N,)

    Examples
    --------
    >>> inverse_normal(np.array([10.0, 30.0, 20.0])).round(4).tolist()
    [-0.9674, 0.9674, 0.0]
    """
    quantiles = (average_ranks(values) - 0.5) / max(values.size, 1)
    standard = NormalDist()
    z = np.array([standard.inv_cdf(q) for q in quantiles.tolist()], dtype=np.float64)
    return np.clip(z, -Z_CLIP, Z_CLIP)


MIN_NAMES = 10  # a rank correlation of fewer names says nothing; such a session has no IC
ROWS_AT_ONCE = 128  # a dozen arrays of so many rows stay small next to the panels that they are cut from


def rank_ic(scores: Floats, labels: Floats, *, min_names: int = MIN_NAMES) -> Floats:
    """Spearman correlation of each session's scores and labels.

    Parameters
    ----------
    scores, labels : float64, shape (T, N)
        Names NaN in either are left out of that session.

    Returns
    -------
    float64, shape (T,)
        NaN where fewer than `min_names` names remain or either side is constant.
    """
    if scores.shape != labels.shape:
        raise InvariantBroken(f"scores of shape {scores.shape} and labels of {labels.shape}")
    series = np.full(len(scores), np.nan)
    both = np.isfinite(scores) & np.isfinite(labels)
    enough = np.flatnonzero(both.sum(axis=1) >= min_names)
    for first in range(0, enough.size, ROWS_AT_ONCE):
        rows = enough[first : first + ROWS_AT_ONCE]
        known = both[rows]
        a, b = (_centred_ranks(side[rows], known) for side in (scores, labels))
        scale = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
        series[rows[scale > 0.0]] = (a * b).sum(axis=1)[scale > 0.0] / scale[scale > 0.0]
    return series


def _centred_ranks(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """Average ranks of each row's known values less their mean; 0 elsewhere.

    Multiples of a half, so that sums of their products are exact in any order.
    """
    ranks = _average_ranks(np.where(known, values, np.inf))  # unknown ones come last and leave the others their ranks
    return np.where(known, ranks - (known.sum(axis=1, keepdims=True) + 1) / 2.0, 0.0)


def shrunk_ic(mean: float, t: float) -> float:
    """IC t^2 / (1 + t^2): an estimate no larger than its standard error keeps at most half of itself."""
    return mean * t * t / (1.0 + t * t)
