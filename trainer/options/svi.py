r"""SVI slices: the total implied variance of one expiry as a function of k = ln(K/F).

    w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2))

(Gatheral 2004; Gatheral and Jacquier 2014, "Arbitrage-free SVI volatility surfaces", SIAM J. Financial Math. 5, here GJ.) The slopes of its
wings are L = b (1 - rho) on the left and R = b (1 + rho) on the right; at most 2 each (Lee 2004). A density exists where

    g(k) = (1 - k w'/(2 w))^2 - (w'/2)^2 (1/w + 1/4) + w''/2  >=  0.

`fitted` starts from a grid of (m, sigma), for each of which the best a, L, R solve a linear least squares problem, and goes
on by Levenberg and Marquardt (MINPACK) in (a, logit L/2, logit R/2, m, ln sigma) with analytic derivatives: slopes cannot leave
(0, 2), while a is free, since a >= 0 excludes most real smiles. `guaranteed` is the repair of GJ section 5.1.

SSVI is one surface for all expiries, the prior of sparse slices and the fallback:

    w(k, theta) = theta/2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)),   phi(theta) = eta / (theta^gamma (1 + theta)^{1-gamma})

With 0 < gamma <= 1/2 and eta (1 + |rho|) <= 2 there is no butterfly, and with theta not decreasing in time no calendar arbitrage
(GJ theorem 4.2 and section 4.1). Every slice of it is an SVI slice:

    a = theta/2 (1 - rho^2),  b = theta phi/2,  m = -rho/phi,  sigma = sqrt(1 - rho^2)/phi
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import BSpline
from scipy.optimize import least_squares, leastsq
from scipy.special import expit, logit

from signals.market.bars import Floats
from trainer.options.chains import SmileQuotes

MOST_SLOPE = 2.0
M_GRID, SIGMA_GRID = 9, 6
LEAST_QUOTES, CHECKED_POINTS = 6, 121
LEAST_W = 1e-10
LEAST_SIGMA = float(np.exp(-20.0))  # a repair may begin at a corner, sigma 0
FIRST_STEPS, MOST_STEPS = 5, 60
BENDS, BEYOND, STIFFNESS = 20, 2, 1.0  # B-splines, steps that they reach beyond the quotes, and the price of a second difference
MOST_ETA, LEAST_THETA = 2.0, 1e-7
FIRST = (-0.3, 0.5, 0.4)  # of SSVI: rho, share of the largest eta, gamma
Fitted = tuple[Floats, Floats, Floats]  # k, sigma sqrt(t), and one over the square of the half width of its quote; float64 (n,) each


@dataclass(frozen=True)
class Bend:
    """A sum of cubic B-splines, total variance: that of number i is 0 but from `first` + i `step` over four steps."""

    first: float
    step: float
    heights: tuple[float, ...]

    def __call__(self, k: Floats, order: int = 0) -> Floats:
        """Value or derivative, shape of `k`."""
        spline = BSpline(self.knots, np.pad(self.heights, 3), 3, extrapolate=False)
        return np.nan_to_num(np.asarray(spline(k, nu=order), dtype=np.float64))

    @property
    def knots(self) -> Floats:
        """Knots of its splines, and of three more at either end, whose heights are 0."""
        return self.first + self.step * np.arange(-3.0, len(self.heights) + 7.0)

    @property
    def places(self) -> Floats:
        """Places from its beginning to its end, ten a step."""
        steps = len(self.heights) + 3
        return np.linspace(self.first, self.first + steps * self.step, 10 * steps + 1)


@dataclass(frozen=True)
class Svi:
    """Raw parameters of a slice, and what is added to them."""

    a: float
    b: float
    rho: float
    m: float
    sigma: float
    bend: Bend | None = None

    def w(self, k: Floats) -> Floats:
        """Total variance, shape of `k`."""
        z = k - self.m
        found: Floats = self.a + self.b * (self.rho * z + np.hypot(z, self.sigma))
        return found if self.bend is None else found + self.bend(k)

    def deviation(self, k: Floats) -> Floats:
        """Sigma sqrt(t), shape of `k`; that of the least w, 1e-10, where w is less."""
        return np.sqrt(np.maximum(self.w(k), LEAST_W))

    def derivatives(self, k: Floats) -> tuple[Floats, Floats]:
        """W' and w''."""
        z = k - self.m
        root = np.hypot(z, self.sigma)
        first, second = self.b * (self.rho + z / root), self.b * self.sigma**2 / root**3
        return (first, second) if self.bend is None else (first + self.bend(k, 1), second + self.bend(k, 2))

    def g(self, k: Floats) -> Floats:
        """Gatheral's g: the density's sign."""
        return density_sign(k, self.w(k), *self.derivatives(k))

    @property
    def slopes(self) -> tuple[float, float]:
        """L and R."""
        return self.b * (1.0 - self.rho), self.b * (1.0 + self.rho)


