"""The risk model: covariance, beta and residual volatility of candidate names over the label horizon.

Entry points: `estimate`, `with_volatility`. Everything comes from the trailing 252 sessions of total returns, and from
volatility forecasts where a model gives them; nothing after `asof` is read.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from portfolio.risk.kelly import SizingCoefficient
from signals.errors import InvariantBroken, TooLittleHistory
from signals.features.history import RETURN_LIMIT, limited
from signals.market.bars import Bars, Floats

WINDOW_SESSIONS = 252
MIN_OBSERVED_SHARE = 0.80
FORECAST_LIMIT = 3.0
"""Largest factor, either way, between a forecast volatility and the window's."""


@dataclass(frozen=True, eq=False)
class RiskModel:
    """Risk estimates at `asof`, over a horizon of k sessions.

    Attributes
    ----------
    symbols : tuple of str, length N, sorted
    covariance : float64, shape (N, N), of total returns over the horizon
    residual_volatility : float64, shape (N,), over the horizon, positive
    beta : float64, shape (N,), against the equal-weight universe
    sectors : tuple of str, length N or empty
    ic : SizingCoefficient
        Of the scores that this model sizes.
    horizon_sessions : int
        k
    shrinkage : float
        Ledoit-Wolf intensity, 0 to 1.
    left_out : tuple of str
        Eligible names with too few returns to be judged; they may not be held.
    limited_returns : int
        Returns of the window that were cut to +-50 % before anything was estimated.
    returns : float64, shape (T, N), or None
        One-session total returns of the window, 0 where missing: what a CVaR budget looks at.
    forecast_names : int
        Names whose volatility is a forecast rather than that of the window.
    forecast_ratio : float
        Median over them of the forecast volatility over the window's, within its bounds.
    """

    asof: date
    symbols: tuple[str, ...]
    covariance: Floats
    residual_volatility: Floats
    beta: Floats
    sectors: tuple[str, ...]
    ic: SizingCoefficient
    horizon_sessions: int
    shrinkage: float = 0.0
    left_out: tuple[str, ...] = ()
    limited_returns: int = 0
    returns: Floats | None = None
    forecast_names: int = 0
    forecast_ratio: float = 1.0

    def __post_init__(self) -> None:
        n = len(self.symbols)
        if list(self.symbols) != sorted(set(self.symbols)):
            raise InvariantBroken("symbols must be sorted and distinct")
        shapes = {"covariance": (n, n), "residual_volatility": (n,), "beta": (n,)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or not bool(np.all(np.isfinite(array))):
                raise InvariantBroken(f"risk.{name} is not finite of shape {shape}")
            array.setflags(write=False)
        if self.returns is not None:
            if self.returns.ndim != 2 or self.returns.shape[1] != n or not bool(np.all(np.isfinite(self.returns))):
                raise InvariantBroken(f"risk.returns is not finite with {n} columns")
            self.returns.setflags(write=False)
        if not bool(np.all(np.diag(self.covariance) > 0)) or not bool(np.all(self.residual_volatility > 0)):
            raise InvariantBroken("a variance is not positive")
        if self.sectors and len(self.sectors) != n:
            raise InvariantBroken("sectors and symbols differ in length")
        if self.horizon_sessions < 1:
            raise InvariantBroken("a horizon is at least one session")

    @property
    def session_volatility(self) -> dict[str, float]:
        """Volatility of one session by symbol."""
        return dict(zip(self.symbols, np.sqrt(np.diag(self.covariance) / self.horizon_sessions).tolist(), strict=True))


def estimate(bars: Bars, horizon: int, ic: SizingCoefficient) -> RiskModel:
    """Estimate the risk model at the last session of `bars` for the names eligible there.

    A name needs returns on at least 80 % of the 252 sessions and a positive variance; the others are `left_out`.

    Parameters
    ----------
    bars : Bars
        At least 252 sessions.
    horizon : int
        k, sessions; variances grow linearly with it.

    Raises
    ------
    TooLittleHistory
        Fewer than 252 sessions, or no eligible name with enough returns.
    """
    if len(bars.sessions) < WINDOW_SESSIONS:
        raise TooLittleHistory(
            f"{len(bars.sessions)} sessions of bars, the risk model needs {WINDOW_SESSIONS}",
            where=str(bars.asof),
            fix="Extend the dataset backwards",
        )
    recorded = bars.total_return[-WINDOW_SESSIONS:]
    returns = limited(recorded)
    market = market_return(returns, bars.eligible[-WINDOW_SESSIONS:])
    observed = np.isfinite(returns) & np.isfinite(market)[:, None]
    varies = np.array(
        [np.ptp(column[seen]) > 0 if seen.any() else False for column, seen in zip(returns.T, observed.T, strict=True)], dtype=bool
    )
    judged = bars.eligible[-1] & (observed.mean(axis=0) >= MIN_OBSERVED_SHARE) & varies
    if not judged.any():
        raise TooLittleHistory(
            f"no eligible name has returns on {MIN_OBSERVED_SHARE:.0%} of {WINDOW_SESSIONS} sessions",
            where=str(bars.asof),
            fix="Look at the audit of these sessions",
        )
    chosen = np.flatnonzero(judged)
    covariance, shrinkage = ledoit_wolf(deviations(returns[:, chosen], observed[:, chosen]))
    beta, residual = betas(returns[:, chosen], observed[:, chosen], market)
    return RiskModel(
        asof=bars.asof,
        symbols=tuple(bars.symbols[c] for c in chosen),
        covariance=covariance * horizon,
        residual_volatility=residual * np.sqrt(horizon),
        beta=beta,
        sectors=tuple(bars.sectors[c] for c in chosen) if bars.sectors else (),
        ic=ic,
        horizon_sessions=horizon,
        shrinkage=shrinkage,
        left_out=tuple(bars.symbols[c] for c in np.flatnonzero(bars.eligible[-1] & ~judged)),
        limited_returns=int((np.abs(recorded) > RETURN_LIMIT).sum()),
        returns=np.where(observed[:, chosen], returns[:, chosen], 0.0),
    )


def with_volatility(risk: RiskModel, annual: Mapping[str, float]) -> RiskModel:
    """Return the model with forecast standard deviations in place of the window's; correlations and betas stay.

        Sigma' = D Sigma D,    D_i = clip(f_i sqrt(k / 252) / sqrt(Sigma_ii), 1/3, 3)

    Residual volatilities and the window's returns (filtered historical simulation: Barone-Adesi, Giannopoulos and
    Vosper 1999) are restated by the same D. The bound keeps one wild forecast from deciding the book.

    Parameters
    ----------
    annual : mapping of symbol to annualised volatility, ratio
        Names without a usable forecast (absent, not finite, not positive) keep the window's volatility.

    Returns
    -------
    RiskModel
        `forecast_names` counts the names restated, `forecast_ratio` is the median of their D.
    """
    own = np.sqrt(np.diag(risk.covariance))
    given = np.array([annual.get(symbol, np.nan) for symbol in risk.symbols], dtype=np.float64)
    usable = np.isfinite(given) & (given > 0)
    wanted = np.where(usable, given, 1.0) * np.sqrt(risk.horizon_sessions / SESSIONS_PER_YEAR)
    ratio = np.where(usable, np.clip(wanted / own, 1.0 / FORECAST_LIMIT, FORECAST_LIMIT), 1.0)
    return replace(
        risk,
        covariance=risk.covariance * np.outer(ratio, ratio),
        residual_volatility=risk.residual_volatility * ratio,
        returns=None if risk.returns is None else risk.returns * ratio,
        forecast_names=int(usable.sum()),
        forecast_ratio=float(np.median(ratio[usable])) if usable.any() else 1.0,
    )


def market_return(returns: Floats, eligible: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    """Return the equal-weight mean over each session's eligible names with a return.

    Parameters
    ----------
    returns : float64, shape (T, N)
        NaN where missing.
    eligible : bool, shape (T, N)

    Returns
    -------
    float64, shape (T,)
        NaN on a session without any.
    """
    usable = eligible & np.isfinite(returns)
    count = usable.sum(axis=1)
    total = np.where(usable, returns, 0.0).sum(axis=1)
    mean: Floats = np.divide(total, count, out=np.full(len(returns), np.nan), where=count > 0)
    return mean


def deviations(returns: Floats, observed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    """Return minus its name's mean, 0 where missing, restated so that missing returns do not look like calm.

    A name seen on n of T sessions has its deviations multiplied by sqrt(T / n): its variance is then that of the
    returns it has, and the matrix of products stays positive semi-definite, which pairwise deletion would not give.

    Parameters
    ----------
    returns : float64, shape (T, N)
    observed : bool, shape (T, N)
        Each column holds at least one True.

    Returns
    -------
    float64, shape (T, N)
    """
    count = observed.sum(axis=0)
    held = np.where(observed, returns, 0.0)
    centred = np.where(observed, held - held.sum(axis=0) / count, 0.0)
    restated: Floats = centred * np.sqrt(len(returns) / count)
    return restated


def ledoit_wolf(centred: Floats) -> tuple[Floats, float]:
    """Shrink the sample covariance towards the identity times the mean variance.

    Sigma = (1 - a) S + a m I, with S = X'X / T (divisor T), m = tr(S) / N, d^2 = ||S - m I||^2 / N,
    b^2 = min(d^2, sum_t ||x_t x_t' - S||^2 / (N T^2)) and a = b^2 / d^2
    (Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", section 3.3).

    Parameters
    ----------
    centred : float64, shape (T, N)
        Columns of mean 0, no NaN.

    Returns
    -------
    covariance : float64, shape (N, N)
    intensity : float
        a, from 0 to 1; 0 when S is already a multiple of the identity.
    """
    sessions, names = centred.shape
    sample = centred.T @ centred / sessions
    mean_variance = float(np.trace(sample)) / names
    distance = float((sample**2).sum()) / names - mean_variance**2
    fourth = float((np.square(centred).sum(axis=1) ** 2).sum()) / sessions
    noise = (fourth - float((sample**2).sum())) / (names * sessions)
    intensity = min(max(noise, 0.0), distance) / distance if distance > 0 else 0.0
    return (1 - intensity) * sample + intensity * mean_variance * np.eye(names), intensity


def betas(returns: Floats, observed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], market: Floats) -> tuple[Floats, Floats]:
    """Shrunk beta and residual volatility per session of each name, over the sessions it has.

    b_i and its error come from least squares of r_i on the market with an intercept; the shrunk beta is
    (v b_i + e_i^2 b) / (v + e_i^2), with b the mean and v = max(var(b_i) - mean(e_i^2), 0) the true spread of betas
    (Vasicek 1973, "A note on using cross-sectional information in Bayesian estimation of security betas").

    Parameters
    ----------
    returns : float64, shape (T, N)
    observed : bool, shape (T, N)
    market : float64, shape (T,)

    Returns
    -------
    beta : float64, shape (N,)
    residual : float64, shape (N,)
        Standard deviation of the residual per session, two degrees of freedom lost; the least-squares beta is used.
    """
    count = observed.sum(axis=0)
    m = np.where(observed, np.where(np.isfinite(market), market, 0.0)[:, None], 0.0)
    r = np.where(observed, returns, 0.0)
    m = np.where(observed, m - m.sum(axis=0) / count, 0.0)
    r = np.where(observed, r - r.sum(axis=0) / count, 0.0)
    # A market that never moves explains nothing: every raw beta is then 0.
    market_square = np.maximum((m**2).sum(axis=0), 1e-18)
    raw = (m * r).sum(axis=0) / market_square
    residual_variance = ((r - raw * m) ** 2).sum(axis=0) / np.maximum(count - 2, 1)
    # A name that is the market (a universe of one) has no residual; the floor keeps mu and sigma positive.
    residual_variance = np.maximum(residual_variance, 1e-12)
    error = residual_variance / market_square
    spread = max(float(raw.var(ddof=1)) - float(error.mean()), 0.0) if raw.size > 1 else 0.0
    shrunk: Floats = (spread * raw + error * raw.mean()) / (spread + error)
    residual: Floats = np.sqrt(residual_variance)
    return shrunk, residual


SESSIONS_PER_YEAR = 252
"""Exchange sessions in a year, for annualising a variance that grows with time."""


def annual_volatility(weights: Floats, covariance: Floats, horizon_sessions: int) -> float:
    """Return the ex-ante volatility sqrt(w'Sigma w x 252 / k), annualised.

    Parameters
    ----------
    weights : float64, shape (N,)
    covariance : float64, shape (N, N), over the horizon
    horizon_sessions : int
        k
    """
    variance = max(float(weights @ covariance @ weights), 0.0)
    return math.sqrt(variance * SESSIONS_PER_YEAR / horizon_sessions)


def volatility_scalar(forecast: float, target: float) -> float:
    """Target over forecast, both annualised; unbounded for a book without risk. Applied last, and never upwards."""
    return target / forecast if forecast > 0 else math.inf
