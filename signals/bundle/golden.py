"""Golden vectors: rows of real features and the scores that the trainer's machine computed for them.

A bundle is accepted only by a machine whose own CPU computes the same scores from the same bytes. The stored form is
JSON (NaN as null), so that nothing has to be unpacked or unpickled; every float32 survives it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.bundle.seal import canonical_json, parse_json
from signals.errors import BundleRefused
from signals.market.bars import Floats
from signals.text.wording import reason_of

MAX_TOLERANCE_SD = 1e-5
MAX_ROWS = 1_024
FLOAT32_STEPS = 4


@dataclass(frozen=True, eq=False)
class Golden:
    """Inputs and their expected scores.

    Attributes
    ----------
    inputs : float32, shape (n, F)
        NaN where the feature was undefined; infinite never.
    scores : float64, shape (n,)
        Finite and not all equal.
    """

    inputs: NDArray[np.float32]
    scores: Floats

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.inputs.ndim != 2 or self.inputs.shape[0] != n or self.scores.ndim != 1:
            raise BundleRefused(f"golden vectors of shapes {self.inputs.shape} and {self.scores.shape}")
        if not 2 <= n <= MAX_ROWS:
            raise BundleRefused(f"{n} golden vectors, not 2 to {MAX_ROWS}")
        if not np.all(np.isfinite(self.scores)) or np.any(np.isinf(self.inputs)):
            raise BundleRefused("golden vectors that are not finite")
        if float(np.ptp(self.scores)) == 0.0:
            raise BundleRefused("golden scores that are all equal prove nothing", fix="Look at the model")
        self.inputs.setflags(write=False)
        self.scores.setflags(write=False)

    def tolerance(self, tolerance_sd: float) -> float:
        """Largest accepted difference: `tolerance_sd` standard deviations, but at least the float32 rounding."""
        rounding = FLOAT32_STEPS * float(np.spacing(np.float32(np.max(np.abs(self.scores)))))
        return max(min(tolerance_sd, MAX_TOLERANCE_SD) * float(np.std(self.scores, ddof=1)), rounding)

    def check(self, reproduced: Floats, tolerance_sd: float, where: str) -> None:
        """Raise `BundleRefused` when this machine's scores differ by more than the tolerance, or are not finite."""
        if reproduced.shape != self.scores.shape:
            raise BundleRefused(f"{self.scores.size} golden vectors gave scores of shape {reproduced.shape}", where=where)
        difference = float(np.max(np.abs(reproduced - self.scores)))
        if not difference <= self.tolerance(tolerance_sd):
            raise BundleRefused(
                f"golden vectors do not reproduce on this machine: off by up to {difference:.3g}",
                where=where,
                fix="Compare the versions of onnxruntime and train again",
            )

    def to_bytes(self) -> bytes:
        """Canonical JSON of `inputs` and `scores`."""
        rows = [[None if np.isnan(x) else float(x) for x in row] for row in self.inputs]
        return canonical_json({"inputs": rows, "scores": [float(x) for x in self.scores]})

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> Golden:
        """Read back `to_bytes`; raise `BundleRefused` when it is not that."""
        document = parse_json(content, where)
        try:
            inputs = np.array(document["inputs"], dtype=np.float64).astype(np.float32)
            scores = np.array(document["scores"], dtype=np.float64)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BundleRefused(f"golden vectors cannot be read: {reason_of(error)}", where=where) from None
        return cls(inputs, scores)
