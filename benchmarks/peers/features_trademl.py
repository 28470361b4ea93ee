"""P1, our side: `python features_trademl.py FOLDER [VALUES.npy]`."""

from __future__ import annotations

import sys

import numpy as np
from features_workload import NAMES, load, measured

from signals.features.panel import FeaturePanel
from signals.market.bars import Bars
from signals.sleeves import SLEEVES

panels = load(sys.argv[1])
close = panels.pop("close")
sleeve = SLEEVES["equities_xs"]
assert list(sleeve.names) == NAMES
bars = Bars(symbols=tuple(f"S{i:04d}" for i in range(close.shape[1])), open=close, high=close, low=close, close=close, **panels)


def values(panel: object) -> np.ndarray:
    assert isinstance(panel, FeaturePanel)
    return np.ascontiguousarray(panel.values)


measured(lambda: sleeve.panel(bars), f"numpy {np.__version__}", close.size * len(NAMES) * 4, values)
