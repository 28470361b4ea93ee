"""Three parts of one history: training, validation, test, apart by purge and embargo."""

from dataclasses import dataclass

import numpy as np

from signals.errors import InvariantBroken, TooLittleHistory
from trainer.validation.splits.cpcv import Rows

SHARES = (0.70, 0.15)
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

    Raises
    ------
    TooLittleHistory
        A part has no row.
    """
    moments = np.unique(t0)
    a, b = (int(moments[min(round(share * len(moments)), len(moments) - 1)]) for share in (shares[0], sum(shares)))
    found = Parts(
        np.flatnonzero(t1 < a - purge), np.flatnonzero((t0 >= a + embargo) & (t1 < b - purge)), np.flatnonzero(t0 >= b + embargo), (a, b)
    )
    for name in ("train", "validation", "test"):
        if not len(getattr(found, name)):
            raise TooLittleHistory(
                f"no row is left for {name}", where=f"{len(moments)} bars, embargo {embargo}, purge {purge}", fix="Use a longer history"
            )
    _certify(t0, t1, found)
    return found


def _certify(t0: Rows, t1: Rows, found: Parts) -> None:
    """Raise `InvariantBroken` where any label of a part reaches into the features of a later one."""
    for earlier, later in ((found.train, found.validation), (found.validation, found.test), (found.train, found.test)):
        if int(t1[earlier].max()) >= int(t0[later].min()):
            raise InvariantBroken("a label of an earlier part reaches into a later one")
