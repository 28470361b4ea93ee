"""P8: the probability of backtest overfitting, 2520 sessions x 100 trials, S = 16, against a streaming loop.

    .venv/bin/python benchmarks/pbo.py [--sessions 2520] [--trials 100] [--blocks 16] [--runs 5] [--loop-splits 1000]

One thread, process CPU, medians of interleaved runs in one process. The loop takes each split's rows, averages both
halves and ranks: it is run on `--loop-splits` splits spread evenly over all, and its time is scaled up to all of them
(0 runs every split). Logits must agree to 1e-12. Printed too is what ours adds to the process's memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from trainer.validation.significance.pbo import Metric, probability_of_overfitting  # noqa: E402  # the checkout


def loop(matrix: np.ndarray, halves: list[tuple[int, ...]], blocks: int) -> np.ndarray:
    """Logits of the given splits, one split at a time, from the definition."""
    parts = np.array_split(np.arange(len(matrix)), blocks)
    logits = np.empty(len(halves))
    for place, half in enumerate(halves):
        inside = np.concatenate([parts[block] for block in half])
        outside = np.concatenate([parts[block] for block in range(blocks) if block not in half])
        best = int(np.argmax(matrix[inside].mean(axis=0)))
        omega = rankdata(matrix[outside].mean(axis=0))[best] / (matrix.shape[1] + 1)
        logits[place] = np.log(omega / (1 - omega))
    return logits


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("sessions", 2520), ("trials", 100), ("blocks", 16), ("runs", 5), ("loop-splits", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    rng = np.random.default_rng(1)
    matrix = rng.normal(0.0002, 0.01, (asked.sessions // asked.blocks * asked.blocks, asked.trials))
    every = list(combinations(range(asked.blocks), asked.blocks // 2))
    step = max(1, len(every) // asked.loop_splits) if asked.loop_splits else 1
    shown = every[::step]
    ours, theirs = [], []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = probability_of_overfitting(matrix, blocks=asked.blocks, metric=Metric.MEAN)
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    for _ in range(asked.runs):
        start = time.process_time()
        found = probability_of_overfitting(matrix, blocks=asked.blocks, metric=Metric.MEAN)
        ours.append(time.process_time() - start)
        start = time.process_time()
        logits = loop(matrix, shown, asked.blocks)
        theirs.append((time.process_time() - start) * len(every) / len(shown))
    apart = float(np.abs(found.logits[::step] - logits).max())
    ratio = statistics.median(theirs) / statistics.median(ours)
    told = f"ours {statistics.median(ours):.3f} s, loop {statistics.median(theirs):.1f} s: {ratio:.0f}x"
    print(f"S = {asked.blocks}, {len(every)} splits of {matrix.shape}: {told}")
    print(f"logits {apart:.0e} apart; {added:.0f} MiB added")


if __name__ == "__main__":
    main()
