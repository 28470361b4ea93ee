"""What every side of the feature benchmark shares: reading the input, measuring, handing back values for the check.

Imported by scripts that run in environments of their own: numpy and the standard library only.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PANELS = ("close", "volume", "total_return", "overnight_return", "eligible", "sessions")
LOOKBACK_SESSIONS = 252
SPEC = [
    "momentum_5",
    "momentum_20",
    "momentum_60",
    "momentum_126",
    "momentum_12_1",
    "day_of_week_sin",
    "day_of_week_cos",
    "zscore_20",
    "zscore_60",
    "volatility_20",
    "volatility_60",
    "beta_60",
    "residual_volatility_60",
    "log_traded_usd_20",
    "band_position_20",
    "overnight_return",
    "overnight_mean_20",
    "overnight_volatility_20",
    "drawdown_60",
    "drawdown_126",
]
RANKED = [name for name in SPEC if not name.startswith("day_of_week")]
NAMES = SPEC + [f"rank_{name}" for name in RANKED]


SPLITTER, NOTHING = np.float32(65), 1e-9


def rounded(values):
    """float32 of anything that has `where`, rounded to the 18 bits that a rank depends on; next to nothing is zero."""
    split = values * SPLITTER
    return (split - (split - values)).where(abs(values) >= NOTHING, values * np.float32(0))


def load(folder: str) -> dict[str, np.ndarray]:
    """The panels of one workload, (T, N) each."""
    return {name: np.load(Path(folder) / f"{name}.npy") for name in PANELS}


def status_bytes(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def measured(work: Callable[[], object], version: str, output_bytes: int, values: Callable[[object], np.ndarray]) -> None:
    """Run `work` once; print its CPU time and the memory it added, and save what it computed for the check."""
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts here
    before, started = status_bytes("VmRSS"), os.times()
    wall = time.perf_counter()
    result = work()
    ended = os.times()
    added = status_bytes("VmHWM") - before
    report = {
        "cpu_s": ended.user + ended.system - started.user - started.system,
        "wall_s": time.perf_counter() - wall,
        "added_bytes": added,
        "output_bytes": output_bytes,
        "version": version,
    }
    if len(sys.argv) > 2:
        np.save(sys.argv[2], values(result))
    print(json.dumps(report))


def finished(version: str, values: np.ndarray) -> None:
    """Report the whole process: CPU time since it started and its peak memory, then save the values.

    The peak is VmHWM: ru_maxrss would show the parent's where that was larger when it forked.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report = {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_bytes": status_bytes("VmHWM"), "version": version}
    if len(sys.argv) > 3:
        np.save(sys.argv[3], values)
    print(json.dumps(report))
