"""Exact search of analogs in a float16 bank of 200,000 embeddings of 64 numbers.

    .venv/bin/python benchmarks/analogs.py [--rows 200000] [--queries 40]

One process, one thread, process CPU of one question; recall is held against float64 over the same bank.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402  # after the threads are limited

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from signals.events.analogs import nearest  # noqa: E402  # the checkout, wherever this was started
from tests.test_signals.test_event_analogs import bank_of  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=40)
    asked = parser.parse_args()
    bank, rng = bank_of(asked.rows), np.random.default_rng(9)
    exact, times, shared = bank.vectors.astype(np.float64), [], 0
    for _ in range(asked.queries):
        query = rng.normal(size=64).astype(np.float32)
        begin = time.process_time()
        found = nearest(bank, query, row=10**6, column=-1)
        times.append(time.process_time() - begin)
        cosine = exact @ query.astype(np.float64)
        shared += len(set(found.place.tolist()) & set(np.argpartition(cosine, -50)[-50:].tolist()))
    low, middle = 1000 * min(times), 1000 * float(np.median(times))
    recall = shared / (50 * asked.queries)
    print(f"numpy {np.__version__}, {asked.rows} rows: {low:.1f} ms at best, {middle:.1f} ms median, recall@50 {recall:.4f}")


if __name__ == "__main__":
    main()
