r"""Returns of the generated market, with an optional planted signal.

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
    result: Floats = np.exp(spread * ar1(rng.standard_normal(shape), VOLATILITY_PERSISTENCE) - spread**2 / 2)
    return result


def _shocks(rng: Generator, shape: tuple[int, int]) -> Floats:
    """Student t shocks of unit variance."""
    result: Floats = rng.standard_t(TAIL_DEGREES, shape) / np.sqrt(TAIL_DEGREES / (TAIL_DEGREES - 2.0))
    return result
