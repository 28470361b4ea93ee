"""Training targets of each objective, derived from per-session inverse-normal ranks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from signals.errors import BadConfig, InvariantBroken, TooLittleHistory
from signals.market.bars import Floats
from trainer.learners.base import Rows
from trainer.learners.parameters import ApartConfig, BoostedConfig, Objective


def grades(target: Floats, count: int) -> NDArray[np.int32]:
    """Grade 0 .. count - 1 of each row: which of `count` equal shares of its session its rank is in.

    Examples
    --------
    >>> grades(np.array([-1.5, -0.1, 0.1, 1.5]), 4).tolist()
    [0, 1, 2, 3]
    """
    graded: NDArray[np.int32] = np.clip(np.floor(ndtr(target) * count), 0, count - 1).astype(np.int32)
    return graded


def extremes(target: Floats, share: float) -> tuple[Rows, Floats]:
    """Rows of a session's top and bottom `share`, and 1 for the top and 0 for the bottom ones.

    Examples
    --------
    >>> rows, is_top = extremes(np.array([-1.5, -0.1, 0.1, 1.5]), 0.2)
    >>> rows.tolist(), is_top.tolist()
    ([0, 3], [0.0, 1.0])
    """
    edge = float(ndtri(1.0 - share))
    rows = np.flatnonzero(np.abs(target) >= edge)
    is_top = (target[rows] > 0.0).astype(np.float64)
    if not 0.0 < float(is_top.mean() if len(rows) else 0.0) < 1.0:
        raise InvariantBroken(f"{len(rows)} rows beyond the {share:.0%} shares do not hold both extremes")
    return rows, is_top


def learned(config: BoostedConfig, classes: int, rows: Rows, target: Floats, sessions: Rows | None) -> tuple[Rows, Floats, Rows | None]:
    """What the objective makes of the chosen rows: those that it learns from, their labels, and the sizes of the groups of `rank`."""
    target = target[rows]
    if not classes and config.objective is Objective.RANK:
        sizes = group_sizes(None if sessions is None else sessions[rows], len(rows))
        return rows, grades(target, config.grades).astype(np.float64), sizes
    if not classes and config.objective is Objective.EXTREMES:
        kept, target = extremes(target, config.share)
        rows = rows[kept]
    return rows, target, None


def newest_apart(sessions: Rows | None, count: int, config: ApartConfig) -> tuple[Rows, Rows]:
    """Rows to fit on and rows of the newest sessions to stop by, with the gap between them in neither.

    Examples
    --------
    >>> config = BoostedConfig(patience=1, validation_share=0.2, gap_sessions=3)
    >>> [rows.tolist() for rows in newest_apart(np.arange(10), 10, config)]
    [[0, 1, 2, 3, 4], [8, 9]]
    """
    sessions, days = _of_every_row(sessions, count)
    first = len(days) - max(1, round(config.validation_share * len(days)))
    if first <= config.gap_sessions:
        raise TooLittleHistory(
            f"{len(days)} sessions leave none to fit on before the validation's gap of {config.gap_sessions}",
            fix="Train on more sessions, or without patience",
        )
    return np.flatnonzero(sessions < days[first - config.gap_sessions]), np.flatnonzero(sessions >= days[first])


def folds_apart(sessions: Rows | None, count: int, folds: int, gap: int) -> list[tuple[Rows, Rows]]:
    """Rows to fit on and rows to score, by turns of equal parts of the sessions; the gap on both sides is in neither.

    Examples
    --------
    >>> [[part.tolist() for part in pair] for pair in folds_apart(np.arange(9), 9, 3, 2)]
    [[[5, 6, 7, 8], [0, 1, 2]], [[0, 8], [3, 4, 5]], [[0, 1, 2, 3], [6, 7, 8]]]
    """
    sessions, days = _of_every_row(sessions, count)
    parts = list[tuple[Rows, Rows]]()
    for part in np.array_split(np.arange(len(days)), folds):
        kept = np.delete(np.arange(len(days)), slice(max(0, part[0] - gap), part[-1] + gap + 1)) if len(part) else part
        if not len(kept):
            raise TooLittleHistory(f"{len(days)} sessions leave none to fit on beside {folds} folds and gaps of {gap}", fix="Train on more")
        parts.append((np.flatnonzero(np.isin(sessions, days[kept])), np.flatnonzero(np.isin(sessions, days[part]))))
    return parts


def coefficients_of(solver: Any, classes: int) -> tuple[Floats, Floats]:
    """Coefficients (F, outputs) and intercepts (outputs,) of scikit-learn's logistic regression, a raw score a class."""
    coefficient, intercept = solver.coef_.T, solver.intercept_
    if classes == 2:  # the solver has one log-odds of two classes
        return np.concatenate([-coefficient, coefficient], axis=1) / 2.0, np.concatenate([-intercept, intercept]) / 2.0
    return coefficient, intercept


def _of_every_row(sessions: Rows | None, count: int) -> tuple[Rows, Rows]:
    """Return the sessions of the rows, and each session once."""
    if sessions is None or len(sessions) != count:
        raise InvariantBroken("setting sessions apart needs every row's session")
    return sessions, np.unique(sessions)


def directions(names: tuple[str, ...], config: BoostedConfig) -> list[int]:
    """The monotone constraint of each column, 0 for none; raise `BadConfig` for a feature that is not there."""
    unknown = sorted(set(config.monotone) - set(names))
    if unknown:
        raise BadConfig(f"monotone names {', '.join(unknown)}, no feature", fix=f"Choose from: {', '.join(names)}")
    return [config.monotone.get(name, 0) for name in names]


def group_sizes(sessions: Rows | None, count: int) -> Rows:
    """How many rows each session has, in the rows' order."""
    if sessions is None or len(sessions) != count or bool(np.any(np.diff(sessions) < 0)):
        raise InvariantBroken("ranking within sessions needs every row's session, in ascending order")
    _, sizes = np.unique(sessions, return_counts=True)
    return sizes.astype(np.int64)


def group_means(values: Floats, sizes: Rows) -> Floats:
    """Mean of each group of rows, which follow one another."""
    return np.add.reduceat(values, np.concatenate([[0], np.cumsum(sizes)[:-1]])) / sizes
