"""Raw prices of the generated market, in cents, with splits and dividends."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from trainer.curation.generated.returns import OVERNIGHT_SHARE, Characters, Floats, Returns

QUARTER_SESSIONS = 63
PAYING_SHARE = 0.6
# Boards split a dear share and consolidate a cheap one, some time after the price got there.
DEAR_USD, CHEAP_USD = 180.0, 4.0
DAILY_CHANCE_WHEN_DEAR, DAILY_CHANCE_WHEN_CHEAP = 0.01, 0.05
DAILY_CHANCE_OTHERWISE = 1.0 / (252 * 40)
RATIOS = np.array([2.0, 3.0, 4.0, 1.5])
REVERSE_RATIO = 0.1
LEAST_USD = 0.05
RANGE_SHARE = 0.45  # of a session's volatility, how far high and low reach beyond the body
EXTREME, DRIFT_SESSIONS, LOUD, EDGE_STREAM = 20, 3, 1.5, 7
VOLUME_STATE = 0.10  # log volume per unit of the planted state
VOLUME_MOVE = 0.25  # log volume per standard deviation of the session's move


@dataclass(frozen=True, eq=False)
class Prices:
    """Raw bars and what happened to the share overnight; float64 (T, N).

    Attributes
    ----------
    open, high, low, close : float64, USD, whole cents
    volume : float64, whole shares
    ratio : float64
        New shares per old at the session's start; 1 where no split.
    cash : float64
        Dividend per share held after the split; 0 where none.
    edge : float64
        Drift that a breakout of the session is followed by, on its side, in units of the session's volatility; 0 where none.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    ratio: Floats
    cash: Floats
    edge: Floats


def draw_prices(
    rng: Generator, traits: Characters, returns: Returns, halted: NDArray[np.bool_], strength: float = 0.0, seed: int = 0
) -> Prices:
    """Turn returns into raw bars; with a `strength`, closes beyond the extreme of 20 sessions are followed by a drift (`Edges`).

    close_t = close_{t-1} (1 + total_t) / ratio_t - cash_t, and the open likewise with the overnight return. Halted
    sessions repeat the close without volume, and nothing happens to the share on them.
    """
    sessions, count = returns.total.shape
    dollars = np.exp(rng.normal(np.log(4e7), 1.1, count))
    yearly = np.where(rng.random(count) < PAYING_SHARE, rng.uniform(0.008, 0.035, count), 0.0)
    phase, level = rng.integers(0, QUARTER_SESSIONS, count), np.exp(rng.normal(np.log(60.0), 0.6, count)).round(2)
    chance, choice = rng.random((sessions, count)), rng.choice(RATIOS, (sessions, count))
    opened, closed = np.empty((sessions, count)), np.empty((sessions, count))
    ratio, cash = np.ones((sessions, count)), np.zeros((sessions, count))
    reach = RANGE_SHARE * returns.volatility * np.abs(rng.standard_normal((2, sessions, count)))
    edges = Edges(returns, reach, strength, seed)
    for t in range(sessions):
        if t:
            split = _splits(level, chance[t], choice[t])
            pays = ((t + phase) % QUARTER_SESSIONS == 0) & (yearly > 0)
            ratio[t] = np.where(halted[t], 1.0, split)
            cash[t] = np.where(pays & ~halted[t], np.round(level / ratio[t] * yearly / 4, 2), 0.0)
        overnight, total = (np.where(halted[t], 0.0, one) for one in edges.returns_of(t))
        opened[t] = _cents(level * (1 + overnight) / ratio[t] - cash[t])
        closed[t] = _cents(level * (1 + total) / ratio[t] - cash[t])
        level = closed[t]
    high = np.where(halted, closed, np.round(np.maximum(opened, closed) * (1 + reach[0]), 2))
    low = np.where(halted, closed, _cents(np.minimum(opened, closed) * (1 - np.minimum(reach[1], 0.5))))
    volume = _volume(rng, returns, dollars * np.exp(edges.loudness), closed, halted)
    return Prices(opened, high, np.minimum(low, np.minimum(opened, closed)), closed, volume, ratio, cash, edges.edge)


class Edges:
    """Drift after breakouts: what volume at the breakout says of the sessions after it.

    A close beyond the extreme of `EXTREME` sessions, the first of its run, has a loudness v, normal, by which its log volume is raised by
    `LOUD` v; each of the `DRIFT_SESSIONS` sessions after it drifts by strength tanh(v) of a session's volatility, on the breakout's side.
    """

    def __init__(self, returns: Returns, reach: Floats, strength: float, seed: int) -> None:
        shape = returns.total.shape
        self._returns, self._reach, self._strength = returns, reach, strength
        self.edge, self.loudness, self._drift = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._draws = np.random.default_rng((seed, EDGE_STREAM)).standard_normal(shape) if strength else np.zeros((0, 0))
        self._high, self._low, self._close = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def returns_of(self, t: int) -> tuple[Floats, Floats]:
        """Overnight and total return of a session, and the drift that it starts."""
        overnight, total = self._returns.overnight[t], self._returns.total[t]
        if not self._strength:
            return overnight, total
        moved = self._drift[t] * self._returns.volatility[t]
        overnight, total = overnight + OVERNIGHT_SHARE * moved, total + moved
        before = self._close[t - 1] if t else np.zeros(total.shape)
        close, opened = before + np.log1p(np.maximum(total, -0.9)), before + np.log1p(np.maximum(overnight, -0.9))
        self._close[t] = close
        self._high[t] = np.maximum(opened, close) + np.log1p(self._reach[0, t])
        self._low[t] = np.minimum(opened, close) + np.log1p(-np.minimum(self._reach[1, t], 0.5))
        if t > EXTREME:
            side = self._beyond(t) * (self._beyond(t) != self._beyond(t - 1))
            self.edge[t] = side * self._strength * np.tanh(self._draws[t])
            self.loudness[t] = LOUD * self._draws[t] * (side != 0.0)
            self._drift[t + 1 : t + 1 + DRIFT_SESSIONS] += self.edge[t]
        return overnight, total

    def _beyond(self, t: int) -> Floats:
        past = slice(t - EXTREME, t)
        above, below = self._close[t] > self._high[past].max(axis=0), self._close[t] < self._low[past].min(axis=0)
        side: Floats = above.astype(np.float64) - below
        return side


def _splits(level: Floats, chance: Floats, choice: Floats) -> Floats:
    dear, cheap = level > DEAR_USD, level < CHEAP_USD
    hazard = np.where(dear, DAILY_CHANCE_WHEN_DEAR, np.where(cheap, DAILY_CHANCE_WHEN_CHEAP, DAILY_CHANCE_OTHERWISE))
    ratio = np.where(cheap, REVERSE_RATIO, choice)
    result: Floats = np.where((chance < hazard) & (cheap | (level > 20.0)), ratio, 1.0)
    return result


def _volume(rng: Generator, returns: Returns, dollars: Floats, close: Floats, halted: NDArray[np.bool_]) -> Floats:
    move = np.abs(returns.total) / np.maximum(returns.volatility, 1e-4)
    noise = rng.normal(0.0, 0.3, close.shape)
    usual = np.log(dollars) + VOLUME_MOVE * np.minimum(move, 6.0) + VOLUME_STATE * returns.state + noise
    shares = np.round(np.exp(usual) / close / 100) * 100
    return np.where(halted, 0.0, np.maximum(shares, 100.0))


def _cents(price: Floats) -> Floats:
    result: Floats = np.maximum(np.round(price, 2), LEAST_USD)
    return result
