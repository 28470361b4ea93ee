"""Label work by mlfinpy, one name after the other, timed without imports and after one call that compiles.

python labels_mlfinpy.py FOLDER WORKLOAD RESULT.npy   (FOLDER: close.npy (T, N), and first.npy, last.npy of one name)
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

warnings.simplefilter("ignore")

from mlfinpy.labeling.labeling import add_vertical_barrier, get_events  # noqa: E402  # after its warnings are off
from mlfinpy.sampling.bootstrapping import get_ind_matrix, seq_bootstrap  # noqa: E402
from mlfinpy.sampling.concurrent import _get_average_uniqueness, num_concurrent_events  # noqa: E402
from mlfinpy.util.frac_diff import frac_diff_ffd  # noqa: E402

MAX_SESSIONS, WINDOW = 10, 20


def uniqueness(folder: Path) -> np.ndarray:
    """Average uniqueness of every label of one name, for every name."""
    close, first, last = (np.load(folder / f"{name}.npy") for name in ("close", "first", "last"))
    days = pd.bdate_range("2015-01-01", periods=len(close))
    ends = pd.Series(days[last], index=days[first])
    found = None
    for _ in range(close.shape[1]):
        alive = num_concurrent_events(days, ends, ends.index)
        found = _get_average_uniqueness(ends, alive.reindex(days).fillna(0), ends.index)
    return found.to_numpy()


def barriers(folder: Path) -> np.ndarray:
    """First touch on closes; mlfinpy has no highs, lows, gaps or delistings."""
    close = np.load(folder / "close.npy")
    days = pd.bdate_range("2015-01-01", periods=len(close))
    touched = []
    for column in close.T:
        series = pd.Series(column, index=days).ffill()
        target = series.pct_change().rolling(WINDOW).std().dropna()
        vertical = add_vertical_barrier(target.index, series, num_days=14)
        events = get_events(series, target.index, [2, 1], target, 0.0, 1, vertical, verbose=False)
        touched.append(len(events))
    return np.array(touched)


def bootstrap(folder: Path) -> np.ndarray:
    """Sequential bootstrap of the first 250 labels of one name."""
    first, last = (np.load(folder / f"{name}.npy")[:250] for name in ("first", "last"))
    days = pd.bdate_range("2015-01-01", periods=int(last.max()) + 1)
    ends = pd.Series(days[last], index=days[first])
    matrix = get_ind_matrix(ends.rename("t1"), pd.DataFrame(index=days))
    return np.array(seq_bootstrap(matrix, sample_length=250, random_state=np.random.RandomState(1)))


def differencing(folder: Path) -> np.ndarray:
    """Fractional differencing, d = 0.4, of the log of every name's close."""
    close = np.load(folder / "close.npy")
    out = [frac_diff_ffd(pd.DataFrame({"x": np.log(pd.Series(column).ffill().bfill())}), 0.4, 1e-3)["x"].to_numpy() for column in close.T]
    return np.array(out).T


def main() -> None:
    """Compile once, then time one run."""
    folder, workload, target = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    work = {"uniqueness": uniqueness, "barriers": barriers, "bootstrap": bootstrap, "differencing": differencing}
    work[workload](folder)
    began = time.process_time()
    result = work[workload](folder)
    print(time.process_time() - began)
    np.save(target, result)


if __name__ == "__main__":
    main()
