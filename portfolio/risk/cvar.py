"""Conditional value at risk (mean loss of the worst 1 - q): normal, historical and extreme-value forms.

Losses are positive numbers; q is the level (0.95 looks at the worst 5 %). Normal and historical forms are closed; the
extreme-value form fits a generalised Pareto tail above a threshold (McNeil, Frey and Embrechts 2015, "Quantitative risk
management", section 5.2) for levels that history alone cannot show.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from portfolio.config import CvarMethod
from signals.errors import InvariantBroken, TooLittleHistory
from signals.market.bars import Floats

MIN_EXCEEDANCES = 10
EVT_THRESHOLD = 0.90
"""Quantile of the losses above which the tail is fitted: 25 of 252 sessions are beyond it."""
EXPONENTIAL_LIMIT = 1e-9
"""Shapes nearer to 0 than this are an exponential tail: the general formulas lose all their digits there."""


def normal_cvar_multiplier(q: float) -> float:
    """Expected shortfall of a standard normal: phi(Phi^-1(q)) / (1 - q).

    Examples
    --------
    >>> round(normal_cvar_multiplier(0.95), 7), round(normal_cvar_multiplier(0.99), 7)
    (2.0627128, 2.6652142)
    """
    standard = NormalDist()
    return standard.pdf(standard.inv_cdf(q)) / (1.0 - q)


def normal_cvar(mean: float, volatility: float, q: float) -> float:
    """Expected shortfall of a normal return: -m + s phi(Phi^-1(q)) / (1 - q)."""
    return -mean + volatility * normal_cvar_multiplier(q)


def session_cvar(returns: Floats, q: float, method: CvarMethod) -> float:
    """Expected shortfall of a book over one session, from its returns on past sessions; a loss is positive.

    Parameters
    ----------
    returns : float64, shape (n,), no NaN
    method : CvarMethod
        `normal` takes a mean of zero: a book's mean return over a year is mostly noise. `evt` fits the tail beyond the
        90th percentile of losses, and falls back on history where that threshold is no loss at all.

    Raises
    ------
    TooLittleHistory
        No returns, or too few beyond the threshold to fit a tail.
    """
    losses = -returns
    if method is CvarMethod.NORMAL:
        if losses.size == 0:
            raise TooLittleHistory("no losses to average", fix="Give at least one loss")
        return normal_cvar(0.0, math.sqrt(float(np.square(losses).mean())), q)
    if method is CvarMethod.EVT and float(np.quantile(losses, EVT_THRESHOLD)) > 0:
        return fit_pareto_tail(losses, float(np.quantile(losses, EVT_THRESHOLD))).cvar(q)
    return historical_cvar(losses, q)


def historical_cvar(losses: Floats, q: float) -> float:
    """Mean of the worst (1 - q) n losses, the boundary one counted by its fraction (Rockafellar and Uryasev 2002).

    Parameters
    ----------
    losses : float64, shape (n,), no NaN

    Examples
    --------
    Ten losses at 85 %: the worst one and half of the next, (10 + 9 / 2) / 1.5.

    >>> round(historical_cvar(np.arange(1.0, 11.0), 0.85), 6)
    9.666667
    """
    if losses.size == 0:
        raise TooLittleHistory("no losses to average", fix="Give at least one loss")
    worst = np.sort(losses)[::-1]
    tail = (1.0 - q) * worst.size
    whole = min(math.floor(tail + 1e-9), worst.size)
    part = max(tail - whole, 0.0) if whole < worst.size else 0.0
    boundary = part * float(worst[whole]) if part > 0 else 0.0
    return (float(worst[:whole].sum()) + boundary) / (whole + part)


@dataclass(frozen=True)
class ParetoTail:
    """A generalised Pareto tail above a threshold.

    Attributes
    ----------
    threshold : float
        u, in the unit of the losses.
    shape : float
        xi; 0 is an exponential tail, larger is heavier.
    scale : float
        beta, positive, in the unit of the losses.
    exceedances, observations : int
        Nu and n.
    """

    threshold: float
    shape: float
    scale: float
    exceedances: int
    observations: int

    def var(self, q: float) -> float:
        """VaR_q = u + beta / xi [((n / Nu)(1 - q))^-xi - 1], for q at or beyond the threshold's own level."""
        ratio = self.observations / self.exceedances * (1.0 - q)
        if not 0 < ratio <= 1 + 1e-12:
            raise InvariantBroken(f"level {q} is below the threshold's own level")
        if abs(self.shape) < EXPONENTIAL_LIMIT:
            return self.threshold - self.scale * math.log(ratio)
        return self.threshold + self.scale / self.shape * (math.pow(ratio, -self.shape) - 1.0)

    def cvar(self, q: float) -> float:
        """ES = VaR / (1 - xi) + (beta - xi u) / (1 - xi), for xi < 1; beyond it the mean is infinite."""
        if self.shape >= 1:
            return math.inf
        return (self.var(q) + self.scale - self.shape * self.threshold) / (1.0 - self.shape)


def fit_pareto_tail(losses: Floats, threshold: float) -> ParetoTail:
    """Fit the tail above `threshold` by maximum likelihood.

    With excesses y_i = loss_i - u and r = xi / beta, the best shape for a given r is xi(r) = mean log(1 + r y_i), which
    leaves a search in one variable (Grimshaw 1993): maximise -log(xi(r) / r) - xi(r) - 1 over r > -1 / max(y), keeping
    xi > -1/2, where maximum likelihood is regular.

    Parameters
    ----------
    losses : float64, shape (n,), no NaN
    threshold : float
        u.

    Raises
    ------
    TooLittleHistory
        Fewer than 10 losses above the threshold.
    """
    excess = losses[losses > threshold] - threshold
    if excess.size < MIN_EXCEEDANCES:
        raise TooLittleHistory(f"{excess.size} losses above {threshold:g}, a tail needs {MIN_EXCEEDANCES}", fix="Lower the threshold")
    scaled = excess / float(excess.mean())
    # At scale 1 every finite-mean tail has r in this range; the left end is where xi reaches -1/2.
    left, right = -1.0 / float(scaled.max()) * (1 - 1e-9), 50.0
    grid = np.concatenate([left * np.linspace(1, 0.001, 200), np.geomspace(1e-4, right, 300)])
    best = int(np.argmax([_profile(r, scaled) for r in grid]))
    rate = _maximise(grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)], scaled)
    shape = _shape(rate, scaled)
    scale = float(excess.mean()) * (shape / rate if abs(rate) > EXPONENTIAL_LIMIT else 1.0)
    return ParetoTail(threshold, shape, scale, int(excess.size), int(losses.size))


def _shape(rate: float, scaled: Floats) -> float:
    return float(np.log1p(rate * scaled).mean())


def _profile(rate: float, scaled: Floats) -> float:
    if abs(rate) < EXPONENTIAL_LIMIT:
        return -1.0
    shape = _shape(rate, scaled)
    return -math.log(shape / rate) - shape - 1.0 if shape > -0.5 else -math.inf


def _maximise(low: float, high: float, scaled: Floats) -> float:
    """Golden-section search of the profile likelihood between two grid points around its largest value."""
    golden = (math.sqrt(5.0) - 1.0) / 2.0
    for _ in range(100):
        first, second = high - golden * (high - low), low + golden * (high - low)
        if _profile(first, scaled) < _profile(second, scaled):
            low = first
        else:
            high = second
    return (low + high) / 2.0
