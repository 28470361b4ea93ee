"""Two machines' witnesses side by side: what differs, by how much, and what may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_ULPS = 1
MAX_SHARE = 1e-6
MAX_SCORE_SD = 1e-5


@dataclass(frozen=True)
class Difference:
    """How far two machines are apart.

    Attributes
    ----------
    cells, differing : int
        Feature values compared, and how many of them are not the same bits.
    ulps : int
        The largest difference of a feature, in steps of float32; NaN on one machine alone is as far as can be.
    scores : int
        How many were compared.
    score_sd : float
        The largest difference of a score, in standard deviations of that session's scores.
    """

    cells: int
    differing: int
    ulps: int
    scores: int
    score_sd: float

    def faults(self) -> list[str]:
        """What is more than may be."""
        found = []
        if self.differing > MAX_SHARE * self.cells:
            found.append(f"{self.differing} of {self.cells} features differ, more than {MAX_SHARE:g} of them")
        if self.ulps > MAX_ULPS:
            found.append(f"a feature is {self.ulps} steps of float32 away")
        if not self.score_sd <= MAX_SCORE_SD:
            found.append(f"a score is {self.score_sd:.2g} standard deviations away")
        return found

    def __str__(self) -> str:
        return (
            f"{self.differing} of {self.cells:,} features differ (by at most {self.ulps} ulp), "
            f"{self.scores:,} scores by at most {self.score_sd:.2g} sd"
        )


def ulps(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.int64]:
    """Steps of float32 between each pair; two NaNs are the same, one NaN is the largest number away.

    The bits of a float32, read as a sign and a magnitude, count its steps from zero.
    """
    steps = []
    for values in (left, right):
        bits = values.astype("<f4").view("<i4").astype(np.int64)
        steps.append(np.where(bits < 0, -(bits & 0x7FFFFFFF), bits))
    found: NDArray[np.int64] = np.abs(steps[0] - steps[1])
    found[np.isnan(left) & np.isnan(right)] = 0
    found[np.isnan(left) ^ np.isnan(right)] = np.iinfo(np.int64).max
    return found


def compared(ours: Path, theirs: Path) -> Difference:
    """Compare two files of `witness.py`, of the same data and bundle.

    Raises
    ------
    ValueError
        They are not of the same names, sessions or eligible cells, their charts, events, outcomes or pictures differ, or the second
        was not written on aarch64.
    """
    with np.load(ours) as left, np.load(theirs) as right:
        if str(right["machine"]) != "aarch64":
            raise ValueError(f"{theirs} was written on {right['machine']}")
        for name in ("names", "sessions", "eligible", "counts", "chart", "events", "pictures"):
            if not np.array_equal(left[name], right[name]):
                raise ValueError(f"the two machines do not speak of the same {name}")
        apart = ulps(left["features"], right["features"])
        ends = np.cumsum(left["counts"])[:-1]
        sessions = zip(np.split(left["scores"], ends), np.split(right["scores"], ends), strict=True)
        far = [float(np.max(np.abs(a - b)) / np.std(a, ddof=1)) for a, b in sessions if len(a) > 1]
        return Difference(apart.size, int(np.count_nonzero(apart)), int(apart.max()), len(left["scores"]), float(np.max(far)))


def unlike(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> list[str]:
    """Rows of two lists that differ in any of the fields, said in words; empty where the lists say the same."""
    left, right = ([{name: row[name] for name in fields} for row in rows] for rows in (ours, theirs))
    found = [f"{a} there is {b}" for a, b in zip(left, right, strict=False) if a != b]
    if len(left) != len(right):
        found.append(f"{len(left)} rows here, {len(right)} there")
    return found
