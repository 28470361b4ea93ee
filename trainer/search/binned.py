"""Rows whose features are binned once for all trials and folds, where the learner supports it.

1. What a trial is told of test rows is the quantiles that their features have among all open rows: no label, and
   nothing of the sealed holdout, whose rows are not here.
2. Nothing that is published comes from here: `run.per_split` and `trainer/validation/proof.py` bin each split's
   training rows only, and the evidence names the gap between the two.
3. Rows that travel to a worker are binned there once more, with the same outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from signals.market.bars import Floats
from trainer.learners.base import Learner, SharesBins, shares_bins
from trainer.learners.fanout import RowSet
from trainer.samples.samples import Samples
from trainer.validation.splits.oof import learned_from, score_unseen, scored

if TYPE_CHECKING:
    from trainer.learners.bins import Bins


@dataclass(frozen=True, eq=False)
class BinnedRows:
    """Rows, and the bins of their features for each way of binning that was asked for.

    `fingerprint` is the SHA-256 of all that the rows hold.
    """

    rows: Samples
    fingerprint: str
    _bins: dict[tuple[int, int], Bins] = field(default_factory=dict, init=False, repr=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)

    @classmethod
    def of(cls, rows: Samples) -> BinnedRows:
        """Nothing is binned before it is asked for."""
        return cls(rows, rows.fingerprint())

    def score(self, learner: Learner, train: RowSet, test: RowSet) -> Floats:
        """Fit on the rows `train` and score the rows `test`, as `score_unseen` does but for the bins."""
        rows = self.rows
        if not shares_bins(learner):
            return score_unseen(rows, learner, train, test)
        chosen = learned_from(rows, train.numbers)
        model = learner.fit_binned(self._of(learner), chosen, rows.target[chosen], rows.weight[chosen], rows.names, rows.t0[chosen])
        return scored(model, rows.inputs(test.numbers))

    def _of(self, learner: SharesBins) -> Bins:
        with self._lock:
            if learner.binning not in self._bins:
                self._bins[learner.binning] = learner.bins(self.rows.features, self.rows.names)
            return self._bins[learner.binning]

    def __reduce__(self) -> tuple[object, tuple[Samples, str]]:
        return _arrived, (self.rows, self.fingerprint)

    def __dask_tokenize__(self) -> str:
        return self.fingerprint


_LAST: list[BinnedRows] = []  # of a cluster's worker: the rows that arrived last, which every batch of trials sends again


def _arrived(rows: Samples, fingerprint: str) -> BinnedRows:
    if not _LAST or _LAST[0].fingerprint != fingerprint:
        _LAST[:] = [BinnedRows(rows, fingerprint)]
    return _LAST[0]