@dataclass(frozen=True)
class JumpWings:
    """A slice by what traders read off it, at its time t (GJ section 3.3).

    Variance a year at the money and the least one (of a slice with a spline, the least without it), the skew `psi` at the money,
    and the slopes `p` and `c` of the wings of puts and calls.
    """

    v: float
    psi: float
    p: float
    c: float
    least_v: float


def density_sign(k: Floats, w: Floats, first: Floats, second: Floats) -> Floats:
    """g(k) of total variances w with derivatives; NaN where w is not positive."""
    w = np.where(w > 0.0, w, np.nan)
    return (1.0 - k * first / (2.0 * w)) ** 2 - 0.25 * first**2 * (1.0 / w + 0.25) + 0.5 * second


def jump_wings(raw: Svi, t: float) -> JumpWings:
    """Return the jump-wings parameters of a slice at time t in years."""
    w, least = float(raw.w(np.zeros(1))[0]), float(raw.a + raw.b * raw.sigma * np.sqrt(1.0 - raw.rho**2))
    scale, skew = float(np.sqrt(w)), float(raw.derivatives(np.zeros(1))[0][0])
    return JumpWings(v=w / t, psi=skew / (2.0 * scale), p=raw.slopes[0] / scale, c=raw.slopes[1] / scale, least_v=least / t)


def of_jump_wings(given: JumpWings, t: float) -> Svi:
    """Return the raw parameters (GJ lemma 3.2, solved for r = sqrt(m^2 + sigma^2), of which m is the part `beta`: it may be 0)."""
    w, least = given.v * t, given.least_v * t
    scale = float(np.sqrt(w))
    b = 0.5 * scale * (given.c + given.p)
    rho = 1.0 - given.p * scale / b
    beta = rho - 2.0 * given.psi * scale / b
    flat, upright = (float(np.sqrt(1.0 - cosine**2)) for cosine in (rho, beta))
    r = (w - least) / (b * (1.0 - rho * beta - flat * upright))
    return Svi(least - b * upright * r * flat, b, rho, beta * r, upright * r)


def guaranteed(raw: Svi, t: float) -> Svi:
    """Return the slice of the same level, skew and left wing that has no butterfly arbitrage (GJ section 5.1).

    c' = p + 2 psi is positive, since a convex curve is nowhere steeper than its wing.
    """
    known = jump_wings(raw, t)
    c = known.p + 2.0 * known.psi
    return of_jump_wings(replace(known, c=c, least_v=known.v * 4.0 * known.p * c / (known.p + c) ** 2), t)


def fitted(k: Floats, deviation: Floats, weight: Floats) -> Svi | None:
    """Fit a slice to total deviations; None with fewer than 6 quotes, or where nothing converges."""
    if len(k) < LEAST_QUOTES:
        return None
    root = np.sqrt(weight)

    def improved(theta: Floats, steps: int, root: Floats = root) -> Floats:
        found: Floats = leastsq(_residuals, theta, (k, deviation, root), _jacobian, full_output=True, maxfev=steps, ftol=1e-7, xtol=1e-8)[0]
        return found

    begun = [improved(theta, FIRST_STEPS) for theta in _starts(k, deviation**2, weight)]
    best = improved(min(begun, key=lambda theta: float(np.sum(_residuals(theta, k, deviation, root) ** 2))), MOST_STEPS)
    apart = np.abs(_residuals(best, k, deviation, root))
    best = improved(best, MOST_STEPS, root / np.sqrt(np.maximum(apart, 1.0)))  # outside bid and ask by distance, not its square
    return _unpacked(best) if np.isfinite(best).all() else None


