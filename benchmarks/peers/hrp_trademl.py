"""HRP weights of one covariance by `portfolio/risk/hrp.py`, timed without imports; as `hrp_peer.py`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from portfolio.risk.hrp import hrp_weights  # the checkout, wherever this was started

source, target = sys.argv[1:]
covariance = np.load(source)
start = time.process_time()
weights = hrp_weights(covariance)
print(time.process_time() - start)
np.save(target, weights)
