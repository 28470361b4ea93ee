r"""Combinatorial purged cross-validation on a panel of many symbols per session.

Source: Lopez de Prado, Advances in Financial Machine Learning, ch. 7 and 12. Entry points: `splits`, `path_table`,
`leaks`. Rows are (session, symbol) pairs in any order; row i has a label interval [t0_i, t1_i] of session numbers.

1. Groups cut the *unique sessions* of t0, never the rows: every symbol of a session falls in the same group.
2. A training row goes (purge) when its closed interval meets [first t0, last t1] of a test *segment*, a contiguous run
   of test groups.
3. A training row goes (embargo) when its interval meets the `embargo` sessions after the segment's last t1: the
   embargo is counted in sessions and stacks on the purge.
4. `leaks` counts, by another route, the training rows that break 2 or 3. It is exactly 0 for every split.
5. With N groups, k of them tested, there are C(N, k) splits and k/N C(N, k) paths; the j-th split that tests a group
   serves that group on path j, so each path holds every session exactly once.

Examples
--------
Ten sessions, one symbol, labels that end one session later, five groups of which one is tested, an embargo of one:

>>> import numpy as np
>>> t0 = np.arange(10)
>>> for split in splits(t0, t0 + 1, groups=5, test_groups=1, embargo=1):
...     print(split.number, split.test.tolist(), split.train.tolist())
0 [0, 1] [4, 5, 6, 7, 8, 9]
1 [2, 3] [0, 6, 7, 8, 9]
2 [4, 5] [0, 1, 2, 8, 9]
3 [6, 7] [0, 1, 2, 3, 4]
4 [8, 9] [0, 1, 2, 3, 4, 5, 6]

In split 1 the test labels live on sessions 2 to 4: row 1 ends at 2 and is purged, row 4 starts inside, row 5 is the
embargo, row 6 is the first that is free.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken, TooLittleHistory

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """A contiguous run of test groups: its first t0 and last t1, session numbers."""

    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Split:
    """One division of the rows.

    Attributes
    ----------
    number : int
        Position in lexicographic order of `groups`.
    groups : tuple of int
        The tested groups.
    train, test : int64, ascending row numbers
    group_of_row : int64, shape (n,)
        Group of every row of the panel.
    """

    number: int
    groups: tuple[int, ...]
    segments: tuple[Segment, ...]
    train: Rows
    test: Rows
    group_of_row: Rows


def splits(t0: Rows, t1: Rows, *, groups: int = 8, test_groups: int = 2, embargo: int = 10) -> Iterator[Split]:
    """Yield the C(groups, test_groups) splits in lexicographic order of the tested groups.

    Parameters
    ----------
    t0, t1 : int64, shape (n,), session numbers with t0 <= t1
        Sessions at which each row's label interval starts and ends.
    groups, test_groups, embargo : int
        N, k and the embargo in sessions.

    Raises
    ------
    TooLittleHistory
        Fewer sessions than groups, or a split that leaves nothing to train on.
    """
    if not 0 < test_groups < groups or embargo < 0:
        raise InvariantBroken(f"{groups} groups, {test_groups} tested, embargo {embargo} make no cross-validation")
    if t0.shape != t1.shape or bool(np.any(t1 < t0)):
        raise InvariantBroken("every row needs a label interval with t0 <= t1")
    group_of_row = _group_of_row(t0, groups)
    for number, tested in enumerate(combinations(range(groups), test_groups)):
        is_test = np.isin(group_of_row, tested)
        segments = _segments(tested, group_of_row, t0, t1)
        free = ~is_test
        for segment in segments:
            free &= (t1 < segment.first) | (t0 > segment.last + embargo)
        if not bool(free.any()):
            raise TooLittleHistory(
                "a split has no training rows after purge and embargo",
                where=f"groups {tested} of {groups}",
                fix="Train on more sessions, or with a shorter embargo",
            )
        yield Split(number, tested, segments, np.flatnonzero(free), np.flatnonzero(is_test), group_of_row)


def path_table(groups: int, test_groups: int) -> NDArray[np.int64]:
    """Split that serves each group on each path, shape (paths, groups); AFML fig. 12.2 for (6, 2)."""
    serving: list[list[int]] = [[] for _ in range(groups)]
    for number, tested in enumerate(combinations(range(groups), test_groups)):
        for group in tested:
            serving[group].append(number)
    return np.array(serving, dtype=np.int64).T


def group_bounds(sessions: int, groups: int) -> list[tuple[int, int]]:
    """First and last position, closed, of each group among `sessions` unique sessions; sizes differ by at most one."""
    if sessions < groups:
        raise TooLittleHistory(
            f"{sessions} labelled sessions cannot be cut into {groups} groups", fix="Train on more sessions, or with fewer groups"
        )
    return [(int(part[0]), int(part[-1])) for part in np.array_split(np.arange(sessions), groups)]


def leaks(t0: Rows, t1: Rows, split: Split, *, embargo: int) -> int:
    """Count the training rows of `split` whose label interval meets a test row's interval or embargo.

    Written apart from `splits`, from the rows only: every test row marks the sessions t0 .. t1 + embargo, and a
    training row that touches a marked session, or is itself a test row, is a leak.
    """
    marked = np.zeros(int(max(t1.max(), t0.max())) + embargo + 2, dtype=bool)
    for start, end in set(zip(t0[split.test].tolist(), t1[split.test].tolist(), strict=True)):
        marked[start : end + embargo + 1] = True
    touched = np.concatenate([[0], np.cumsum(marked)])
    meets = touched[t1[split.train] + 1] > touched[t0[split.train]]
    return int(np.count_nonzero(meets | np.isin(split.train, split.test)))


def _group_of_row(t0: Rows, groups: int) -> Rows:
    sessions, session_of_row = np.unique(t0, return_inverse=True)
    group_of_session = np.empty(len(sessions), dtype=np.int64)
    for group, (first, last) in enumerate(group_bounds(len(sessions), groups)):
        group_of_session[first : last + 1] = group
    return group_of_session[session_of_row]


def _segments(tested: tuple[int, ...], group_of_row: Rows, t0: Rows, t1: Rows) -> tuple[Segment, ...]:
    runs: list[list[int]] = []
    for group in tested:
        if runs and group == runs[-1][-1] + 1:
            runs[-1].append(group)
        else:
            runs.append([group])
    members = [np.isin(group_of_row, run) for run in runs]
    return tuple(Segment(int(t0[rows].min()), int(t1[rows].max())) for rows in members)
