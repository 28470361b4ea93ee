r"""SSVI: one surface for all expiries, without arbitrage by construction; the prior of sparse slices and the fallback.

    w(k, theta) = theta/2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)),   phi(theta) = eta / (theta^gamma (1 + theta)^{1-gamma})

With 0 < gamma <= 1/2 and eta (1 + |rho|) <= 2 there is no butterfly, and with theta not decreasing in time no calendar arbitrage
(Gatheral and Jacquier 2014, theorem 4.2 and section 4.1). Every slice is an SVI slice:

    a = theta/2 (1 - rho^2),  b = theta phi/2,  m = -rho/phi,  sigma = sqrt(1 - rho^2)/phi
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit, logit

from signals.market.bars import Floats
from trainer.options.surface.quotes import SmileQuotes
from trainer.options.surface.svi import Svi

MOST_ETA = 2.0
LEAST_THETA = 1e-7
FIRST = (-0.3, 0.5, 0.4)  # rho, share of the largest eta, gamma


@dataclass(frozen=True)
class Ssvi:
    """A surface: `theta` is the total variance at the money at each of the times `years`."""

    rho: float
    eta: float
    gamma: float
    years: tuple[float, ...]
    theta: tuple[float, ...]

    def at(self, years: float) -> Svi:
        """Return the slice of a time: theta between two times is linear, beyond the last in proportion to time."""
        times, thetas = (0.0, *self.years), (0.0, *self.theta)
        theta = float(np.interp(years, times, thetas)) if years <= times[-1] else thetas[-1] * years / times[-1]
        return slice_of(self.rho, self.eta, self.gamma, theta)


def slice_of(rho: float, eta: float, gamma: float, theta: float) -> Svi:
    """Return the SVI slice of one theta."""
    phi = eta / (theta**gamma * (1.0 + theta) ** (1.0 - gamma))
    flat = float(np.sqrt(1.0 - rho**2))
    return Svi(0.5 * theta * flat**2, 0.5 * theta * phi, rho, -rho / phi, flat / phi)


def fitted_surface(known: Sequence[SmileQuotes]) -> Ssvi:
    """Fit a surface to the quotes of one or more expiries in their order, each expiry counted alike."""
    k = np.concatenate([quotes.k for quotes in known])
    deviation = np.concatenate([quotes.deviation for quotes in known])
    number = np.repeat(np.arange(len(known)), [len(quotes) for quotes in known])
    typical = np.array([np.median(quotes.deviation) * np.sqrt(len(quotes)) for quotes in known])[number]
    at_money = np.array([quotes.deviation[int(np.argmin(np.abs(quotes.k)))] ** 2 for quotes in known])
    steps = np.diff(np.maximum.accumulate(np.maximum(at_money, LEAST_THETA)), prepend=0.0)
    start = np.array([np.arctanh(FIRST[0]), logit(FIRST[1]), logit(FIRST[2] / 0.5), *np.log(np.maximum(steps, 1e-6))])

    def residuals(p: Floats) -> Floats:
        rho, eta, power, theta = _parts(p)
        phi = (eta / (theta**power * (1.0 + theta) ** (1.0 - power)))[number]
        w = 0.5 * theta[number] * (1.0 + rho * phi * k + np.sqrt((phi * k + rho) ** 2 + 1.0 - rho**2))
        found: Floats = (np.sqrt(np.maximum(w, 0.0)) - deviation) / typical
        return found

    found = least_squares(residuals, start, method="trf", max_nfev=60, xtol=1e-8, ftol=1e-8)
    rho, eta, power, theta = _parts(found.x)
    return Ssvi(rho, eta, power, tuple(quotes.years for quotes in known), tuple(theta.tolist()))


def _parts(p: Floats) -> tuple[float, float, float, Floats]:
    rho = 0.999 * float(np.tanh(p[0]))
    return rho, float(MOST_ETA / (1.0 + abs(rho)) * expit(p[1])), float(0.5 * expit(p[2])), np.cumsum(np.exp(np.clip(p[3:], -30.0, 5.0)))
