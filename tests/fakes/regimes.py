"""A market of two regimes, seen through a noisy state: in one the book earns, in the other it loses."""

from __future__ import annotations

import numpy as np

from portfolio.nav import NavCosts
from signals.market.bars import Floats
from trainer.off_policy.market_env import MarketEnv

NAMES = 4
VOLATILITY = 0.10 / np.sqrt(252.0)  # of a session
STAY = 1.0 - 1.0 / 60.0
HALF_SPREAD = 0.00025


def regimes(sessions: int, rng: np.random.Generator) -> np.ndarray:
    """True in the good regime, (T,)."""
    return np.cumsum(rng.random(sessions) > STAY) % 2 == 0


def regime_market(seed: int, sessions: int, sharpes: tuple[float, float] = (3.0, -2.0)) -> tuple[MarketEnv, np.ndarray]:
    """Return the environment and the regime of each session's coming return."""
    rng = np.random.default_rng(seed)
    good = regimes(sessions, rng)
    return _market(rng, np.where(good, *sharpes) / np.sqrt(252.0), good), good


def noise_market(seed: int, sessions: int) -> MarketEnv:
    """The same states, of a market that does not know them; its book earns what its trading costs, and nothing else."""
    rng = np.random.default_rng(seed)
    return _market(rng, np.zeros(sessions), regimes(sessions, rng))


def oracle(env: MarketEnv, good: np.ndarray) -> Floats:
    """The whole book in the good regime, nothing in the other."""
    return np.where(good, 1.0, 0.0)


def _market(rng: np.random.Generator, sharpe: Floats, good: np.ndarray) -> MarketEnv:
    sessions = len(good)
    at = np.arange(sessions)[:, None]
    weights = (1.0 + 0.5 * np.sin(2.0 * np.pi * (at / 20.0 + np.arange(NAMES) / NAMES))) / NAMES
    traded = np.abs(np.diff(weights, axis=0)).sum(axis=1).mean()
    common = rng.standard_normal(sessions) + sharpe
    returns = np.zeros((sessions, NAMES))
    returns[1:] = VOLATILITY * common[:-1, None] + HALF_SPREAD * traded + 0.003 * rng.standard_normal((sessions - 1, NAMES))
    seen = np.where(good, 1.0, -1.0) + rng.standard_normal(sessions)
    states = np.column_stack([_mean(seen, n) for n in (1, 5, 20)])
    costs = NavCosts(np.array(HALF_SPREAD), np.array(0.0), np.zeros((sessions, 1)))
    return MarketEnv(("seen", "seen_5", "seen_20"), states, weights, returns, costs)


def _mean(values: Floats, count: int) -> Floats:
    """Mean of the last values up to each session; of fewer at the start."""
    sums = np.concatenate([np.zeros(count), np.cumsum(values)])
    return (sums[count:] - sums[:-count]) / np.minimum(np.arange(1, len(values) + 1), count)
