r"""Computes the expected live figures of a model, which its bundle carries.

The walk-forward scores, which no model gave to what it had seen, are lived through by `execution.yardstick`: a rank IC,
a turnover, an impact and a net return per session. A moving-block bootstrap (Kunsch 1989, "The jackknife and the
bootstrap for general stationary observations") draws lives of a year from these sessions, whole blocks of all four
figures together, and the quantiles of

    mean IC, mean turnover, mean impact, deepest drawdown        after n sessions

are the fan that a device draws its own life into. For the sequential test the ICs are held to +-b, the 99.5 % quantile
of their size; m, the mean that counts as promised, is the lower end of the 90 % confidence interval of the proof's own
mean, with the error of `persistent_mean`: what the proof itself leaves open is no broken promise.
"""

import numpy as np

from execution.costs.impact import Y_DEFAULT
from execution.yardstick import Lived, levels, lived
from signals.market.bars import Floats
from signals.market.holding import Opens
from signals.monitoring.expectation import Expectation, Fans, PromisedIc
from trainer.validation.ic import persistent_mean

MIN_SESSIONS = 60
LIVES, LIFE_SESSIONS = 1_000, 252
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
AFTER = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 252)
BOUND_QUANTILE, MIN_BOUND = 0.995, 0.05
Z_90 = 1.6448536269514722  # standard normal quantile of 95 %: two sides leave 10 %


def expectation(scores: Floats, following: Opens, conditions: tuple[Floats, Floats], k: int, seed: int) -> Expectation | None:
    """Describe the life to be expected.

    Parameters
    ----------
    scores : float64, shape (T, N)
        Walk-forward, NaN where there is none.
    following : Opens, shape (T, N)
    conditions : (float64, float64), each of shape (T, N)
        Volatility per session and average dollar volume.
    k : int
        Cohorts of the yardstick: the label's sessions.

    Returns
    -------
    Expectation or None
        None where fewer than 60 sessions have an IC: nothing can be promised of so little.
    """
    volatility, adv_usd = conditions
    with np.errstate(divide="ignore", invalid="ignore"):
        coefficient = np.where(adv_usd > 0, Y_DEFAULT * volatility / np.sqrt(adv_usd), np.nan)
    seen = lived(scores, following, k, coefficient)
    known = np.isfinite(seen.ic)
    if int(known.sum()) < MIN_SESSIONS:
        return None
    block = max(2 * k, 10)
    bound = max(float(np.quantile(np.abs(seen.ic[known]), BOUND_QUANTILE)), MIN_BOUND)
    mean = persistent_mean(np.clip(seen.ic, -bound, bound), block)
    promised = float(np.clip(mean.mean - Z_90 * mean.standard_error, -0.9 * bound, 0.9 * bound))
    return Expectation(
        sessions=int(known.sum()),
        cohorts=k,
        block_sessions=block,
        lives=LIVES,
        levels=LEVELS,
        after=AFTER,
        ic=PromisedIc(mean=mean.mean, standard_error=mean.standard_error, promised=promised, bound=bound),
        fans=fans(seen, block, np.random.default_rng(seed)),
    )


def fans(seen: Lived, block: int, rng: np.random.Generator) -> Fans:
    """Quantiles after each of `AFTER` sessions, rows as `LEVELS`, of the four figures of bootstrapped lives."""
    ic, impact = _filled(seen.ic), _filled(seen.impact)
    starts = rng.integers(0, max(1, len(seen.rows) - block + 1), (LIVES, -(-LIFE_SESSIONS // block)))
    places = (starts[:, :, None] + np.arange(block)).reshape(LIVES, -1)[:, :LIFE_SESSIONS]
    places = np.minimum(places, len(seen.rows) - 1)
    count = np.arange(1, LIFE_SESSIONS + 1)
    value = levels(seen.net[places])
    peak = np.maximum(np.maximum.accumulate(value, axis=1), 1.0)
    figures = {
        "ic": np.cumsum(ic[places], axis=1) / count,
        "turnover": np.cumsum(seen.turnover[places], axis=1) / count,
        "impact": np.cumsum(impact[places], axis=1) / count,
        "drawdown": np.maximum.accumulate(1.0 - value / peak, axis=1),
    }
    chosen = np.array(AFTER) - 1
    return Fans(**{name: tuple(map(tuple, np.quantile(lives[:, chosen], LEVELS, axis=0).T.tolist())) for name, lives in figures.items()})


def _filled(values: Floats) -> Floats:
    """Sessions without a figure take the mean of those with one, 0 where there is none at all."""
    known = np.isfinite(values)
    return np.where(known, values, values[known].mean() if known.any() else 0.0)
