r"""An anytime-valid confidence interval of a mean.

For every candidate m of a mean of values x in [0, 1] two bettors play against it, each with a stake that depends on the
past only:

    K+_t(m) = prod (1 + min(l_i, c/m) (x_i - m))        K-_t(m) = prod (1 - min(l_i, c/(1-m)) (x_i - m))
    l_t = sqrt(2 ln(2/a) / (s^2_{t-1} t ln(1 + t))),    c = 1/2

At the true mean both are martingales that begin at 1, so that half of either reaches 1/a at any time with probability
a at most (Ville): the m that neither ever reached it for hold the mean with probability 1 - a, at all times together.
Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting (JRSS B, 2024), theorem 3.
"""

from dataclasses import dataclass

import numpy as np

from signals.market.bars import Floats

GRID = 4001  # candidates in [-1, 1]: steps of 0.0005
LARGEST_STAKE = 0.5


@dataclass(frozen=True)
class Interval:
    """Ends of the interval, and how many values made it."""

    low: float
    high: float
    values: int


def interval_at_all_times(values: Floats, deviation: float, *, error: float = 0.05) -> Interval:
    """Interval of the mean of values in [-1, 1], each shape (n,), none of which shares anything with another.

    Parameters
    ----------
    deviation : float
        Standard deviation that was known before the first value; it sizes the first stakes and decides nothing else.
    error : float
        Probability that the mean is outside at any time.
    """
    means = np.linspace(0.0, 1.0, GRID)
    scaled = (values + 1.0) / 2.0
    stakes = _stakes(scaled, max(deviation, 1e-3) / 2.0, error)
    up, down = np.zeros(GRID), np.zeros(GRID)
    reached = np.zeros(GRID)
    with np.errstate(divide="ignore"):
        above, below = LARGEST_STAKE / means, LARGEST_STAKE / (1.0 - means)
    for value, stake in zip(scaled, stakes, strict=True):
        up += np.log1p(np.minimum(stake, above) * (value - means))
        down += np.log1p(-np.minimum(stake, below) * (value - means))
        reached = np.maximum(reached, np.maximum(up, down))
    kept = means[reached < np.log(2.0 / error)]
    if not len(kept):  # every candidate was ruled out: the values do not share one mean
        return Interval(float("nan"), float("nan"), len(values))
    return Interval(float(2.0 * kept[0] - 1.0), float(2.0 * kept[-1] - 1.0), len(values))


def _stakes(scaled: Floats, deviation: float, error: float) -> Floats:
    """Stake of each step from the values before it, the deviation known beforehand counting as ten of them."""
    prior, count = 10.0, np.arange(1, len(scaled) + 1)
    mean = (0.5 * prior + np.cumsum(scaled)) / (prior + count)
    squares = prior * deviation**2 + np.cumsum((scaled - mean) ** 2)
    variance = np.concatenate([[deviation**2], (squares / (prior + count))[:-1]])
    stakes: Floats = np.sqrt(2.0 * np.log(2.0 / error) / (variance * count * np.log1p(count)))
    return stakes
