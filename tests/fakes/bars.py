"""Panels of bars for tests: a seeded market, and a slice of the real daily file beside the checkout.

`synthetic_bars` needs nothing; `yf_bars` reads the vendor's Parquet straight, without the product's own curation, so
that a fault there cannot hide here. Both fill every field of `Bars` and obey its invariants.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from signals.audit.returns import GAP_SESSIONS
from signals.market.bars import Bars, Floats, Opens

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
YF_DAILY = SHARED_DATA / "us_daily_2013_2023_yf_open.parquet"
QUORUM = 0.5  # a date on which fewer than half of the symbols trade is not a session (the file holds one such row)


def synthetic_bars(seed: int, sessions: int = 320, symbols: int = 12, *, missing: float = 0.01, start: date = date(2020, 1, 2)) -> Bars:
    """Seeded bars with a market factor, dividends, absent bars, a late listing and days without trades.

    Sessions are weekdays from `start` on. The first symbol lists a third of the way in; a `missing` share of the other
    bars is absent. A name is eligible wherever it has a bar, but for one in twenty rows.
    """
    rng = np.random.default_rng(seed)
    shape = (sessions, symbols)
    days = np.busday_offset(np.datetime64(start, "D"), np.arange(sessions), roll="forward")
    market = rng.normal(0.0003, 0.01, size=(sessions, 1))
    growth = rng.uniform(0.5, 1.5, symbols) * market + rng.normal(0.0, 0.015, shape)
    close = rng.uniform(5.0, 400.0, symbols) * np.exp(np.cumsum(growth, axis=0))
    opened = close * np.exp(-growth * rng.uniform(0.0, 1.0, shape))
    body_high, body_low = np.maximum(opened, close), np.minimum(opened, close)
    high = body_high * (1.0 + rng.exponential(0.003, shape))
    low = body_low * (1.0 - rng.uniform(0.0, 0.01, shape))
    volume = np.floor(np.exp(rng.normal(12.0, 1.0, shape))) * (rng.random(shape) >= 0.002)
    dividend = np.where(rng.random(shape) < 0.01, 0.005, 0.0)
    absent = rng.random(shape) < missing
    absent[: sessions // 3, 0] = True
    return _bars(
        days,
        tuple(f"S{i:04d}" for i in range(symbols)),
        (opened, high, low, close),
        volume,
        (close * (1.0 + dividend), opened + close * dividend, close),
        rng.random(shape) >= 0.05,
        absent,
    )


def with_joined(bars: Bars, names: Collection[str], seed: int) -> Bars:
    """The bars with seeded figures of other datasets under `names`, absent from one cell in ten, all alike."""
    rng = np.random.default_rng(seed)
    absent = rng.random(bars.close.shape) < 0.1
    return replace(bars, joined={name: np.where(absent, np.nan, rng.standard_normal(bars.close.shape)) for name in names})


def all_filled(earned: Floats) -> Opens:
    """What follows each session where every order fills and every holding can be left."""
    return Opens(earned, np.ones(earned.shape, dtype=bool), np.zeros(earned.shape, dtype=bool))


def yf_bars(
    path: Path = YF_DAILY,
    *,
    symbols: int | tuple[str, ...] = 40,
    first: date = date(2018, 1, 1),
    last: date = date(2019, 12, 31),
    min_history: int = 0,
) -> Bars:
    """Real bars of the first `symbols` stocks in name order (or of the names given), first <= session <= last.

    Returns are ratios of adj_close, and of open x adj_close / close to the adj_close before. A name is eligible where
    it has a bar and at least `min_history` bars up to there. Skips the test when the file is absent.
    """
    if not path.exists():
        pytest.skip(f"{path} absent: real bars are not beside this checkout")
    table = pq.read_table(path)
    names = tuple(sorted(set(table.filter(pc.field("kind") == "stock")["symbol"].to_pylist())))
    chosen = names[:symbols] if isinstance(symbols, int) else tuple(sorted(symbols))
    in_range = (pc.field("date") >= first) & (pc.field("date") <= last)
    table = table.filter(in_range & pc.field("symbol").isin(list(chosen)) & pc.field("close").is_valid())
    day, rows = np.unique(table["date"].to_numpy().astype("datetime64[D]"), return_inverse=True)
    columns = np.searchsorted(np.array(chosen), table["symbol"].to_numpy(zero_copy_only=False).astype(str))

    def dense(name: str) -> Floats:
        panel = np.full((len(day), len(chosen)), np.nan)
        panel[rows, columns] = table[name].to_numpy().astype(np.float64)
        return panel

    open_days = np.bincount(rows, minlength=len(day)) >= QUORUM * len(chosen)
    opened, high, low, close, adjusted, volume = (
        dense(name)[open_days] for name in ("open", "high", "low", "close", "adj_close", "volume")
    )
    absent = np.isnan(close)
    eligible = np.cumsum(~absent, axis=0) >= min_history
    returns = (adjusted, opened * adjusted / close, adjusted)
    return _bars(day[open_days], chosen, (opened, high, low, close), volume, returns, eligible, absent)


def _bars(
    days: np.ndarray,
    symbols: tuple[str, ...],
    prices: tuple[Floats, ...],
    volume: Floats,
    returns: tuple[Floats, Floats, Floats],
    eligible: np.ndarray,
    absent: np.ndarray,
) -> Bars:
    """Assemble the panel; `returns` holds the numerators at close and at open, and the base they are divided by."""
    opened, high, low, close, volume = (np.where(absent, np.nan, panel) for panel in (*prices, volume))
    at_close, at_open, base = (np.where(absent, np.nan, panel) for panel in returns)
    previous = np.vstack([np.full((1, close.shape[1]), np.nan), base[:-1]])
    gap = np.full((2, *close.shape), np.nan)
    after_a_gap = ~np.isnan(close) & np.isnan(np.vstack([np.full((1, close.shape[1]), np.nan), close[:-1]]))
    for row, column in zip(*np.nonzero(after_a_gap), strict=True):
        earlier = np.flatnonzero(~np.isnan(close[:row, column]))
        if earlier.size and 2 <= row - earlier[-1] <= GAP_SESSIONS:
            numerators = np.array([at_close[row, column], at_open[row, column]])
            gap[:, row, column] = numerators / base[earlier[-1], column] - 1.0
    return Bars(
        sessions=days,
        symbols=symbols,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        total_return=at_close / previous - 1.0,
        overnight_return=at_open / previous - 1.0,
        eligible=eligible & ~absent,
        gap_return=gap[0],
        gap_overnight=gap[1],
    )
