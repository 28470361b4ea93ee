"""Gathers rows of a feature panel by session and symbol, and the values of views that their documents may have."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from signals.errors import InvariantBroken
from signals.features.panel import FeaturePanel

STRICT = ConfigDict(strict=True, extra="forbid")
MAX_STEPS = 4_096
MAX_SIDE = 512
MAX_CHANNELS = 64

Rows = NDArray[np.int64]
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Channels = Annotated[int, Field(ge=1, le=MAX_CHANNELS)]


def rows_ago(panel: FeaturePanel, t: Rows, column: Rows, sessions: int = 0) -> NDArray[np.float32]:
    """Values of the symbols `column` at `sessions` before the sessions `t`; float32 (n, F).

    NaN where that is before the panel begins, and where the name could not be scored then.
    """
    at = t - sessions
    values = panel.values[np.maximum(at, 0), column]
    if sessions:
        values[(at < 0) | ~panel.eligible[np.maximum(at, 0), column]] = np.nan
    return values


def require_inside(panel: FeaturePanel, t: Rows, column: Rows) -> None:
    """Raise `InvariantBroken` unless `t` and `column` are rows and columns of the panel, one of each a sample."""
    if t.shape != column.shape or t.ndim != 1:
        raise InvariantBroken(f"samples at sessions of shape {t.shape} and columns of shape {column.shape}")
    for index, size, axis in ((t, len(panel.sessions), "session"), (column, len(panel.symbols), "column")):
        if len(index) and (int(index.min()) < 0 or int(index.max()) >= size):
            raise InvariantBroken(f"a sample's {axis} is outside of the panel's {size}")
