"""P1 to P10 and labels by this checkout and by an earlier one, in interleaved fresh processes.

    .venv/bin/python -m benchmarks.before BEFORE [--runs 5] [--only P1 labels]

BEFORE is a folder with the source of the earlier commit (`git archive COMMIT | tar x -C BEFORE`). Both sides run in this environment, on
one thread, each with the scripts and the inputs of its own tree; printed is the median of the ratios of process CPU, this checkout over
the earlier one, and whether both computed the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
INPUTS = """
import pathlib, sys
import numpy as np
import backtest, bins, day, features, hrp, scoring
from tests.fakes.bars import synthetic_bars
place = pathlib.Path(sys.argv[1])
bars = synthetic_bars(features.SEED, 2520, 500, missing=features.MISSING_SHARE)
features.write_panels(bars, place)
features.write_store(bars, place / "market.duckdb")
day.write_model(place)
for name, size in (("p3", (500, 63)), ("p4", (150, 31))):
    (place / name).mkdir()
    scoring.build(place / name, *size)
returns, weights = backtest.workload(500, 2520)
np.savez(place / "work.npz", returns=returns, weights=weights, half_spread=2.5e-4)
np.save(place / "covariance.npy", hrp.covariance(500))
"""
OVERFITTING = """
import sys, time
import numpy as np
from trainer.validation.significance.pbo import Metric, probability_of_overfitting
matrix = np.random.default_rng(1).normal(0.0002, 0.01, (2512, 100))
probability_of_overfitting(matrix, blocks=16, metric=Metric.MEAN)
start = time.process_time()
for _ in range(20):
    found = probability_of_overfitting(matrix, blocks=16, metric=Metric.MEAN)
print(time.process_time() - start)
np.save(sys.argv[1], found.logits)
"""
LABELS = """
import sys, time
import numpy as np
from tests.fakes.bars import synthetic_bars
from trainer.labels.horizon import horizon_labels
from trainer.labels.triple_barrier import Barriers, triple_barrier_labels
bars = synthetic_bars(1, sessions=1260, symbols=100)
work = {"horizon": lambda: horizon_labels(bars, 5).values, "barrier": lambda: triple_barrier_labels(bars, Barriers()).labels.values}
values = work[sys.argv[1]]()
start = time.process_time()
for _ in range(10):
    work[sys.argv[1]]()
print(time.process_time() - start)
np.save(sys.argv[2], values)
"""


def commands(tree: Path, place: Path) -> dict[str, list[str]]:
    """Return the arguments of Python for each workload; `OUT` is where its values go, absent where none are written."""
    peers, store = tree / "benchmarks" / "peers", str(place / "market.duckdb")
    child = [str(tree / "benchmarks/scoring.py"), "--child"]
    sides = ["--names", "20", "--sessions", "300", "--trees", "20", "--side"]
    return {
        "P1": [str(peers / "features_trademl.py"), str(place), "OUT"],
        "P2": [str(peers / "features_newest_trademl.py"), store, str(place / "sessions.npy"), "OUT"],
        "P3": [*child, str(place / "p3"), "single", "onnx", "3000"],
        "P4": [*child, str(place / "p4"), "ensemble", "onnx", "28"],
        "P5": [str(peers / "day_trademl.py"), store, str(place / "model.onnx"), "OUT"],
        "P6": ["-c", "import time, appliance.jobs.score\nprint(time.process_time())"],
        "P7, anew": [str(tree / "benchmarks/bins.py"), *sides, "anew", "OUT"],
        "P7, once": [str(tree / "benchmarks/bins.py"), *sides, "once", "OUT"],
        "P8": ["-c", OVERFITTING, "OUT"],
        "P9": [str(peers / "backtest_peer.py"), "trademl", str(place / "work.npz"), "OUT"],
        "P10": [str(peers / "hrp_trademl.py"), str(place / "covariance.npy"), "OUT"],
        "labels, horizon": ["-c", LABELS, "horizon", "OUT"],
        "labels, barrier": ["-c", LABELS, "barrier", "OUT"],
    }


def python(tree: Path, arguments: list[str]) -> str:
    """Run Python in a tree, by its modules and its benchmarks; return the last line that it prints."""
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join((str(tree), str(tree / "benchmarks")))}
    done = subprocess.run([sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=True)
    return (done.stdout.splitlines() or [""])[-1]


def seconds(printed: str) -> float:
    """Return the CPU that a run printed: a number, or a document that holds it by the name of its script."""
    document = json.loads(printed)
    return float(document if isinstance(document, float) else document.get("cpu_s") or document.get("cpu") or document["20"])


def main() -> None:
    """Measure and print one line a workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[], help="Beginnings of workloads' names.")
    asked = parser.parse_args()
    trees = {"now": HERE, "before": asked.before.resolve()}
    with tempfile.TemporaryDirectory() as folder:
        places = {side: Path(folder) / side for side in trees}
        for side, place in places.items():
            place.mkdir()
            python(trees[side], ["-c", INPUTS, str(place)])
        work = {side: commands(trees[side], places[side]) for side in trees}
        for name in work["now"]:
            if asked.only and not name.startswith(tuple(asked.only)):
                continue
            for place in places.values():
                (place / "out.npy").unlink(missing_ok=True)
            taken: dict[str, list[float]] = {side: [] for side in trees}
            for _ in range(asked.runs):
                for side, tree in trees.items():
                    command = [str(places[side] / "out.npy") if word == "OUT" else word for word in work[side][name]]
                    taken[side].append(seconds(python(tree, command)))
            now, before = (statistics.median(taken[side]) for side in trees)
            ratio = statistics.median(a / b for a, b in zip(taken["now"], taken["before"], strict=True))
            line = f"{name:16} now {now:8.4f} s, before {before:8.4f} s: {ratio:.2f}"
            if "OUT" in work["now"][name]:
                same = len({(place / "out.npy").read_bytes() for place in places.values()}) == 1
                line += ", the same bytes" if same else ", other bytes"
            print(line, flush=True)


if __name__ == "__main__":
    main()
