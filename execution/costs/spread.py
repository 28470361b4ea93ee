"""The quoted spread: each side of a round trip pays half of it.

cost = value x s / 2        value: USD traded; s: full quoted spread, fraction of price, (ask - bid) / mid
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from execution.fills import CENT
from signals.bars import Floats

DEFAULT_SPREAD_BPS = 5.0
"""Full quoted spread assumed where no quote is known, basis points."""
DEFAULT_SPREAD = Decimal(5)
"""The same, as money is counted."""
BPS = 1e-4
BPS_DECIMAL = Decimal("0.0001")


def quoted_spread_bps(bid: Floats, ask: Floats, default_bps: float = DEFAULT_SPREAD_BPS) -> Floats:
    """Full quoted spread per name; the default where a quote is missing, crossed or not positive.

    Parameters
    ----------
    bid, ask : float64, shape (N,), USD
        NaN where unknown.
    default_bps : float

    Returns
    -------
    float64, shape (N,), basis points of the mid

    Examples
    --------
    >>> quoted_spread_bps(np.array([99.99, np.nan, 10.0]), np.array([100.01, 20.0, 9.0])).round(4).tolist()
    [2.0, 5.0, 5.0]
    """
    is_quoted = (bid > 0) & (ask >= bid) & np.isfinite(ask)
    known_bid, known_ask = np.where(is_quoted, bid, 1.0), np.where(is_quoted, ask, 1.0)
    spread = (known_ask - known_bid) / ((known_ask + known_bid) / 2.0) / BPS
    return np.where(is_quoted, spread, default_bps)


def half_spread(spread_bps: float | Floats = DEFAULT_SPREAD_BPS) -> float | Floats:
    """Fraction of the traded value that one side pays."""
    return spread_bps * BPS / 2.0


def spread_cost(value_usd: Decimal, spread_bps: Decimal = DEFAULT_SPREAD) -> Decimal:
    """USD that one trade of `value_usd` pays, to the cent, half-even.

    Examples
    --------
    >>> spread_cost(Decimal("-10000"))
    Decimal('2.50')
    """
    return (abs(value_usd) * spread_bps * BPS_DECIMAL / 2).quantize(CENT)
