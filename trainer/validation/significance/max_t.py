r"""The max-t test of the best of many correlated trials, by a session bootstrap.

Sources: White, A Reality Check for Data Snooping (2000); Romano and Wolf, Stepwise Multiple Testing as Formalized Data
Snooping (2005). Sessions are drawn in circular blocks, the same ones for every trial, so that the draws keep how the
trials move together; each trial is centred on its own mean, which makes the null hypothesis true of all of them:

    t_j = m_j / s_j,   s_j = standard deviation of m*_j over the draws,   t*_b = max_j (m*_bj - m_j) / s_j
    p   = (1 + #{b : t*_b >= t}) / (B + 1)

m_j is the mean of trial j over the sessions that it has, m*_bj that of draw b, t the chosen trial's. Copies of one
trial add nothing to the maximum and independent trials all that they are worth: no number of clusters is needed. A
trial of which no returns are known (`blind`) adds a draw of its own from the standard normal, as if it were independent
of all others.
"""

from dataclasses import dataclass

import numpy as np

from signals.errors import InvariantBroken
from signals.market.bars import Floats

BLOCK_SESSIONS = 21
DRAWS = 2000
SEED = 20260102  # fixed, so that the same returns give the same p
CHUNK_DRAWS = 250


@dataclass(frozen=True)
class MaxT:
    """The chosen trial's t, the p-value of it as the largest of all, the t that 5 % of the maxima exceed, and its mean's error."""

    t: float
    p: float
    critical: float
    error: float


def max_t(chosen: Floats, family: Floats, *, blind: int = 0, block: int = BLOCK_SESSIONS, draws: int = DRAWS) -> MaxT:
    """Test `chosen`, float64 (T,), as the best of itself, of `family`, float64 (T, N), and of `blind` trials.

    NaN where a trial has no return of a session.

    Raises
    ------
    InvariantBroken
        The chosen returns never vary.
    """
    return max_t_each(np.column_stack([chosen, family]), blind=blind, block=block, draws=draws)[0]


def max_t_each(returns: Floats, *, blind: int = 0, block: int = BLOCK_SESSIONS, draws: int = DRAWS) -> tuple[MaxT, ...]:
    """Test each column of `returns`, float64 (T, N), as the best of all; t and p are NaN for a later one that never varies.

    Raises
    ------
    InvariantBroken
        The first column never varies.
    """
    known = np.isfinite(returns)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, returns, 0.0).sum(axis=0) / count
    centred = np.where(known, returns - mean, 0.0)
    rng = np.random.default_rng(SEED)
    means = np.vstack(
        [_means(centred, known.astype(np.float64), block, min(CHUNK_DRAWS, draws - start), rng) for start in range(0, draws, CHUNK_DRAWS)]
    )
    scale = means.std(axis=0, ddof=1)
    if not scale[0] > 0.0:
        raise InvariantBroken("returns that never vary have no t")
    standard = np.divide(means, scale, out=np.full_like(means, -np.inf), where=scale > 0.0)
    largest = standard.max(axis=1)
    if blind:
        largest = np.maximum(largest, rng.standard_normal((draws, blind)).max(axis=1))
    t = np.divide(mean, scale, out=np.full_like(mean, np.nan), where=scale > 0.0)
    critical = float(np.quantile(largest, 0.95))
    above = (largest[:, None] >= t).sum(axis=0)
    p = np.where(np.isfinite(t), (1.0 + above) / (draws + 1.0), np.nan)
    return tuple(MaxT(float(one), float(chance), critical, float(error)) for one, chance, error in zip(t, p, scale, strict=True))


def _means(centred: Floats, known: Floats, block: int, draws: int, rng: np.random.Generator) -> Floats:
    """Mean of every column in each draw of sessions; 0 where a draw holds none of a column's."""
    sessions = len(centred)
    starts = rng.integers(0, sessions, (draws, -(-sessions // block)))
    places = ((starts[:, :, None] + np.arange(block)) % sessions).reshape(draws, -1)[:, :sessions]
    often = np.zeros((draws, sessions))
    np.add.at(often, (np.arange(draws)[:, None], places), 1.0)
    return (often @ centred) / np.maximum(often @ known, 1.0)
