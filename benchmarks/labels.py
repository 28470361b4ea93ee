"""Label code against a plain loop over names and sessions that follows the definition, and against mlfinpy.

    .venv/bin/python benchmarks/labels.py [--shape 100x1260] [--runs 5] [--peer-python PYTHON]

One thread, process CPU, medians of interleaved runs in one process; both sides must give the same labels. mlfinpy runs
in processes of the environment that `make peers` pins, where `--peer-python var/peers-labels/bin/python` names it; its
triple barrier knows closes alone, and its bootstrap draws other numbers: there only time is compared.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from signals.market.bars import EXIT_SESSIONS, Bars, Floats  # noqa: E402  # the checkout, wherever this was started
from tests.fakes.bars import synthetic_bars  # noqa: E402
from trainer.labels.fractional import fractional_difference, fractional_weights  # noqa: E402
from trainer.labels.horizon import horizon_labels  # noqa: E402
from trainer.labels.triple_barrier import Barriers, triple_barrier_labels  # noqa: E402
from trainer.labels.weights import average_uniqueness, sequential_bootstrap  # noqa: E402

HORIZON = 5
BARRIERS = Barriers()
PEER = ROOT / "benchmarks" / "peers" / "labels_mlfinpy.py"
WINDOW_OF_THRESHOLD = int((np.abs(fractional_weights(0.4, 1000)) >= 1e-3).sum())  # mlfinpy keeps weights down to 1e-3


def since_last_bar(returns: Floats, across: Floats, s: int, name: int) -> float:
    """Return of a bar since the bar before it, across a gap where there is one."""
    return float(across[s, name] if np.isnan(returns[s, name]) else returns[s, name])


def horizon_loop(bars: Bars) -> Floats:
    """Open of t + 1 to open of t + 1 + k, one label at a time."""
    count, names = bars.close.shape
    values = np.full((count, names), np.nan)
    for name in range(names):
        for t in range(count - 1 - HORIZON):
            if bars.eligible[t, name] and not np.isnan(bars.close[t + 1, name]):
                values[t, name] = one_holding(bars, t, name)
    return values


def one_holding(bars: Bars, t: int, name: int) -> float:
    """Return from the open of t + 1; without a bar at its exit it is left at the next open, else at the last price."""
    growth = bars.close[t + 1, name] / bars.open[t + 1, name]
    for s in range(t + 2, t + 1 + HORIZON):
        if not np.isnan(bars.close[s, name]):
            growth *= 1.0 + since_last_bar(bars.total_return, bars.gap_return, s, name)
    for s in range(t + 1 + HORIZON, t + 2 + HORIZON + EXIT_SESSIONS):
        if s >= len(bars.close):
            return float("nan")
        if not np.isnan(bars.close[s, name]):
            growth *= 1.0 + since_last_bar(bars.overnight_return, bars.gap_overnight, s, name)
            break
    return float(growth) - 1.0


def barrier_loop(bars: Bars) -> Floats:
    """First touch of profit, stop or patience, one label at a time."""
    count, names = bars.close.shape
    values = np.full((count, names), np.nan)
    for name in range(names):
        for t in range(BARRIERS.window - 1, count - 1):
            past = bars.total_return[t - BARRIERS.window + 1 : t + 1, name]
            sigma = float(past.std(ddof=1))
            if not bars.eligible[t, name] or not sigma > 0.0 or np.isnan(bars.open[t + 1, name]):
                continue
            values[t, name] = one_trade(bars, t, name, sigma)
    return values


def one_trade(bars: Bars, t: int, name: int, sigma: float) -> float:
    """Return of the trade entered at the open of t + 1, in units of that open."""
    upper, lower = 1.0 + BARRIERS.profit * sigma, 1.0 - BARRIERS.stop * sigma
    level = bars.close[t + 1, name] / bars.open[t + 1, name]  # of the newest close, entry 1
    for step in range(1, BARRIERS.max_sessions + EXIT_SESSIONS + 1):
        s = t + step
        if s >= len(bars.close):
            return float("nan")
        if np.isnan(bars.close[s, name]):
            continue
        if step > 1:
            level *= 1.0 + since_last_bar(bars.total_return, bars.gap_return, s, name)
        unit = level / bars.close[s, name]
        opening, high, low = (p[s, name] * unit for p in (bars.open, bars.high, bars.low))
        if step > BARRIERS.max_sessions or (step > 1 and not lower < opening < upper):
            return opening - 1.0
        if low <= lower:
            return lower - 1.0
        if high >= upper:
            return upper - 1.0
        if step == BARRIERS.max_sessions:
            return level - 1.0
    return level - 1.0


def uniqueness_loop(first: np.ndarray, last: np.ndarray) -> Floats:
    """Count the labels alive at each session, then average their inverses over each life."""
    alive = [0] * (int(last.max()) + 1)
    for start, end in zip(first.tolist(), last.tolist(), strict=True):
        for t in range(start, end + 1):
            alive[t] += 1
    return np.array(
        [
            sum(1.0 / alive[t] for t in range(start, end + 1)) / (end - start + 1)
            for start, end in zip(first.tolist(), last.tolist(), strict=True)
        ]
    )


def measured(sides: dict[str, Callable[[], Floats]], runs: int) -> dict[str, float]:
    """Median CPU seconds of each side, taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            began = time.process_time()
            side()
            seconds[name].append(time.process_time() - began)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="100x1260")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer-python", default="", help="Python that has mlfinpy.")
    options = parser.parse_args()
    names, sessions = (int(part) for part in options.shape.split("x"))
    bars = synthetic_bars(1, sessions=sessions, symbols=names)
    labels = horizon_labels(bars, HORIZON)
    t0, _ = np.nonzero(labels.ends >= 0)
    t1 = labels.ends[labels.ends >= 0]
    workloads: dict[str, dict[str, Callable[[], Floats]]] = {
        "horizon, k = 5": {"ours": lambda: horizon_labels(bars, HORIZON).values, "loop": lambda: horizon_loop(bars)},
        "triple barrier": {"ours": lambda: triple_barrier_labels(bars, BARRIERS).labels.values, "loop": lambda: barrier_loop(bars)},
        "average uniqueness": {"ours": lambda: average_uniqueness(t0, t1), "loop": lambda: uniqueness_loop(t0, t1)},
    }
    print(f"{names} names x {sessions} sessions, {options.runs} runs, numpy {np.__version__}")
    for workload, sides in workloads.items():
        ours, loop = sides["ours"](), sides["loop"]()
        if not np.array_equal(np.isfinite(ours), np.isfinite(loop)):
            raise SystemExit(f"{workload}: the sides label different rows")
        taken = measured(sides, options.runs)
        difference = float(np.nanmax(np.abs(ours - loop)))
        print(
            f"{workload:<20} ours {taken['ours']:.4f} s, loop {taken['loop']:.3f} s: "
            f"{taken['loop'] / taken['ours']:.0f}x, values within {difference:.1e}"
        )
    if options.peer_python:
        beside_mlfinpy(bars, options.peer_python, options.runs)


