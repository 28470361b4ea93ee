"""The table: one sample is the features of one session."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from signals.features.panel import FeaturePanel
from signals.views.gathering import STRICT, Rows, require_inside, rows_ago


@dataclass(frozen=True, config=STRICT)
class TableView:
    """One row of features a sample, shape (F,)."""

    kind: Literal["table"] = "table"

    @property
    def sessions(self) -> int:
        """Sessions of features that one sample reads, its own included."""
        return 1

    def shape(self, features: int) -> tuple[int, ...]:
        """Shape of one sample of `features` features."""
        return (features,)

    def rows(self, panel: FeaturePanel, t: Rows, column: Rows) -> NDArray[np.float32]:
        """Samples of the symbols `column` at the sessions `t`; float32 (n, F)."""
        require_inside(panel, t, column)
        return rows_ago(panel, t, column)
