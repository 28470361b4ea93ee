"""The sleeve `foundation_xs`: the forecast of each name's next returns by a pretrained model that was not fitted on them.

The model forecasts quantiles of the return over the horizon from the last `WINDOW_SESSIONS` returns. Its weights are where
models are trained; a device verifies the small model that ranks the forecasts, and takes the scores that are delivered.
"""

from functools import partial

from signals.features.history import joined
from signals.features.panel import Feature
from signals.sleeves.base import Sleeve

HORIZON_SESSIONS, WINDOW_SESSIONS = 5, 128
FORECASTS = "foundation_forecasts"
FIGURES = {"forecast": "return", "forecast_range": "return"}  # the median, and the distance of the quantiles 0.1 and 0.9

TABLE = tuple(Feature(name, units, WINDOW_SESSIONS, partial(joined, name=name)) for name, units in FIGURES.items())
FOUNDATION_XS = Sleeve("foundation_xs", ("daily_bars", FORECASTS), TABLE, HORIZON_SESSIONS, tuple(FIGURES))
