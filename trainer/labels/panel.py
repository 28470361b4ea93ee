"""The label panel, and per-session ranks as training targets."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from signals.errors import InvariantBroken
from signals.market.bars import Days, Floats
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