def repaired(start: Svi, quotes: Fitted, places: Floats, least: Floats) -> Svi:
    """Fit again from `start`: without butterfly arbitrage, and nowhere below the total variances `least` at the places.

    Violations are penalised, and once more where the first price leaves one.
    """
    k, deviation, weight = quotes
    root = np.sqrt(weight / weight.mean())
    left, right = (logit(np.clip(slope / MOST_SLOPE, 1e-6, 1.0 - 1e-6)) for slope in start.slopes)
    theta = np.array([start.a, left, right, start.m, np.log(max(start.sigma, LEAST_SIGMA))])
    for price in (1e1, 1e3):

        def all_residuals(p: Floats, price: float = price) -> Floats:
            slice_ = _unpacked(p)
            w = slice_.w(places)
            density = density_sign(places, np.maximum(w, LEAST_W), *slice_.derivatives(places))
            below = np.minimum(slice_.deviation(places) - np.sqrt(least) * (1.0 + 1e-4), 0.0)
            return np.concatenate([_residuals(p, k, deviation, root), price * np.minimum(density - 1e-3, 0.0), 10.0 * price * below])

        theta = least_squares(all_residuals, theta, method="trf", xtol=1e-8, ftol=1e-8, max_nfev=40, x_scale="jac").x
        found = _unpacked(theta)
        if bool((found.w(places) >= np.maximum(least, LEAST_W)).all()) and bool((found.g(places) >= 0.0).all()):
            break
    return found


def bent(raw: Svi, k: Floats, deviation: Floats, weight: Floats) -> Bend:
    """Return the spline that takes a slice nearest to total deviations, as `fitted` weighs them; smoothly 0 two steps beyond them.

    Least squares of what w lacks, with a penalty on second differences of heights, in half widths; the wings keep their slopes.
    """
    step = float(np.ptp(k)) / (BENDS + 3 - 2 * BEYOND)
    straight = Bend(float(k.min()) - BEYOND * step, step, (0.0,) * BENDS)
    basis = BSpline.design_matrix(k, straight.knots, 3).toarray()[:, 3:-3]
    w = np.maximum(raw.w(k), LEAST_W)
    scale = np.sqrt(weight / w) / 2.0  # an error of w is 2 sqrt(w) times one of the deviation
    rest = (deviation**2 - w) * scale
    scale, rest = (values / np.sqrt(np.maximum(np.abs(rest), 1.0)) for values in (scale, rest))
    stiff = STIFFNESS * float(np.median(scale)) * np.diff(np.eye(BENDS + 4), 2, axis=0)[:, 2:-2]  # also on its way to 0
    heights = np.linalg.lstsq(np.vstack([basis * scale[:, None], stiff]), np.concatenate([rest, np.zeros(len(stiff))]), rcond=1e-9)[0]
    return replace(straight, heights=tuple(heights.tolist()))


def checked(k: Floats, reach: float = 1.5) -> Floats:
    """Places at which a slice is judged: the quoted range, `reach` times as wide, float64 (121,)."""
    low, high = float(min(k.min(), 0.0)), float(max(k.max(), 0.0))
    return np.linspace(reach * low, reach * high, CHECKED_POINTS)


def _unpacked(theta: Floats) -> Svi:
    left, right = MOST_SLOPE * expit(np.clip(theta[1:3], -40.0, 40.0))
    b = 0.5 * (left + right)
    return Svi(float(theta[0]), float(b), float((right - left) / (left + right)), float(theta[3]), float(np.exp(np.clip(theta[4], -20, 4))))


def _residuals(theta: Floats, k: Floats, deviation: Floats, root: Floats) -> Floats:
    """Weighted errors; the square root goes on as a line below 1e-10, so that a slice that dips under 0 is led back."""
    raw = _unpacked(theta)
    below = np.minimum(raw.w(k) - LEAST_W, 0.0) * 0.5 / float(np.sqrt(LEAST_W))
    return root * (raw.deviation(k) + below - deviation)


