"""P5, the slim peer: our store and features without any frame, but LightGBM's own prediction."""

from __future__ import annotations

import sys
from pathlib import Path

import lightgbm
import numpy as np
from day_workload import calendar_of, finished

from appliance.market.store import MarketStore
from signals.sleeves import SLEEVES

calendar = calendar_of(sys.argv[1])
sleeve = SLEEVES["equities_xs"]
market = MarketStore(Path(sys.argv[1]), calendar)
asof = calendar.days[-1]
panel = sleeve.features(market.bars(asof, sleeve.lookback_sessions), asof)
market.close()
_, rows = panel.at(asof)
scores = lightgbm.Booster(model_file=sys.argv[2]).predict(rows, num_threads=1)
finished(f"lightgbm {lightgbm.__version__}, numpy {np.__version__}", np.asarray(scores), [])