def beside_mlfinpy(bars: Bars, python: str, runs: int) -> None:
    """The same work on the first five names by mlfinpy, one name after the other as it is made for."""
    few = bars.select(bars.symbols[:5])
    first = np.arange(30, len(few.sessions) - 10)
    last = first + np.random.default_rng(1).integers(1, 10, len(first))
    close = np.array([np.asarray(_filled(column)) for column in few.close.T]).T
    names = close.shape[1]

    def differenced() -> Floats:
        return np.array([fractional_difference(np.log(c), 0.4, window=WINDOW_OF_THRESHOLD) for c in close.T]).T

    ours: dict[str, Callable[[], Floats]] = {
        "uniqueness": lambda: [average_uniqueness(first, last) for _ in range(names)][-1],
        "barriers": lambda: triple_barrier_labels(few, BARRIERS).labels.values,
        "bootstrap": lambda: sequential_bootstrap(first[:250], last[:250], 250, np.random.default_rng(1)).astype(float),
        "differencing": differenced,
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, values in (("close", close), ("first", first), ("last", last)):
            np.save(folder / f"{name}.npy", values)
        for workload, work in ours.items():
            command = [python, str(PEER), str(folder), workload, str(folder / "result.npy")]
            mine, theirs = [], []
            for _ in range(runs):
                began = time.process_time()
                found = work()
                mine.append(time.process_time() - began)
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                theirs.append(float(done.stdout.strip().splitlines()[-1]))
            told = ""
            if workload in ("uniqueness", "differencing"):
                result = np.load(folder / "result.npy")
                apart = float(np.nanmax(np.abs(found[-len(result) :] - result)))
                told = f", values within {apart:.1e}"
            taken, peer = statistics.median(mine), statistics.median(theirs)
            print(f"{workload:<20} ours {taken:.4f} s, mlfinpy {peer:.3f} s: {peer / taken:.0f}x{told}")


def _filled(column: Floats) -> Floats:
    """Closes with gaps filled from the session before, the first from after: mlfinpy takes no gaps."""
    known = np.flatnonzero(np.isfinite(column))
    return column[known[np.maximum(np.searchsorted(known, np.arange(len(column)), side="right") - 1, 0)]]


if __name__ == "__main__":
    main()
