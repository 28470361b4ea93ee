"""P5, our side: `python day_trademl.py STORE.duckdb MODEL.onnx [SCORES.npy]`: store -> features -> scores."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import numpy as np
import onnxruntime
from day_workload import calendar_of, finished

from appliance.market.store import MarketStore
from signals.models.inference import predict
from signals.sleeves import SLEEVES

calendar = calendar_of(sys.argv[1])
sleeve = SLEEVES["equities_xs"]
market = MarketStore(Path(sys.argv[1]), calendar)
asof = calendar.days[-1]
panel = sleeve.features(market.bars(asof, sleeve.lookback_sessions), asof)
market.close()
_, rows = panel.at(asof)
scores = predict([Path(sys.argv[2]).read_bytes()], rows)
loaded = [name for name in ("pandas", "pyarrow", "sklearn", "lightgbm") if name in sys.modules]
version = f"duckdb {duckdb.__version__}, onnxruntime {onnxruntime.__version__}, numpy {np.__version__}"
finished(version, scores, loaded)
