"""Seeded stretches of bars for tests and benchmarks."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from signals.minutes.stretch import Stretch

WARM_UP = 400


def synthetic_stretch(seed: int = 1, columns: int = 4, *, session: int = 78, warm_up: int = WARM_UP, timeframe: int = 5) -> Stretch:
    """Heavy-tailed bars with volume, quotes and a session of `session` bars after the warm-up."""
    rng = np.random.default_rng(seed)
    shape = (warm_up + session, columns)
    close = 100.0 * np.exp(np.cumsum(rng.standard_t(5, shape) * 1e-3, axis=0))
    opened = np.vstack([np.full((1, columns), 100.0), close[:-1]]) * np.exp(rng.normal(0.0, 2e-4, shape))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0.0, 5e-4, shape)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0.0, 5e-4, shape)))
    row = np.arange(shape[0])[:, None] - warm_up + np.zeros(shape, np.int64)
    return Stretch(
        sessions=np.datetime64("2024-01-02", "D") + np.arange(columns),
        timeframe=timeframe,
        warm_up=warm_up,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=np.exp(rng.normal(8.0, 0.5, shape)).round(),
        traded=rng.uniform(0.8, 1.0, shape),
        ends=np.where(row < 0, 0, (row + 1) * timeframe),
        left=np.where(row < 0, -1, (session - row - 1) * timeframe),
        complete=np.ones(columns, np.bool_),
        quotes={
            "bid": close * (1.0 - 1e-4),
            "ask": close * (1.0 + 1e-4),
            "bid_size": rng.integers(1, 9, shape).astype(np.float64),
            "ask_size": rng.integers(1, 9, shape).astype(np.float64),
        },
    )


def mapped(stretch: Stretch, change: Any) -> Stretch:
    """The stretch with `change(name, array)` in the place of each [bar, column] array."""
    made: dict[str, Any] = {}
    for item in fields(stretch):
        value = getattr(stretch, item.name)
        if isinstance(value, np.ndarray) and value.ndim == 2:
            made[item.name] = change(item.name, value)
    made["quotes"] = {name: change(name, array) for name, array in stretch.quotes.items()}
    return replace(stretch, **made)


def column(stretch: Stretch, number: int) -> Stretch:
    """One column alone."""
    cut = mapped(stretch, lambda _, array: array[:, number : number + 1])
    return replace(cut, sessions=stretch.sessions[number : number + 1], complete=stretch.complete[number : number + 1])


def until(stretch: Stretch, rows: int) -> Stretch:
    """The first rows alone."""
    return mapped(stretch, lambda _, array: array[:rows])
