"""Walk-forward evaluation: each group of sessions is scored by a model fitted only on earlier sessions.

Cross-validation trains on the future of what it tests; this does not. It is the cross-check, and what promotion
judges: fewer sessions (the first group is never tested), one path, no hindsight.
"""

import numpy as np

from signals.errors import TooLittleHistory
from signals.market.bars import Floats
from trainer.learners.base import Learner
from trainer.learners.fanout import RowSet, side_by_side
from trainer.samples.samples import Samples
from trainer.validation.splits.cpcv import Rows, group_bounds
from trainer.validation.splits.oof import Step, score_unseen


def folds(t0: Rows, t1: Rows, groups: int) -> list[tuple[Rows, Rows]]:
    """(training rows, test rows) of groups 1 .. groups - 1; every training label ended before the test starts.

    Raises
    ------
    TooLittleHistory
        Fewer sessions than groups, or a first group too short for its labels to end inside it.
    """
    sessions = np.unique(t0)
    pairs = []
    for first, last in group_bounds(len(sessions), groups)[1:]:
        train = np.flatnonzero(t1 < sessions[first])
        if train.size == 0:
            raise TooLittleHistory(
                "no label ends before the first walk-forward test",
                where=f"session {first} of {len(sessions)}",
                fix="Train on more sessions, or with fewer groups",
            )
        pairs.append((train, np.flatnonzero((t0 >= sessions[first]) & (t0 <= sessions[last]))))
    return pairs


def walk_forward(rows: Samples, learner: Learner, *, groups: int, workers: int, step: Step) -> Floats:
    """Scores, shape (n,), of the rows of every group but the first, whose rows stay NaN."""
    scores = np.full(len(rows), np.nan)
    pairs = folds(rows.t0, rows.t1, groups)
    jobs = [(learner, RowSet.of(train), RowSet.of(test)) for train, test in pairs]
    fitted = side_by_side(score_unseen, rows, jobs, workers=workers)
    for number, ((_, test), predicted) in enumerate(zip(pairs, fitted, strict=True)):
        scores[test] = predicted
        step(f"walk-forward {number + 1} of {len(pairs)}")
    return scores
