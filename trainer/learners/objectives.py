"""Training targets of each objective, derived from per-session inverse-normal ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from signals.errors import BadConfig, InvariantBroken, TooLittleHistory
from signals.market.bars import Floats
from trainer.learners.base import Rows
from trainer.learners.parameters import BoostedConfig, StoppingConfig


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


def newest_apart(sessions: Rows | None, count: int, config: StoppingConfig) -> tuple[Rows, Rows]:
    """Rows to fit on and rows of the newest sessions to stop by, with the gap between them in neither.

    Examples
    --------
    >>> config = BoostedConfig(patience=1, validation_share=0.2, gap_sessions=3)
    >>> [rows.tolist() for rows in newest_apart(np.arange(10), 10, config)]
    [[0, 1, 2, 3, 4], [8, 9]]
    """
    if sessions is None or len(sessions) != count:
        raise InvariantBroken("stopping by the newest sessions needs every row's session")
    days = np.unique(sessions)
    first = len(days) - max(1, round(config.validation_share * len(days)))
    if first <= config.gap_sessions:
        raise TooLittleHistory(
            f"{len(days)} sessions leave none to fit on before the validation's gap of {config.gap_sessions}",
            fix="Train on more sessions, or without patience",
        )
    return np.flatnonzero(sessions < days[first - config.gap_sessions]), np.flatnonzero(sessions >= days[first])


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
