"""Beta and residual volatility against the equal-weight return of the eligible universe.

    beta_w(t) = C_rm / M2_m                                                             ratio, look-back w
    residual_volatility_w(t) = sqrt(252) sqrt( (M2_r - beta C_rm) / (n - 1) )           annualised ratio, look-back w

M2 and C are sums of squared and crossed deviations from the means over the window's valid returns r and the market's
returns m at the same sessions; the residuals have mean zero, ddof 1. Both are cross-sectional: other names' returns
make the market. NaN where fewer than 80 % of the window is valid, or the market is undefined at a session used.
"""

import numpy as np

from signals.features.history import FeatureInputs
from signals.features.price import ANNUALISATION
from signals.features.windows import per_degree_of_freedom
from signals.market.bars import Floats


def beta(history: FeatureInputs, sessions: int) -> Floats:
    """Slope of the name's returns on the market's; ratio, shape (T, N)."""
    *_, market_squares, products = history.return_moments.window(sessions)
    return history.policed_by_market(products / market_squares, sessions)


def residual_volatility(history: FeatureInputs, sessions: int) -> Floats:
    """Annualised standard deviation of what beta leaves unexplained; ratio, shape (T, N)."""
    _, squares, _, market_squares, products = history.return_moments.window(sessions)
    unexplained = np.maximum(squares - products / market_squares * products, 0.0)
    variance = per_degree_of_freedom(unexplained, history.returns.count(sessions))
    return history.policed_by_market(ANNUALISATION * np.sqrt(variance), sessions)