def _jacobian(theta: Floats, k: Floats, _deviation: Floats, root: Floats) -> Floats:
    raw = _unpacked(theta)
    z = k - raw.m
    away = np.hypot(z, raw.sigma)
    left, right = raw.slopes
    columns = (
        np.ones_like(k),
        0.5 * (away - z) * left * (1.0 - left / MOST_SLOPE),
        0.5 * (away + z) * right * (1.0 - right / MOST_SLOPE),
        -raw.b * (raw.rho + z / away),
        raw.b * raw.sigma**2 / away,
    )
    return (root * 0.5 / raw.deviation(k))[:, None] * np.stack(columns, axis=1)


def _starts(k: Floats, w: Floats, weight: Floats) -> list[Floats]:
    """The two best of a grid of (m, sigma), with a, L, R by weighted least squares, their slopes held to (0, 2)."""
    reach = max(float(np.ptp(k)), 1e-3)
    m = np.repeat(np.linspace(k.min() - 0.1 * reach, k.max() + 0.1 * reach, M_GRID), SIGMA_GRID)
    sigma = np.tile(reach * np.geomspace(0.01, 1.0, SIGMA_GRID), M_GRID)
    z = k - m[:, None]
    away = np.hypot(z, sigma[:, None])
    basis = np.stack([np.ones_like(away), 0.5 * (away - z), 0.5 * (away + z)], axis=2)  # (grid, quotes, 3)
    scaled = weight / np.maximum(w, LEAST_W)  # an error of w is 2 sqrt(w) times one of the deviation
    normal = np.einsum("gni,n,gnj->gij", basis, scaled, basis) + 1e-12 * np.eye(3)
    found = np.linalg.solve(normal, np.einsum("gni,n->gi", basis, scaled * w)[..., None])[..., 0]
    slopes = np.clip(found[:, 1:], 1e-3, MOST_SLOPE - 1e-3)
    rest = w - np.einsum("gni,gi->gn", basis[:, :, 1:], slopes)
    level = (rest * scaled).sum(axis=1) / scaled.sum()
    picked = np.argsort(((rest - level[:, None]) ** 2 * scaled).sum(axis=1), kind="stable")[:2]
    return [np.array([level[i], *logit(slopes[i] / MOST_SLOPE), m[i], np.log(sigma[i])]) for i in picked]


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
        beyond = max(years / self.years[-1], 1.0)
        return slice_of(self.rho, self.eta, self.gamma, beyond * float(np.interp(years, (0.0, *self.years), (0.0, *self.theta))))


def slice_of(rho: float, eta: float, gamma: float, theta: float) -> Svi:
    """Return the SVI slice of one theta."""
    phi = eta / (theta**gamma * (1.0 + theta) ** (1.0 - gamma))
    flat = float(np.sqrt(1.0 - rho**2))
    return Svi(0.5 * theta * flat**2, 0.5 * theta * phi, rho, -rho / phi, flat / phi)


def fitted_surface(known: Sequence[SmileQuotes]) -> Ssvi:
    """Fit a surface to the quotes of one or more expiries in their order, each expiry counted alike."""
    years = tuple(quotes.years for quotes in known)
    at_money = np.array([quotes.deviation[int(np.argmin(np.abs(quotes.k)))] ** 2 for quotes in known])
    steps = np.diff(np.maximum.accumulate(np.maximum(at_money, LEAST_THETA)), prepend=0.0)
    start = np.array([np.arctanh(FIRST[0]), logit(FIRST[1]), logit(FIRST[2] / 0.5), *np.log(np.maximum(steps, 1e-6))])

    def surface(p: Floats) -> Ssvi:
        rho = 0.999 * float(np.tanh(p[0]))
        eta, gamma = MOST_ETA / (1.0 + abs(rho)) * float(expit(p[1])), 0.5 * float(expit(p[2]))
        return Ssvi(rho, eta, gamma, years, tuple(np.cumsum(np.exp(np.clip(p[3:], -30.0, 5.0))).tolist()))

    def residuals(p: Floats) -> Floats:
        curves = map(surface(p).at, years)
        apart = [(curve.deviation(q.k) - q.deviation) / np.median(q.deviation) for curve, q in zip(curves, known, strict=True)]
        return np.concatenate([errors / np.sqrt(len(errors)) for errors in apart])

    return surface(least_squares(residuals, start, method="trf", max_nfev=60, xtol=1e-8, ftol=1e-8).x)
