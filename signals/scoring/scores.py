"""Scores of one session: one number per symbol known at `asof`; higher means a higher expected return."""

from dataclasses import dataclass
from datetime import date

import numpy as np

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
