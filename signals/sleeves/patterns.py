"""The sleeve `patterns`: the bars that a net of pictures sees, as ratios of each bar alone (`signals.views.sample_views`)."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from signals.errors import InvariantBroken
from signals.events.images import WINDOW
from signals.events.panel import any_of
from signals.events.recorded import SEEN_BY
from signals.features.history import FeatureInputs
from signals.features.panel import Feature, FeaturePanel
from signals.market.bars import Bars, Flags, Floats
from signals.sleeves.base import Sleeve


def _of_whole_bars(history: FeatureInputs) -> Floats:
    raise InvariantBroken("the ratios of a bar are computed of bars, not of a feature's history")


class BarRatio(Feature):
    """A ratio of one bar."""

    def compute(self, bars: Bars) -> Floats:
        """Values at every session of `bars`; float64, shape (T, N)."""
        values = {"bar_return": bars.total_return, "bar_open": bars.open, "bar_high": bars.high, "bar_low": bars.low}[self.name]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            ratio = values if self.name == "bar_return" else values / bars.close
            return np.where(np.isfinite(ratio.astype(np.float32)), ratio, np.nan)


FIGURES = {"bar_return": "ratio", "bar_open": "of the close", "bar_high": "of the close", "bar_low": "of the close"}
TABLE = tuple(BarRatio(name, units, 1, _of_whole_bars, is_ranked=False) for name, units in FIGURES.items())


@dataclass(frozen=True)
class PatternSleeve(Sleeve):
    """A sleeve whose features are the bars themselves, as they are: nothing of a picture is treated."""

    def panel(self, bars: Bars) -> FeaturePanel:
        """Ratios of every bar."""
        values = np.stack([feature.compute(bars) for feature in self.table], axis=2).astype(np.float32)
        return FeaturePanel(bars.sessions, bars.symbols, self.names, values, bars.eligible.copy())

    def features(self, bars: Bars, asof: date, sessions: int = 1) -> FeaturePanel:
        """Ratios of the `sessions` that end at `asof`: those rows of `panel`, to the bit."""
        return self.panel(bars.until(asof, sessions))


def pictured(bars: Bars) -> Flags:
    """Which bars have a picture: 127 bars of a name that is eligible at the last of them, and that can be compared, bool (T, N)."""
    prices = (bars.open, bars.high, bars.low, bars.close)
    missing = ~np.logical_and.reduce([np.isfinite(x) & (x > 0.0) for x in prices])
    is_early = (np.arange(len(missing)) < WINDOW - 1)[:, None]
    return bars.eligible & ~(is_early | any_of(missing, WINDOW) | any_of(~np.isfinite(bars.total_return), WINDOW - 1))


PATTERNS = PatternSleeve(SEEN_BY, ("daily_bars",), TABLE, 1)
