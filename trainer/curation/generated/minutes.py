"""Invents one instrument's minutes with a planted signal that depends on a regime: a market to rehearse with, the same bytes each time.

A minute's log return is mu + sigma z, z a Student t of 5 degrees of freedom with deviation 1, and

    sigma = 4.5 bp x shape of the day x exp(AR(1)) x (1.35 where the market trends, 0.85 where it reverts)
    mu / sigma = strength x (0.075 regime tanh(m) + 0.10 push + clock cos(2 pi minute / length))

m is the exponential mean of r / sigma, half-life 27 minutes, from the open on. Regimes, +1 and -1, change at hour borders and last
2.5 sessions on average; the level of volume shows them. A push is the sign of the second bar after a burst of volume, over the
ten bars after it: who does not see the order of bars cannot see it. Bursts, bars and push are of the training timeframe, so that
coarser bars do not blur them. Strength 0 is the same noise without a signal.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from signals.errors import FixInput
from signals.files import write_atomic
from signals.market.bars import Floats
from signals.market.sessions import xnys
from signals.minutes.grid import Hours, SessionGrid, grid_of
from trainer.curation.generated.prices import ar1
from trainer.curation.writer import parquet_bytes

SYMBOL = "GEN"
SIGMA, NIGHT = 4.5e-4, 6e-3
HALF_LIFE, PERSISTENCE, SHOCK = 27.0, 0.985, 0.06
TREND, PUSH, PUSHED_BARS = 0.075, 0.10, 10
STAY = 2.5  # sessions that a regime lasts
BURSTS = 0.03  # share of bars with a burst of volume
PRICE, TICK = 100.0, 4  # of the first open; decimals


@dataclass(frozen=True, eq=False)
class GeneratedMinutes:
    """Bars, and the truth behind them: mu, regime and push of every minute, [session, minute]; NaN beyond a session."""

    grid: SessionGrid
    bars: dict[str, Floats]
    mu: Floats
    regime: Floats
    push: Floats

    def table(self) -> pa.Table:
        """Return rows by END in UTC, as a vendor delivers them."""
        inside = np.isfinite(self.mu)
        figures = {name: array[inside] for name, array in self.bars.items()}
        return pa.table({"time": _utc(self.ends[inside]), "symbol": [SYMBOL] * int(inside.sum()), **figures})

    def truth(self) -> pa.Table:
        """Return what an oracle knows at each END: the mu that the next minute's will be near to, regime and push."""
        inside = np.isfinite(self.mu)
        return pa.table({"time": _utc(self.ends[inside]), "mu": self.mu[inside], "regime": self.regime[inside], "push": self.push[inside]})

    @property
    def ends(self) -> np.ndarray:
        """END of every minute, datetime64[m]."""
        return self.grid.opens[:, None] + np.arange(1, self.mu.shape[1] + 1)

    def write(self, to: Path) -> Path:
        """Write the bars to `to` and the truth next to it; return the path of the truth."""
        beside = to.with_name(f"{to.stem}_truth.parquet")
        to.parent.mkdir(parents=True, exist_ok=True)
        for path, table in ((to, self.table()), (beside, self.truth())):
            write_atomic(path, parquet_bytes(table))
        return beside


