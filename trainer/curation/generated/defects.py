"""Plants labelled defects into generated bars."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

ROW_RATE = 3.0e-4  # per row, over all kinds
# RED begins at 2 % of the expected names; stay well inside, names that are not yet eligible included.
SAFE_SHARE = 0.018
ELIGIBLE_AFTER_SESSIONS = 253


class Planted(StrEnum):
    """What was done to a row."""

    MISSING = "missing"
    NULL_PRICE = "null_price"
    NULL_VOLUME = "null_volume"
    HIGH_BELOW_BODY = "high_below_body"
    NON_POSITIVE_PRICE = "non_positive_price"
    COPY = "copy"
    CONFLICT = "conflict"


KINDS = tuple(Planted)


@dataclass(frozen=True, eq=False)
class DefectPlan:
    """Where each defect goes: arrays of shape (M,), sorted by session, then security."""

    session: NDArray[np.int64]
    security: NDArray[np.int64]
    kind: NDArray[np.int64]


def plan_defects(rng: Generator, alive: NDArray[np.bool_], rate: float = ROW_RATE) -> DefectPlan:
    """Choose rows to spoil among the living ones, bool (T, N).

    A defect that costs a session its row is planted only while the eligible names allow it; a copy costs none.
    """
    chosen = (rng.random(alive.shape) < rate) & alive
    kinds = rng.integers(0, len(KINDS), alive.shape)
    history = np.cumsum(alive, axis=0)
    eligible = alive & (history > ELIGIBLE_AFTER_SESSIONS)
    allowed = np.floor(SAFE_SHARE * eligible.sum(axis=1)).astype(np.int64)
    costly = chosen & (kinds != KINDS.index(Planted.COPY)) & (history >= ELIGIBLE_AFTER_SESSIONS - 1)
    chosen &= ~(costly & (np.cumsum(costly, axis=1) > allowed[:, None]))
    chosen[:1] = False
    session, security = np.nonzero(chosen)
    return DefectPlan(session, security, kinds[session, security])
