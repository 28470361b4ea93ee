"""Out-of-fold scores: every session scored by models that never saw it, once per path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.bars import Floats
from signals.errors import InvariantBroken
from trainer.models.base import Learner
from trainer.samples import Samples
from trainer.validation.cpcv import leaks, path_table, splits

Step = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Scores of the open rows on each path.

    Attributes
    ----------
    scores : float64, shape (P, n)
        Score of every row on every path, in the rows' order; all finite.
    train_rows, leaks : int64, shape (splits,)
        Rows each split trained on, and its leak certificate: 0, each.
    """

    scores: Floats
    train_rows: NDArray[np.int64]
    leaks: NDArray[np.int64]


def cross_validate(
    rows: Samples, learner: Learner, *, groups: int, test_groups: int, embargo: int, step: Step
) -> OutOfFold:
    """Fit one model per split and hand its test scores to the paths that it serves.

    Parameters
    ----------
    step : callable
        Told the name of each split when it is done.

    Raises
    ------
    TooLittleHistory
        Too few sessions for the splits.
    InvariantBroken
        A split's leak certificate is not 0.
    """
    table = path_table(groups, test_groups)
    scores = np.full((len(table), len(rows)), np.nan)
    sizes, certificates = [], []
    for split in splits(rows.t0, rows.t1, groups=groups, test_groups=test_groups, embargo=embargo):
        certificate = leaks(rows.t0, rows.t1, split, embargo=embargo)
        if certificate:
            raise InvariantBroken(f"{certificate} training rows leak into the test", where=f"split {split.number}")
        model = learner.fit(rows.features[split.train], rows.target[split.train], rows.weight[split.train], rows.names)
        predicted = model.predict(rows.features[split.test])
        for group in split.groups:
            path = int(np.flatnonzero(table[:, group] == split.number)[0])
            member = split.group_of_row[split.test] == group
            scores[path, split.test[member]] = predicted[member]
        sizes.append(len(split.train))
        certificates.append(certificate)
        step(f"split {split.number + 1}")
    if not bool(np.isfinite(scores).all()):
        raise InvariantBroken("a path misses the score of some row")
    return OutOfFold(scores, np.array(sizes), np.array(certificates))
