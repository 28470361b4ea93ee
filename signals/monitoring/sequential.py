r"""A sequential (anytime-valid) test of whether the live mean IC still equals the promised one.

The null hypothesis: given all that came before, each observation, held to +-b_t, has a mean of at least m_t. Against it
one bets, with fractions l_t that are chosen before y_t is seen:

    K_t = prod_{s <= t} (1 + l_s (m_s - y_s)),    0 <= l_s <= c / (b_s - m_s),  c < 1

Under the null K is a non-negative supermartingale that starts at 1, whatever the law of the observations, so that by
Ville's inequality the chance that it ever reaches 1 / alpha is at most alpha, at whatever time one stops or looks
(Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", J. R. Stat. Soc. B 86(1),
section 4). No session needs to be like another, and neighbours may depend in every way that keeps the conditional mean.

K is the mean of several bettors, which is again such a process: some bet a constant share of the largest bet, the
others what the last sessions would have called for,

    l_t = mean(m - y) / (mean((m - y)^2)),  over the last w sessions, none when that is negative

(the approximate growth-optimal bet of the paper's appendix B.3 with a window in place of all the past, so that a decay
that begins late is still seen). What trips is evidence, not proof: 1 / alpha is the price of being wrong.
"""

from dataclasses import dataclass

import numpy as np

from signals.errors import InvariantBroken
from signals.market.bars import Floats

ALPHA = 0.05
"""Chance of a false alarm over the whole life of a model."""
CONSTANT_SHARES = (0.05, 0.15, 0.35, 0.7)
WINDOWS_SESSIONS = (20, 60, 120)
MIN_SESSIONS = 10  # before a windowed bettor dares to bet
LARGEST_SHARE = 0.9  # c


@dataclass(frozen=True)
class TestEvidence:
    """State of the test.

    Attributes
    ----------
    sessions : int
        Observations that counted.
    wealth : float
        K now.
    highest : float
        The largest K so far.
    alarm : int or None
        Place of the observation at which K first reached 1 / alpha; None while it has not.
    """

    sessions: int
    wealth: float
    highest: float
    alarm: int | None

    @property
    def p_value(self) -> float:
        """Anytime-valid: under the null it is ever below p with a chance of at most p."""
        return min(1.0, 1.0 / self.highest)


def wealth(observed: Floats, null_mean: Floats, bound: Floats) -> Floats:
    """K after each observation.

    Parameters
    ----------
    observed : float64, shape (..., T)
        NaN is a session without an observation: nothing is bet on it.
    null_mean, bound : float64, shape (..., T) or broadcastable
        m_t and b_t, known before the observation; |m_t| < b_t.

    Returns
    -------
    float64, shape (..., T)

    Raises
    ------
    InvariantBroken
        A null mean is not inside its bound.

    Examples
    --------
    One bettor of share 0.35 alone would hold 1 + 0.35 / 1.0 x (0.0 + 0.5) = 1.175 after a first observation of -0.5.

    >>> wealth(np.array([-0.5]), np.zeros(1), np.ones(1)).round(6).tolist()
    [1.089286]
    """
    mean, limit = np.broadcast_arrays(null_mean, bound)
    if not bool(np.all(np.abs(mean) < limit)):
        raise InvariantBroken("a null mean is outside its bound")
    known = np.isfinite(observed)
    short = np.where(known, mean - np.clip(np.where(known, observed, 0.0), -limit, limit), 0.0)
    room = 1.0 / (limit - mean)
    bets = [np.broadcast_to(share * room, short.shape) for share in CONSTANT_SHARES]
    bets += [_windowed(short, known, window, LARGEST_SHARE * room) for window in WINDOWS_SESSIONS]
    grown = [np.exp(np.cumsum(np.log1p(bet * short), axis=-1)) for bet in bets]
    total: Floats = np.mean(grown, axis=0)
    return total


def judge(observed: Floats, null_mean: Floats, bound: Floats, alpha: float = ALPHA) -> TestEvidence:
    """Judge one model's life, shape (T,); see `wealth`."""
    if not len(observed):
        return TestEvidence(0, 1.0, 1.0, None)
    held = wealth(observed, null_mean, bound)
    reached = np.flatnonzero(held >= 1.0 / alpha)
    return TestEvidence(
        int(np.isfinite(observed).sum()), float(held[-1]), max(1.0, float(held.max())), int(reached[0]) if len(reached) else None
    )


def _windowed(short: Floats, known: np.ndarray, window: int, largest: Floats) -> Floats:
    """Bet of a bettor that looks at the `window` sessions before; it never sees the session that it bets on."""
    first, second, count = (_before(values, window) for values in (short, short**2, known.astype(np.float64)))
    wanted = np.divide(first, second, out=np.zeros_like(first), where=second > 0)
    dares = (count >= MIN_SESSIONS) & (wanted > 0)
    bet: Floats = np.where(dares, np.minimum(wanted, largest), 0.0)
    return bet


def _before(values: Floats, window: int) -> Floats:
    """Sum of the `window` values before each place, along the last axis."""
    length = values.shape[-1]
    sums = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, axis=-1)], axis=-1)
    start = np.maximum(np.arange(length) - window, 0)
    found: Floats = sums[..., :length] - sums[..., start]
    return found
