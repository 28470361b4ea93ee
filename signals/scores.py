"""Scores: one number per symbol for the session after `asof`. Higher means a higher expected return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from signals.bars import Floats
from signals.errors import InvariantBroken, ScoresInvalid

MAX_TIED_SHARE = 0.20


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
                f"{bad.size} of {self.values.size} scores are not finite", where=f"first {self.symbols[bad[0]]}",
                mend="Check the features of this session",
            )  # fmt: skip
        self.values.setflags(write=False)


def tied_share(values: Floats) -> float:
    """Share of scores that equal some other score exactly; 0 for an empty array."""
    if values.size == 0:
        return 0.0
    _, counts = np.unique(values, return_counts=True)
    return float(counts[counts > 1].sum() / values.size)
