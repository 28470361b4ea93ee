"""The sleeve `equities_xs`: daily cross-sectional ranking of equities from price and volume features.

The score of `asof` ranks names by their expected total return from the open of D to the open of D + 5.
"""

from functools import partial

from signals.features.classified import CLASSIFIED_FEATURES
from signals.features.panel import Feature
from signals.features.price import (
    YEAR_SESSIONS,
    band_position,
    beta,
    drawdown,
    log_traded_usd,
    momentum,
    momentum_12_1,
    overnight_mean,
    overnight_return,
    overnight_volatility,
    realised_volatility,
    residual_volatility,
    zscore,
)
from signals.features.seasonality import day_of_week_cos, day_of_week_sin
from signals.indicators.regimes import WILD_FEATURE
from signals.sleeves.base import Sleeve

HORIZON_SESSIONS = 5

_calendar = partial(Feature, units="ratio", lookback_sessions=1, is_ranked=False, is_calendar=True)

TABLE = (
    Feature("momentum_5", "ratio", 5, partial(momentum, sessions=5)),
    Feature("momentum_20", "ratio", 20, partial(momentum, sessions=20)),
    Feature("momentum_60", "ratio", 60, partial(momentum, sessions=60)),
    Feature("momentum_126", "ratio", 126, partial(momentum, sessions=126)),
    Feature("momentum_12_1", "ratio", YEAR_SESSIONS, momentum_12_1),
    _calendar("day_of_week_sin", formula=day_of_week_sin),
    _calendar("day_of_week_cos", formula=day_of_week_cos),
    Feature("zscore_20", "z", 20, partial(zscore, sessions=20)),
    Feature("zscore_60", "z", 60, partial(zscore, sessions=60)),
    Feature("volatility_20", "annualised ratio", 20, partial(realised_volatility, sessions=20)),
    Feature("volatility_60", "annualised ratio", 60, partial(realised_volatility, sessions=60)),
    Feature("beta_60", "ratio", 60, partial(beta, sessions=60), is_cross_sectional=True),
    Feature("residual_volatility_60", "annualised ratio", 60, partial(residual_volatility, sessions=60), is_cross_sectional=True),
    Feature("log_traded_usd_20", "log USD", 20, partial(log_traded_usd, sessions=20)),
    Feature("band_position_20", "ratio", 20, partial(band_position, sessions=20)),
    Feature("overnight_return", "ratio", 1, overnight_return),
    Feature("overnight_mean_20", "ratio", 20, partial(overnight_mean, sessions=20)),
    Feature("overnight_volatility_20", "annualised ratio", 20, partial(overnight_volatility, sessions=20)),
    Feature("drawdown_60", "ratio", 60, partial(drawdown, sessions=60)),
    Feature("drawdown_126", "ratio", 126, partial(drawdown, sessions=126)),
)

EQUITIES_XS = Sleeve("equities_xs", ("daily_bars",), TABLE, HORIZON_SESSIONS, optional=(*CLASSIFIED_FEATURES, WILD_FEATURE))
