"""Weight-level backtest: net asset value of a path of target weights after costs.

One session: yesterday's book drifts with the session's returns, is rebalanced to the session's target at its end, and
pays for that. With equity E before trading, drifted weights h and target w:

    borrow  = sum_i rate_{t,i} max(-p_i, 0)                               accrued while the previous book p was held
    growth  = 1 + sum_j p_j r_j - borrow
    h_i     = p_i (1 + r_i) / growth
    cost    = sum_i [ half_spread |w_i - h_i| + impact_i |w_i - h_i|^{3/2} ]       fraction of equity before trading
    E_t     = E_{t-1} growth (1 - cost)
    p_i     = w_i / (1 - cost)                                                     costs are paid from cash

The square-root law I = Y sigma sqrt(Q / V) makes a trade of the fraction x of equity cost
Y sigma sqrt(E / ADV) x^{3/2}; `impact_i` is that coefficient, taken from the execution stage's cost models by the
caller, so that prices of trading have one home. It is held at the caller's reference equity: a search compares books
of one size.
"""

from dataclasses import dataclass

import numpy as np

from signals.errors import InvariantBroken
from signals.market.bars import Flags, Floats


@dataclass(frozen=True, eq=False)
class NavCosts:
    """Costs of trading and holding, in fractions.

    Attributes
    ----------
    half_spread : float64, shape (N,) or scalar array
        Fraction of traded value.
    impact : float64, shape (N,) or scalar array
        Y sigma sqrt(E / ADV): multiplies |traded weight|^{3/2}.
    borrow : float64, shape (T, N), or (T, 1) for all names alike
        Fraction of short value due between the previous session and this one (annual rate x calendar days / 360).
    """

    half_spread: Floats
    impact: Floats
    borrow: Floats


@dataclass(frozen=True, eq=False)
class Nav:
    """The path that a book's value took.

    Attributes
    ----------
    nav : float64, shape (T,)
        After each session's trades; the book starts at 1 in cash.
    turnover : float64, shape (T,)
        sum |w - h| / 2.
    cost : float64, shape (T,)
        Spread and impact paid, fraction of equity before trading.
    borrow : float64, shape (T,)
        Fraction of the previous equity.
    ruined : int or None
        Session in which nothing was left: the book ends there, and its value, zero or below, stays.
    """

    nav: Floats
    turnover: Floats
    cost: Floats
    borrow: Floats
    ruined: int | None = None


def net_asset_value(weights: Floats, returns: Floats, costs: NavCosts, waits: Flags | None = None) -> Nav:
    """Run the recursion of the module's header.

    Parameters
    ----------
    weights : float64, shape (T, N)
        Target after session t's trades, signed fractions of equity; no NaN.
    returns : float64, shape (T, N)
        From the previous rebalancing to this one; row 0 is not read. No NaN: what a holding earns over a session
        without a bar is the caller's to say (`signals.market.bars`).
    waits : bool, shape (T, N), optional
        Where a holding can be neither left nor enlarged: the drifted weight is kept.

    Raises
    ------
    InvariantBroken
        Shapes differ, or a weight or a return is not finite.
    """
    if weights.shape != returns.shape or costs.borrow.shape not in (weights.shape, (len(weights), 1)):
        raise InvariantBroken(f"weights {weights.shape}, returns {returns.shape}, borrow {costs.borrow.shape}")
    if not np.isfinite(weights).all() or not np.isfinite(returns[1:]).all():
        raise InvariantBroken("a weight or a return is not finite")
    has_impact = bool(np.any(costs.impact))
    sessions, n = weights.shape
    nav, turnover, cost, borrowed = (np.zeros(sessions) for _ in range(4))
    held: Floats = np.zeros(n)
    value = 1.0
    for t in range(sessions):
        borrowed[t] = -float((costs.borrow[t] * np.minimum(held, 0.0)).sum())
        if t:
            growth = 1.0 + float(held @ returns[t]) - borrowed[t]
            value *= growth
            if growth <= 0:
                nav[t:] = value
                return Nav(nav, turnover, cost, borrowed, ruined=t)
            held = held * (1.0 + returns[t]) / growth
        target = np.where(waits[t], held, weights[t]) if t and waits is not None else weights[t]
        traded = np.abs(target - held)
        turnover[t] = traded.sum() / 2.0
        cost[t] = float((costs.half_spread * traded).sum())
        if has_impact:
            cost[t] += float((costs.impact * traded * np.sqrt(traded)).sum())
        value *= 1.0 - cost[t]
        if cost[t] >= 1:
            nav[t:] = value
            return Nav(nav, turnover, cost, borrowed, ruined=t)
        nav[t] = value
        held = target / (1.0 - cost[t])
    return Nav(nav, turnover, cost, borrowed)
