"""Out-of-fold scores: every session scored by models that never saw it, once per path; walk-forward scores; three parts of one history.

Splits are fitted side by side (`trainer/learners/fanout.py`), each by a learner on one thread: on shared cores two
single-threaded fits finish long before one fit on two threads, whose threads wait for each other at every node.

Cross-validation trains on the future of what it tests; walk-forward evaluation does not: each group of sessions is scored by a
model fitted only on earlier ones. It is the cross-check, and what promotion
judges: fewer sessions (the first group is never tested), one path, no hindsight.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken, TooLittleHistory
from signals.market.bars import Floats
from trainer.learners.base import Inputs, Learner, Matrix, Model
from trainer.learners.fanout import RowSet, side_by_side
from trainer.samples.samples import Samples
from trainer.validation.splits.cpcv import Rows, Split, group_bounds, leaks, path_table, splits

Step = Callable[[str], None]
CHUNK_ROWS = 4096


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


def cross_validate(rows: Samples, learner: Learner, *, groups: int, test_groups: int, embargo: int, workers: int, step: Step) -> OutOfFold:
    """Fit one model per split and hand its test scores to the paths that it serves.

    Parameters
    ----------
    workers : int
        Splits fitted at a time; the result is the same.
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
    divisions = list(splits(rows.t0, rows.t1, groups=groups, test_groups=test_groups, embargo=embargo))
    certificates = [leaks(rows.t0, rows.t1, split, embargo=embargo) for split in divisions]
    if any(certificates):
        raise InvariantBroken(f"training rows leak into the test: {certificates} rows by split")
    scores = np.full((len(table), len(rows)), np.nan)
    jobs = [(learner, RowSet.of(split.train), RowSet.of(split.test)) for split in divisions]
    fitted = side_by_side(score_unseen, rows, jobs, workers=workers)
    for split, predicted in zip(divisions, fitted, strict=True):
        _hand_to_paths(split, predicted, table, scores)
        step(f"split {split.number + 1} of {len(divisions)}")
    if not bool(np.isfinite(scores).all()):
        raise InvariantBroken("a path misses the score of some row")
    return OutOfFold(scores, np.array([len(split.train) for split in divisions]), np.array(certificates))


def score_unseen(rows: Samples, learner: Learner, train: RowSet, test: RowSet) -> Floats:
    """Fit on the rows `train` and score the rows `test`, rounded to float32 as a device's scores are."""
    return scored(fit(rows, learner, train.numbers), rows.inputs(test.numbers))


def fit(rows: Samples, learner: Learner, chosen: NDArray[np.int64]) -> Model:
    """Fit `learner` on the rows numbered `chosen`, ascending, but for those of weight 0.

    Raises
    ------
    TooLittleHistory
        None of them weighs anything.
    """
    chosen = learned_from(rows, chosen)
    inputs = cast("Matrix", rows.inputs(chosen))  # gathered ones reach the learners whose capabilities name their view
    return learner.fit(inputs, rows.target[chosen], rows.weight[chosen], rows.names, rows.t0[chosen])


def learned_from(rows: Samples, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the rows numbered `chosen` that weigh anything; raise `TooLittleHistory` when none does."""
    chosen = chosen[rows.weight[chosen] > 0]
    if chosen.size == 0:
        raise TooLittleHistory(
            "a fold has no row of the regimes that are learned from",
            where=f"{len(rows)} rows",
            fix="Weigh regimes instead of leaving them out, or use fewer groups",
        )
    return chosen


def fit_all(rows: Samples, learner: Learner) -> Model:
    """Fit `learner` on every row that weighs anything."""
    return fit(rows, learner, np.arange(len(rows)))


def scored(model: Model, inputs: Inputs) -> Floats:
    """Scores of `inputs`, rounded to float32 as a device's are; what is gathered is gathered chunk by chunk."""
    chunk = max(1, len(inputs) if isinstance(inputs, np.ndarray) else CHUNK_ROWS)
    parts = [model.predict(inputs[start : start + chunk]) for start in range(0, len(inputs), chunk)]
    return np.concatenate(parts or [np.zeros(0)]).astype(np.float32).astype(np.float64)


def _hand_to_paths(split: Split, predicted: Floats, table: NDArray[np.int64], scores: Floats) -> None:
    group_of_test = split.group_of_row[split.test]
    for group in split.groups:
        path = int(np.flatnonzero(table[:, group] == split.number)[0])
        member = group_of_test == group
        scores[path, split.test[member]] = predicted[member]


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
    """Scores, shape (n,), or (n, m) as the learner gives, of the rows of every group but the first, whose rows stay NaN."""
    pairs = folds(rows.t0, rows.t1, groups)
    jobs = [(learner, RowSet.of(train), RowSet.of(test)) for train, test in pairs]
    fitted = side_by_side(score_unseen, rows, jobs, workers=workers)
    found = []
    for number, predicted in enumerate(fitted):
        found.append(predicted)
        step(f"walk-forward {number + 1} of {len(pairs)}")
    scores = np.full((len(rows), *found[0].shape[1:]), np.nan)
    for (_, test), predicted in zip(pairs, found, strict=True):
        scores[test] = predicted
    return scores


SHARES, WHOLE = (0.70, 0.15), 1.0 - 1e-9
PURGE = 60


@dataclass(frozen=True, eq=False)
class Parts:
    """Row numbers of training, validation and test, and the first bar of the latter two."""

    train: Rows
    validation: Rows
    test: Rows
    bounds: tuple[int, int]


def parts(t0: Rows, t1: Rows, *, embargo: int, purge: int = PURGE, shares: tuple[float, float] = SHARES) -> Parts:
    """Divide rows (t0, t1) by the share of distinct t0.

    With a and b the first t0 of validation and test:

        training    t1 < a - purge
        validation  t0 >= a + embargo  and  t1 < b - purge
        test        t0 >= b + embargo

    Where the shares of the first two are the whole there is no test, and validation goes to the end.

    Raises
    ------
    TooLittleHistory
        A part has no row.
    """
    moments, after, is_tested = np.unique(t0), int(t1.max(initial=0)) + purge + 1, sum(shares) < WHOLE
    a, b = (int(moments[min(round(share * len(moments)), len(moments) - 1)]) for share in (shares[0], sum(shares)))
    b = b if is_tested else after
    found = Parts(
        np.flatnonzero(t1 < a - purge), np.flatnonzero((t0 >= a + embargo) & (t1 < b - purge)), np.flatnonzero(t0 >= b + embargo), (a, b)
    )
    for name in ("train", "validation", "test")[: 2 + is_tested]:
        if not len(getattr(found, name)):
            raise TooLittleHistory(
                f"no row is left for {name}", where=f"{len(moments)} bars, embargo {embargo}, purge {purge}", fix="Use a longer history"
            )
    _certify(t0, t1, found)
    return found


def _certify(t0: Rows, t1: Rows, found: Parts) -> None:
    """Raise `InvariantBroken` where any label of a part reaches into the features of a later one."""
    for earlier, later in ((found.train, found.validation), (found.validation, found.test), (found.train, found.test)):
        if len(later) and int(t1[earlier].max()) >= int(t0[later].min()):
            raise InvariantBroken("a label of an earlier part reaches into a later one")
