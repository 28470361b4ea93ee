"""What every learner must offer: fit, predict, and an export that is exact or refused."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from signals.bars import Floats

Matrix = NDArray[np.float32]


@runtime_checkable
class Model(Protocol):
    """A fitted learner: a frozen value that pickles, predicts and exports itself."""

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns it was fitted on."""
        ...

    def predict(self, features: Matrix) -> Floats:
        """Scores, float64, shape (n,), of rows float32 (n, F); NaN features are allowed, NaN scores never come."""
        ...

    def to_onnx(self) -> bytes:
        """ONNX graph: input `features` float32 [n, F], output `score` float32 [n, 1]; the same bytes every time."""
        ...

    def to_text(self) -> str:
        """Native text form, readable by the library that fitted it."""
        ...

    def importance(self) -> Floats:
        """Share of the total gain of each feature, shape (F,), summing to 1; zeros when nothing was learned."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A learner before fitting: a frozen value of its parameters and seed."""

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...]) -> Model:
        """Fit on rows float32 (n, F) with finite targets and positive weights (n,); the same input, the same model."""
        ...
