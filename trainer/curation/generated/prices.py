r"""Raw prices of the generated market, in cents, with splits and dividends, and the returns behind them, with an optional planted signal.

For security i and session t, with m the market, g its sector, z shocks of unit variance:

    total_{i,t} = beta_i m_t + gamma_i g_t + sigma_{i,t} (z_{i,t} + kappa s_{i,t-1})
    s_{i,t}     = phi s_{i,t-1} + sqrt(1 - phi^2) e_{i,t}

sigma, and the volatilities of m and g, follow exp(AR(1)); z has Student t tails. s is the planted state: it moves the
returns of the sessions after it by kappa of a day's own volatility, and it shows only as a tilt between the overnight
and the intraday part of the return and as a little more volume. No feature equals it; averages of gaps see some of it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SESSIONS_PER_YEAR = 252
MARKET_DRIFT = 0.07 / SESSIONS_PER_YEAR
MARKET_VOLATILITY = 0.009
SECTOR_VOLATILITY = 0.005
VOLATILITY_PERSISTENCE = 0.97
STATE_PERSISTENCE = 0.95
TAIL_DEGREES = 5.0
OVERNIGHT_SHARE = 0.30  # of a session's variance
OVERNIGHT_TILT = 0.10  # of a session's own volatility, per unit of the planted state
LOWEST_RETURN = -0.60


@dataclass(frozen=True, eq=False)
class Characters:
    """Parameters of each security; arrays of shape (N,).

    Attributes
    ----------
    sector : int64
    beta, gamma : float64
        Loadings on the market and on the sector.
    volatility : float64
        Usual standard deviation of a session's own return.
    """

    sector: NDArray[np.int64]
    beta: Floats
    gamma: Floats
    volatility: Floats
    is_etf: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Returns:
    """Returns as the market intends them, before prices are rounded; float64 (T, N).

    Attributes
    ----------
    total, overnight : float64
        overnight is the part before the open.
    volatility : float64
        sigma of the session's own return.
    state : float64
        s, known at the session's close; what it adds to returns comes after it.
    """

    total: Floats
    overnight: Floats
    volatility: Floats
    state: Floats


def characters(rng: Generator, count: int, sectors: int, etfs: int) -> Characters:
    """Draw each security's loadings; the last `etfs` ones are diversified funds."""
    is_etf = np.arange(count) >= count - etfs
    volatility = np.exp(rng.normal(np.log(0.015), 0.35, count))
    return Characters(
        sector=np.arange(count, dtype=np.int64) % sectors,
        beta=np.where(is_etf, 1.0, np.clip(rng.normal(1.0, 0.3, count), 0.2, 2.0)),
        gamma=np.where(is_etf, 0.3, np.clip(rng.normal(1.0, 0.25, count), 0.3, 1.8)),
        volatility=np.where(is_etf, 0.002, volatility),
        is_etf=is_etf,
    )


def draw_returns(rng: Generator, traits: Characters, sessions: int, kappa: float) -> Returns:
    """Draw the returns of all securities over `sessions` sessions; `kappa` 0 plants no signal.

    The same seed draws the same shocks whatever `kappa` is.
    """
    count = len(traits.beta)
    market = MARKET_DRIFT + MARKET_VOLATILITY * _log_ar(rng, (sessions, 1), 0.45) * _shocks(rng, (sessions, 1))
    spread = SECTOR_VOLATILITY * _log_ar(rng, (sessions, 1), 0.3)
    sector = spread * rng.standard_normal((sessions, int(traits.sector.max()) + 1))
    volatility = traits.volatility * _log_ar(rng, (sessions, count), 0.35)
    state = ar1(rng.standard_normal((sessions, count)), STATE_PERSISTENCE)
    common = market * traits.beta + sector[:, traits.sector] * traits.gamma
    shocks, split = _shocks(rng, (sessions, count)), rng.standard_normal((sessions, count))
    planted = np.where(traits.is_etf, 0.0, 1.0) * np.vstack([np.zeros((1, count)), state[:-1]])
    own = volatility * (shocks + kappa * planted)
    tilt = OVERNIGHT_TILT * volatility * planted * float(kappa != 0.0)
    # Conditional on the session's return, the overnight part is its share of it plus bridge noise.
    noise = np.sqrt(OVERNIGHT_SHARE * (1 - OVERNIGHT_SHARE)) * volatility * split
    total = np.maximum(common + own, LOWEST_RETURN)
    overnight = np.maximum(OVERNIGHT_SHARE * total + noise + tilt, LOWEST_RETURN)
    return Returns(total, overnight, volatility, state)


def ar1(shocks: Floats, persistence: float) -> Floats:
    """AR(1) of unit variance along the first axis, started in its stationary law.

    x_t = phi x_{t-1} + sqrt(1 - phi^2) e_t
    """
    result = np.empty_like(shocks)
    result[0] = shocks[0]
    scale = np.sqrt(1.0 - persistence**2)
    for t in range(1, len(shocks)):
        result[t] = persistence * result[t - 1] + scale * shocks[t]
    return result


def _log_ar(rng: Generator, shape: tuple[int, int], spread: float) -> Floats:
    """exp(AR(1)) with log standard deviation `spread` and mean 1."""
    return np.exp(spread * ar1(rng.standard_normal(shape), VOLATILITY_PERSISTENCE) - spread**2 / 2)


def _shocks(rng: Generator, shape: tuple[int, int]) -> Floats:
    """Student t shocks of unit variance."""
    result: Floats = rng.standard_t(TAIL_DEGREES, shape) / np.sqrt(TAIL_DEGREES / (TAIL_DEGREES - 2.0))
    return result


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


def draw_prices(rng: Generator, returns: Returns, halted: NDArray[np.bool_], strength: float = 0.0, seed: int = 0) -> Prices:
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
    return np.where((chance < hazard) & (cheap | (level > 20.0)), ratio, 1.0)


def _volume(rng: Generator, returns: Returns, dollars: Floats, close: Floats, halted: NDArray[np.bool_]) -> Floats:
    move = np.abs(returns.total) / np.maximum(returns.volatility, 1e-4)
    noise = rng.normal(0.0, 0.3, close.shape)
    usual = np.log(dollars) + VOLUME_MOVE * np.minimum(move, 6.0) + VOLUME_STATE * returns.state + noise
    shares = np.round(np.exp(usual) / close / 100) * 100
    return np.where(halted, 0.0, np.maximum(shares, 100.0))


def _cents(price: Floats) -> Floats:
    return np.maximum(np.round(price, 2), LEAST_USD)