def generate_minutes(
    seed: int, sessions: int, *, end: date, strength: float = 1.5, timeframe: int = 5, clock: float = 0.0
) -> GeneratedMinutes:
    """Invent the minutes of `sessions` sessions of New York's regular hours up to `end`.

    Parameters
    ----------
    strength : float
        0 for the same noise without a signal.
    timeframe : int
        Minutes of the bars in which bursts and pushes are planted.
    clock : float
        Size of a drift that the time of day alone tells, 0 for none.

    Raises
    ------
    FixInput
        Fewer than two sessions, or a timeframe that is none.
    """
    if sessions < 2 or not 1 <= timeframe <= 60:
        raise FixInput(f"{sessions} sessions of bars of {timeframe} minutes", fix="Ask for two sessions at least, and for 1 to 60 minutes")
    days = grid_of(xnys(end - timedelta(days=sessions * 366 // 250 + 15), end), Hours.RTH)
    grid = SessionGrid(days.sessions[-sessions:], days.opens[-sessions:], days.minutes[-sessions:])
    rng = np.random.default_rng(seed)
    shape = (sessions, int(grid.minutes.max()))
    minute = np.arange(shape[1])
    inside = minute < grid.minutes[:, None]
    z = rng.standard_t(5, shape) * np.sqrt(3.0 / 5.0)
    state = _ar1(rng.standard_normal(shape), rng.standard_normal(sessions))
    regime = _regimes(rng, shape)
    day = 1.0 + 0.8 * (2.0 * minute / shape[1] - 1.0) ** 2
    sigma = SIGMA * day * np.exp(SHOCK * state / np.sqrt(1.0 - PERSISTENCE**2)) * np.where(regime > 0, 1.35, 0.85)
    bar = minute // timeframe
    is_burst = rng.random((sessions, int(bar[-1]) + 1)) < BURSTS
    volume = 1e3 * day * np.exp(0.35 * rng.standard_normal(shape)) * np.where(regime > 0, 1.5, 1.0) * np.where(is_burst[:, bar], 4.0, 1.0)
    reach = np.abs(rng.standard_normal((2, *shape))) * 0.6 * sigma
    night = NIGHT * rng.standard_normal(sessions)
    mu, push, returns = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    decay, mean, pushed, left = 0.5 ** (1.0 / HALF_LIFE), np.zeros(sessions), np.zeros(sessions), np.zeros(sessions)
    for j in minute.tolist():
        push[:, j] = np.where(left > 0, pushed, 0.0)
        drift = TREND * regime[:, j] * np.tanh(mean) + PUSH * push[:, j] + clock * np.cos(2.0 * np.pi * j / shape[1])
        mu[:, j] = strength * drift * sigma[:, j]
        returns[:, j] = mu[:, j] + sigma[:, j] * z[:, j]
        mean = decay * mean + (1.0 - decay) * returns[:, j] / sigma[:, j] * np.sqrt((1.0 + decay) / (1.0 - decay))
        left = np.maximum(left - 1, 0)
        if (j + 1) % timeframe == 0 and bar[j] >= 2:
            came = is_burst[:, bar[j] - 2]
            second = np.sign(returns[:, j - timeframe + 1 : j + 1].sum(axis=1))
            pushed, left = np.where(came, second, pushed), np.where(came, PUSHED_BARS * timeframe, left)
    returns = np.where(inside, returns, 0.0)
    level = np.log(PRICE) + np.cumsum(night) - night[0] + np.concatenate([[0.0], np.cumsum(returns.sum(axis=1))[:-1]])
    close = level[:, None] + np.cumsum(returns, axis=1)
    opened = np.concatenate([level[:, None], close[:, :-1]], axis=1)
    high, low = np.maximum(opened, close) + reach[0], np.minimum(opened, close) - reach[1]
    prices = {name: np.exp(array).round(TICK) for name, array in (("open", opened), ("high", high), ("low", low), ("close", close))}
    bars = {name: np.where(inside, array, np.nan) for name, array in (*prices.items(), ("volume", volume.round()))}
    return GeneratedMinutes(grid, bars, *(np.where(inside, array, np.nan) for array in (mu, regime, push)))


def _ar1(shocks: Floats, first: Floats) -> Floats:
    """AR(1) along each session with deviation sqrt(1 - persistence^2) of its shocks, from a stationary start."""
    state: Floats = ar1(np.vstack([first, shocks.T]), PERSISTENCE)[1:].T * np.sqrt(1.0 - PERSISTENCE**2)
    return state


def _regimes(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """+1 or -1, changing at hour borders with a mean stay of `STAY` sessions."""
    hours = -(-shape[1] // 60)
    changes = rng.random(shape[0] * hours) < 1.0 / (STAY * hours)
    sides: Floats = np.where(np.cumsum(changes) % 2 == 0, 1.0, -1.0).reshape(shape[0], hours)
    return sides[:, np.arange(shape[1]) // 60]


def _utc(ends: np.ndarray) -> pa.Array:
    return pa.array(ends.astype("datetime64[s]"), pa.timestamp("s", "UTC"))
