"""Labelled rows over a synthetic market, with a feature whose skill is known."""

from __future__ import annotations

import numpy as np

from signals.features.panel import FeaturePanel
from signals.market.bars import Bars
from tests.fakes.bars import synthetic_bars
from trainer.labels.horizon import horizon_labels
from trainer.samples.samples import BY_ROW, Samples, samples

NAMES = ("a", "b", "c")


def samples_of(
    sessions: np.ndarray, symbols: tuple[str, ...], names: tuple[str, ...], *, features: np.ndarray, **rows: np.ndarray
) -> Samples:
    """Rows with features of their own, float32 (n, F), on a panel that has no others."""
    values = np.full((len(sessions), len(symbols), len(names)), np.nan, dtype=np.float32)
    values[rows["t0"], rows["column"]] = features
    return Samples(FeaturePanel(sessions, symbols, names, values, np.isfinite(values).any(axis=2)), **rows)


def with_features(rows: Samples, features: np.ndarray, names: tuple[str, ...] | None = None) -> Samples:
    """The same rows with other features."""
    return samples_of(rows.sessions, rows.symbols, names or rows.names, features=features, **{name: getattr(rows, name) for name in BY_ROW})


def market(seed: int, strength: float = 0.0, sessions: int = 420, symbols: int = 30) -> tuple[Samples, Bars]:
    """Random features over a synthetic market; feature `a` is the label plus noise, its IC about `strength`."""
    bars = synthetic_bars(seed, sessions=sessions, symbols=symbols)
    labels = horizon_labels(bars, 5)
    rng = np.random.default_rng(seed + 1)
    values = rng.normal(size=(*bars.close.shape, len(NAMES))).astype(np.float32)
    if strength:
        known = np.nan_to_num((labels.values - np.nanmean(labels.values)) / np.nanstd(labels.values))
        values[..., 0] = strength * known + np.sqrt(1 - strength**2) * values[..., 0]
    values[rng.random(values.shape) < 0.02] = np.nan
    return samples(FeaturePanel(bars.sessions, bars.symbols, NAMES, values, bars.eligible), labels), bars
