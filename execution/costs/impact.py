"""Market impact by the square-root law.

    I = Y sigma sqrt(Q / V)     fraction of price

Y: dimensionless, about 1 (Toth et al. 2011, "Anomalous price impact and the critical nature of liquidity", section I);
sigma: daily volatility, fraction; Q: shares traded; V: shares that trade in a day. In value terms Q / V is the trade's
USD over the average daily USD volume (ADV).
"""

import math

import numpy as np

from signals.market.bars import Floats

Y_DEFAULT = 1.0


def square_root_impact(sigma: float | Floats, participation: float | Floats, y: float = Y_DEFAULT) -> Floats:
    """Return I per name, fraction of price.

    Parameters
    ----------
    sigma : float64, scalar or shape (N,)
        Daily volatility. NaN where unknown, and then I is NaN: unknown impact is not free.
    participation : float64, scalar or shape (N,)
        Q / V; its sign is ignored.

    Examples
    --------
    A volatility of 2 % and 1 % of the day's volume cost 20 basis points.

    >>> round(float(square_root_impact(0.02, 0.01)) * 1e4, 4)
    20.0
    """
    return np.asarray(y * np.asarray(sigma) * np.sqrt(np.abs(participation)), dtype=np.float64)


def signed_impact(flow_usd: float, sigma: float, adv_usd: float, y: float = Y_DEFAULT) -> float:
    """Return the displacement of the price by a net flow of own trades, fraction of price with the flow's sign.

    Examples
    --------
    >>> round(signed_impact(-10_000.0, 0.02, 1_000_000.0) * 1e4, 4)
    -20.0
    """
    return math.copysign(float(square_root_impact(sigma, flow_usd / adv_usd, y)), flow_usd)


def faded(minutes: float | Floats, half_life: float) -> Floats:
    """Share of a flow that still moves the price after so many minutes, of their shape: 2^(-t / half-life), a transient impact."""
    return np.asarray(0.5 ** (np.asarray(minutes) / half_life), dtype=np.float64)


def impact_cost_usd(value_usd: float | Floats, sigma: float | Floats, adv_usd: float | Floats, y: float = Y_DEFAULT) -> Floats:
    """USD that trades of `value_usd` pay: |value| I(sigma, |value| / ADV); 0 for no trade.

    Parameters
    ----------
    value_usd, sigma, adv_usd : float64, scalar or shape (N,)
        A name without volume (ADV 0) costs infinity to trade.
    """
    value = np.abs(np.asarray(value_usd, dtype=np.float64))
    adv = np.asarray(adv_usd, dtype=np.float64)
    share = np.divide(value, adv, out=np.where(value > 0, np.inf, 0.0), where=adv > 0)
    return np.where(value > 0, value * square_root_impact(sigma, share, y), 0.0)


def weight_impact_coefficient(sigma: Floats, adv_usd: Floats, equity_usd: float, y: float = Y_DEFAULT) -> Floats:
    """Y sigma sqrt(E / ADV): times |traded weight|^{3/2} it is the impact's fraction of equity.

    Parameters
    ----------
    sigma, adv_usd : float64, shape (N,)
        ADV positive.
    equity_usd : float
        E.
    """
    return square_root_impact(sigma, equity_usd / adv_usd, y)
