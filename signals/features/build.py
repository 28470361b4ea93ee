"""Computes the feature panel of a sleeve from bars, with the same function on both hosts.

`panel` computes every session, `newest` the last one only; row t of the first equals the second at t to the bit.

1. Nothing after a session enters its features.
2. Base features are computed in float64, cleaned and cast to float32; ranks are taken of the cast values.
3. Infinite never leaves, and a name without a bar has no per-symbol feature: both are NaN.
4. What a feature set declares to be winsorised and smoothed is so before it is ranked (`signals.features.treatment`).
5. Symbols are worked through in blocks, so that little memory stands next to the output.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from signals.features.history import FeatureInputs
from signals.features.panel import Feature, FeaturePanel
from signals.features.ranking import rank
from signals.features.treatment import Treatment
from signals.market.bars import Bars, Days

BLOCK_CELLS = 40 * 1024
"""Sessions x symbols worked through at once: a dozen float64 arrays of this size stay in a core's cache."""
NEWEST_FACTOR = 8
"""Blocks of the newest session may be larger: its states shrink by half at every step."""


@dataclass(frozen=True)
class Computed:
    """What is computed of bars: a table of features, the names of its values and ranks, and how the values are treated."""

    table: tuple[Feature, ...]
    names: tuple[str, ...]
    treatment: Treatment | None = None


def panel(what: Computed, bars: Bars) -> FeaturePanel:
    """Features of every session of `bars`: those of the table, then the ranks of the ranked ones."""
    return _assemble(what, FeatureInputs.of(bars), bars.symbols, bars.sessions, bars.eligible)


def newest(what: Computed, bars: Bars, asof: date, lookback_sessions: int, sessions: int = 1) -> FeaturePanel:
    """Features of the newest `sessions` that end at `asof`, from the `lookback_sessions` rows that end at each.

    Of more than one session those that `bars` does not hold are left out: a window shows them as missing.

    Raises
    ------
    NotASession
        `asof` is not a session of `bars`.
    """
    smoothed = sessions if what.treatment is None else sessions + what.treatment.window - 1
    if smoothed > 1:
        read = bars.until(asof, lookback_sessions + sessions - 1)
        return _assemble(what, FeatureInputs.of(read), read.symbols, read.sessions[-sessions:], read.eligible[-smoothed:])
    market_sessions = max((feature.lookback_sessions for feature in what.table if feature.is_cross_sectional), default=0)
    history = FeatureInputs.newest(bars, asof, lookback_sessions, market_sessions)
    row = bars.index(asof)
    return _assemble(what, history, bars.symbols, history.sessions, bars.eligible[row : row + 1])


def _assemble(
    what: Computed, history: FeatureInputs, symbols: tuple[str, ...], sessions: Days, eligible: NDArray[np.bool_]
) -> FeaturePanel:
    """Compute the rows of `eligible`, of which the last ones are those of `sessions`: smoothing looks back at the others."""
    table = what.table
    by_feature = np.empty((len(what.names), *eligible.shape), np.float32)
    cells = BLOCK_CELLS * (NEWEST_FACTOR if history.newest_only else 1)
    width = max(1, cells // len(history.close))
    for first in range(0, len(symbols), width):
        block = slice(first, first + width)
        columns = history.columns(first, first + width)
        for position, feature in enumerate(table):
            by_feature[position, :, block] = feature.evaluate(columns)[-len(eligible) :]
    if what.treatment is not None:
        for position in (place for place, feature in enumerate(table) if not feature.is_calendar):
            by_feature[position] = what.treatment.applied(by_feature[position], eligible)
        by_feature, eligible = by_feature[:, -len(sessions) :], eligible[-len(sessions) :]
    ranked = [position for position, feature in enumerate(table) if feature.is_ranked]
    for place, position in enumerate(ranked, start=len(table)):
        by_feature[place] = rank(by_feature[position], eligible)
    # One feature's values are contiguous in memory, as they are computed, ranked and binned; readers see (T, N, F).
    return FeaturePanel(sessions, symbols, what.names, np.moveaxis(by_feature, 0, 2), eligible.copy())
