r"""Factor regression of one session's returns on market, sectors and styles, for attribution.

A session has two legs: from the last close to the arrival price at which orders are filled (the open, or the close
for plans of the closing auction), and from there to the close. In each leg, over the names eligible the session before,

    r_i = b_i m + sum_k D_ik f_k + sum_s X_is g_s + e_i

m is the equal-weight mean return of those names, b_i the beta of `portfolio.risk.model`, D the sector's indicator, X
the ranks (-1 to 1) of momentum, volatility and size; f and g are the least-squares solution of least norm for r_i - b_i
m (a cross-sectional regression as in Fama and MacBeth 1973, "Risk, return, and equilibrium: empirical tests"). Betas
and ranks are those of the session before: nothing of the leg explains itself. A universe too small for the regression
leaves everything but the market to e. Returns beyond +-50 % count as +-50 % for the factors, and in full for the name.
"""

from dataclasses import dataclass

import numpy as np

from portfolio.policy.step import UNKNOWN_BETA
from portfolio.risk.model import MIN_OBSERVED_SHARE, WINDOW_SESSIONS, betas, market_return
from signals.errors import InvariantBroken
from signals.features.history import limited
from signals.market.bars import Bars, Floats

MIN_BETA_SESSIONS = 60
STYLES = ("momentum", "volatility", "size")
SKIPPED_SESSIONS, VOLATILITY_SESSIONS, VOLUME_SESSIONS = 21, 60, 20
NAMES_PER_FACTOR = 2


@dataclass(frozen=True, eq=False)
class Leg:
    """Returns of one stretch and what explains them, fractions, each of shape (N,) on the bars' symbols.

    Attributes
    ----------
    returns : float64, shape (N,)
        Total return of the stretch; NaN where a bar is missing.
    market, sector, style : float64, shape (N,)
        The parts explained; 0 where nothing is known of a name but for its beta, which is then 1.
    """

    returns: Floats
    market: Floats
    sector: Floats
    style: Floats


def legs(bars: Bars, sessions: int = 1, *, at_close: bool = False) -> tuple[Leg, Leg]:
    """Explain both legs of the last session of `bars`.

    Parameters
    ----------
    bars : Bars
        Ends at the session; as much history as betas and styles shall look at, up to 252 sessions before it.
    sessions : int
        The last close lies so many sessions back; more than 1 where a session between was never agreed. The sessions
        between belong to the first leg.
    at_close : bool
        The arrival price is the close: the second leg is empty.

    Raises
    ------
    InvariantBroken
        `bars` does not reach back to the last close.
    """
    if not 1 <= sessions < len(bars.sessions):
        raise InvariantBroken(f"{len(bars.sessions)} sessions of bars for a stretch of {sessions}")
    before = bars.rows(0, len(bars.sessions) - sessions)
    beta, exposures = _betas(before), _styles(before)
    universe = before.eligible[-1]
    between = np.nan_to_num(bars.total_return[len(before.sessions) : -1])
    last = bars.total_return[-1] if at_close else bars.overnight_return[-1]
    first = np.prod(1.0 + between, axis=0) * (1.0 + last) - 1.0
    second = np.zeros(len(bars.symbols)) if at_close else bars.close[-1] / bars.open[-1] - 1.0
    sectors = bars.sectors or ("",) * len(bars.symbols)
    return (explain(first, beta, sectors, exposures, universe), explain(second, beta, sectors, exposures, universe))


def explain(returns: Floats, beta: Floats, sectors: tuple[str, ...], styles: Floats, universe: np.ndarray) -> Leg:
    """Split one stretch's returns by the regression of the module's header.

    Parameters
    ----------
    returns : float64, shape (N,), fraction
        NaN where a bar is missing.
    beta : float64, shape (N,)
    sectors : tuple of str, length N
    styles : float64, shape (N, S), -1 to 1
        0 where unknown.
    universe : bool, shape (N,)
        Names that the factors are measured on.

    Examples
    --------
    >>> leg = explain(np.array([0.03, 0.01]), np.ones(2), ("a", "b"), np.zeros((2, 0)), np.ones(2, dtype=bool))
    >>> leg.market.tolist(), leg.sector.tolist()
    ([0.02, 0.02], [0.0, 0.0])
    """
    held = limited(returns)
    used = universe & np.isfinite(held)
    zero = np.zeros(len(returns))
    if not used.any():
        return Leg(returns, zero, zero, zero)
    market = beta * float(held[used].mean())
    names = sorted(set(sectors))
    dummies = np.array([[sector == name for name in names] for sector in sectors], dtype=np.float64)
    if used.sum() < NAMES_PER_FACTOR * (dummies.shape[1] + styles.shape[1]):
        return Leg(returns, market, zero, zero)
    design = np.hstack([dummies, styles])
    solved = np.linalg.lstsq(design[used], (held - market)[used], rcond=None)[0]
    return Leg(returns, market, dummies @ solved[: len(names)], styles @ solved[len(names) :])


def _betas(bars: Bars) -> Floats:
    """Beta of every name by `portfolio.risk.model`; 1 where too few returns are known."""
    found = np.full(len(bars.symbols), UNKNOWN_BETA)
    returns = limited(bars.total_return[-WINDOW_SESSIONS:])
    market = market_return(returns, bars.eligible[-WINDOW_SESSIONS:])
    observed = np.isfinite(returns) & np.isfinite(market)[:, None]
    if len(returns) < MIN_BETA_SESSIONS:
        return found
    chosen = np.flatnonzero(observed.mean(axis=0) >= MIN_OBSERVED_SHARE)
    if len(chosen):
        found[chosen] = betas(returns[:, chosen], observed[:, chosen], market)[0]
    return found


def _styles(bars: Bars) -> Floats:
    """Centred ranks of momentum, volatility and size at the last session, shape (N, 3); 0 where unknown."""
    returns = limited(bars.total_return[-WINDOW_SESSIONS:])
    grown = np.log1p(returns[:-SKIPPED_SESSIONS])
    momentum = np.where(np.isfinite(grown).any(axis=0), np.nansum(grown, axis=0), np.nan)
    volume = (bars.close * bars.volume)[-VOLUME_SESSIONS:]
    measured = (momentum, _spread(returns[-VOLATILITY_SESSIONS:]), _mean(volume))
    return np.stack([_centred_rank(values, bars.eligible[-1]) for values in measured], axis=1)


def _mean(panel: Floats) -> Floats:
    count = np.isfinite(panel).sum(axis=0)
    total = np.nansum(panel, axis=0)
    mean: Floats = np.divide(total, count, out=np.full(panel.shape[1], np.nan), where=count > 0)
    return mean


def _spread(panel: Floats) -> Floats:
    """Standard deviation of each column around its mean (ddof 0); NaN without a value."""
    spread: Floats = np.sqrt(_mean((panel - _mean(panel)) ** 2))
    return spread


def _centred_rank(values: Floats, eligible: np.ndarray) -> Floats:
    """Ranks of the eligible values, evenly from -1 to 1, ties in column order; 0 elsewhere."""
    found = np.zeros(len(values))
    known = np.flatnonzero(eligible & np.isfinite(values))
    if len(known) > 1:
        order = known[np.argsort(values[known], kind="stable")]
        found[order] = np.linspace(-1.0, 1.0, len(order))
    return found
