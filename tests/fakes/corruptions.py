"""Eleven corruptions of an evening, each planted from one session on: in the bars, the features or the scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from signals.features.panel import FeaturePanel
from signals.features.ranking import rank
from signals.market.bars import Bars

RANK, CALENDAR = "rank_", "day_of_week"
Values = np.ndarray
Planted = Callable[[FeaturePanel, int, int, np.random.Generator], Values]


@dataclass(frozen=True)
class Corruption:
    """One kind.

    Attributes
    ----------
    name : str
    features : callable or None
        (panel, row begun, row, rng) -> what is read at `row`, float32 (N, F). Ranks are taken anew of it. The generator
        is in the same state at every row of one corruption, so that what is drawn (which feature) stays.
    bars : callable or None
        (bars, row begun, rng) -> the bars as they are delivered from there on.
    turns_scores : bool
    is_in_program : bool
        Whether the program computes every session so, the evening before too, when it is computed anew; otherwise what
        arrives is wrong and the past is not.
    """

    name: str
    features: Planted | None = None
    bars: Callable[[Bars, int, np.random.Generator], Bars] | None = None
    turns_scores: bool = False
    is_in_program: bool = False

    def read(self, panel: FeaturePanel, begun: int, row: int, rng: np.random.Generator) -> Values:
        """What is read at `row`."""
        if self.features is None:
            return np.array(panel.values[row])
        return ranked(self.features(panel, begun, row, rng), panel.names, panel.eligible[row])


def ranked(values: Values, names: tuple[str, ...], eligible: Values) -> Values:
    """Take the ranks of the values anew."""
    for place, name in enumerate(names):
        if name.startswith(RANK):
            base = values[None, :, names.index(name.removeprefix(RANK))]
            values[:, place] = rank(np.ascontiguousarray(base), eligible[None])[0]
    return values


def base(panel: FeaturePanel, begun: int) -> list[int]:
    """Columns of the features that have values, neither ranks nor the calendar's."""
    known = np.isfinite(panel.values[begun][panel.eligible[begun]]).any(axis=0)
    return [i for i, name in enumerate(panel.names) if known[i] and not name.startswith((RANK, CALENDAR))]


def _scaled(word: str, factor: float) -> Planted:
    def plant(panel: FeaturePanel, _begun: int, row: int, _rng: np.random.Generator) -> Values:
        hit = np.array([word in name and not name.startswith(RANK) for name in panel.names])
        return np.where(hit, panel.values[row] * np.float32(factor), panel.values[row])

    return plant


def _shuffled(panel: FeaturePanel, _begun: int, row: int, rng: np.random.Generator) -> Values:
    names = np.flatnonzero(panel.eligible[row])
    values = np.array(panel.values[row])
    values[names] = values[np.random.default_rng((row, int(rng.integers(1 << 30)))).permutation(names)]
    return values


def _one_off(panel: FeaturePanel, _begun: int, row: int, _rng: np.random.Generator) -> Values:
    names = np.flatnonzero(panel.eligible[row])
    values = np.array(panel.values[row])
    values[names] = values[np.roll(names, 1)]
    return values


def _lost(panel: FeaturePanel, begun: int, row: int, rng: np.random.Generator) -> Values:
    values = np.array(panel.values[row])
    values[:, rng.choice(base(panel, begun))] = np.nan
    return values


def _exchanged(panel: FeaturePanel, begun: int, row: int, rng: np.random.Generator) -> Values:
    values = np.array(panel.values[row])
    one, other = rng.choice(base(panel, begun), size=2, replace=False)
    values[:, [one, other]] = values[:, [other, one]]
    return values


def _again(panel: FeaturePanel, begun: int, _row: int, _rng: np.random.Generator) -> Values:
    return np.array(panel.values[begun - 1])


def _half_late(panel: FeaturePanel, _begun: int, row: int, rng: np.random.Generator) -> Values:
    late = rng.random(len(panel.symbols)) < 0.5
    return np.where(late[:, None], panel.values[row - 1], panel.values[row])


def _tenfold_volume(bars: Bars, begun: int, _rng: np.random.Generator) -> Bars:
    volume = np.array(bars.volume)
    volume[begun:] *= 10.0
    return replace(bars, volume=volume)


def _split_not_applied(bars: Bars, begun: int, rng: np.random.Generator) -> Bars:
    """Half of the price and twice the volume without a record, for a third of the names."""
    hit = rng.random(len(bars.symbols)) < 1 / 3
    changed = {name: np.array(getattr(bars, name)) for name in ("open", "high", "low", "close", "volume")}
    for name, values in changed.items():
        values[begun:, hit] *= 2.0 if name == "volume" else 0.5
    for name in ("total_return", "overnight_return"):
        changed[name] = np.array(getattr(bars, name))
        changed[name][begun, hit] = 0.5 * (1.0 + changed[name][begun, hit]) - 1.0
    return replace(bars, **changed)


CORRUPTIONS = (
    Corruption("volatilities doubled", _scaled("volatility", 2.0), is_in_program=True),
    Corruption("momentum's sign flipped", _scaled("momentum", -1.0), is_in_program=True),
    Corruption("names shuffled each session", _shuffled, is_in_program=True),
    Corruption("a feature lost", _lost, is_in_program=True),
    Corruption("volume x 10", bars=_tenfold_volume),
    Corruption("two features exchanged", _exchanged, is_in_program=True),
    Corruption("names one row off", _one_off, is_in_program=True),
    Corruption("an evening served again", _again),
    Corruption("half of the names a session late", _half_late),
    Corruption("a split not applied to a third of the names", bars=_split_not_applied),
    Corruption("scores turned upside down", turns_scores=True, is_in_program=True),
)
