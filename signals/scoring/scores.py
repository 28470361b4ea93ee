"""Scores of one session: one number per symbol known at `asof`; higher means a higher expected return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from signals.errors import InvariantBroken, ScoresInvalid
from signals.files import sha256_of
from signals.market.bars import Floats


@dataclass(frozen=True, eq=False)
class Scores:
    """A sleeve's (or the blend's) output for one session.

    Attributes
    ----------
    asof : date
        Last session whose close entered the features.
    sleeve : str
    symbols : tuple of str, length N, sorted
    values : float64, shape (N,)
        Finite.
    source : str
        Identity of what produced them: the bundle's sha256.
    """

    asof: date
    sleeve: str
    symbols: tuple[str, ...]
    values: Floats
    source: str

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


def tied_share(values: Floats) -> float:
    """Share of scores that equal some other score exactly; 0 for an empty array."""
    if values.size == 0:
        return 0.0
    _, counts = np.unique(values, return_counts=True)
    return float(counts[counts > 1].sum() / values.size)


def standardised(values: Floats) -> Floats:
    """Z-scores over one session, shape (N,); see `z_scores`.

    Raises
    ------
    ScoresInvalid
        Fewer than two scores, or all of them equal: they rank nothing.
    """
    z = z_scores(values)
    if values.size < 2 or bool(np.isnan(z).any()):
        raise ScoresInvalid(f"{values.size} scores that are all equal rank nothing", fix="Look at the bundle")
    return z


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


def blend(scores: Sequence[Scores], weights: Sequence[float]) -> Scores:
    """Weighted average of several sleeves' standardised scores of one session.

        blend_i = sum_k w_k z_ki / sum_k w_k

    Parameters
    ----------
    scores : sequence of Scores
        One per sleeve, all of the same `asof`.
    weights : sequence of float
        Finite and not negative, not all zero; one per sleeve, on any scale.

    Returns
    -------
    Scores
        On the union of the names. A sleeve without a score for a name says nothing about it: it contributes 0, its
        own mean, so a name that few sleeves know stays near the middle.

    Raises
    ------
    ScoresInvalid
        A sleeve with weight ranks nothing.
    InvariantBroken
        Sessions differ, or the weights are not weights.
    """
    shares = np.array(weights, dtype=np.float64)
    if len(scores) != len(shares) or not len(scores):
        raise InvariantBroken(f"{len(scores)} sleeves and {len(shares)} weights")
    if not np.all(np.isfinite(shares)) or np.any(shares < 0) or shares.sum() == 0:
        raise InvariantBroken("blend weights are finite, not negative and not all zero", where=str(list(weights)))
    if len({one.asof for one in scores}) != 1:
        raise InvariantBroken("a blend is of one session", where=", ".join(f"{s.sleeve} {s.asof}" for s in scores))
    shares = shares / shares.sum()
    used = [(one, share) for one, share in zip(scores, shares, strict=True) if share > 0]
    symbols = tuple(sorted({symbol for one, _ in used for symbol in one.symbols}))
    total = np.zeros(len(symbols))
    for one, share in used:
        total[np.searchsorted(symbols, one.symbols)] += share * standardised(one.values)
    identity = "\n".join(f"{one.sleeve}|{one.source}|{float(share)!r}" for one, share in used)
    return Scores(scores[0].asof, "blend", symbols, total, sha256_of(identity.encode()))
