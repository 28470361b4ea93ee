"""Minutes of many names that agree with their daily bars: five-minute bars from each open to each close, with a signal planted in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from signals.market.bars import Bars, Floats
from signals.market.sessions import Calendar
from signals.minutes.grid import Hours, grid_of
from trainer.curation.minutes.ingest import MinuteTerms, ingest_minutes

LENGTH = 5


def rank_of_next(bars: Bars, k: int) -> Floats:
    """What a seer knows: the standardised rank, within its session, of the return from the next open over k sessions; 0 unknown."""
    ahead = np.full(bars.close.shape, np.nan)
    ahead[: -k - 1] = bars.open[k + 1 :] / bars.open[1:-k] - 1.0
    rank = pd.DataFrame(ahead).rank(axis=1, pct=True).to_numpy()
    return np.nan_to_num((rank - 0.5) * np.sqrt(12.0))


def day_paths(bars: Bars, calendar: Calendar, said: Floats, seed: int, step: float = 0.0005) -> pd.DataFrame:
    """Five-minute bars by END: a bridge from open to close, over a hump that lowers the day's mean by what is `said`, in units of 1 %."""
    rng = np.random.default_rng(seed)
    days = {session.day: session for session in calendar.sessions}
    grid = grid_of(Calendar(calendar.name, tuple(days[day] for day in bars.sessions.astype(object).tolist())), Hours.RTH)
    parts = []
    for row in range(len(grid.sessions)):
        count = int(grid.minutes[row]) // LENGTH
        at = np.arange(1, count + 1) / count
        ends = (grid.opens[row] + LENGTH * np.arange(1, count + 1)).astype("datetime64[s]")
        noise = np.cumsum(rng.normal(0.0, step, (len(bars.symbols), count)), axis=1)
        bridge = noise - noise[:, -1:] * at
        first, last = np.log(bars.open[row])[:, None], np.log(bars.close[row])[:, None]
        close = first + (last - first) * at + bridge - 0.01 * said[row][:, None] * np.sin(np.pi * np.minimum(at * 1.1, 1.0))
        opened = np.concatenate([first, close[:, :-1]], axis=1)
        reach = np.abs(rng.normal(0.0, step, (2, *close.shape)))
        prices = {"open": opened, "high": np.maximum(opened, close) + reach[0], "low": np.minimum(opened, close) - reach[1], "close": close}
        frame = {name: np.exp(array).ravel() for name, array in prices.items()}
        volume = rng.lognormal(8.0, 0.3, close.size).round()
        parts.append(
            pd.DataFrame({"time": np.tile(ends, len(bars.symbols)), "symbol": np.repeat(bars.symbols, count), **frame, "volume": volume})
        )
    found = pd.concat(parts, ignore_index=True).assign(time=lambda frame: frame["time"].dt.tz_localize("UTC"))
    return found.dropna(subset="close", ignore_index=True)


def keep(frame: pd.DataFrame, data: Path, *, daily: bool = True) -> None:
    """Ingest the minutes beside a dataset of daily bars, as a person would; with `daily` its actions settle the nights."""
    file = data.parent / "minutes.parquet"
    frame.to_parquet(file)
    ingest_minutes([file], data / "minutes", MinuteTerms("XNYS", daily=data if daily else None))
