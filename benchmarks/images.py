"""`bar-image/1`: the product's painter against one that goes pixel by pixel.

    .venv/bin/python benchmarks/images.py [--images 20000] [--runs 5]

One process, one thread, process CPU, best of the runs; the bytes of the two painters are compared.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np  # noqa: E402  # after the threads are limited

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from signals.events.images import WINDOW, images, paint, read  # noqa: E402  # the checkout, wherever this was started
from tests.fakes.painter import naive_image  # noqa: E402

NAIVE, CHUNK = 200, 256


def rate(count: int, runs: int, work: Callable[[], object]) -> float:
    """Images a second of process CPU."""
    times = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return count / min(times)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    rng = np.random.default_rng(1)
    close = 50.0 * np.exp(np.cumsum(0.01 * rng.standard_t(4, (WINDOW, asked.images)), axis=0))
    opened = close * np.exp(rng.normal(0.0, 0.005, close.shape))
    high, low = np.maximum(opened, close) * 1.003, np.minimum(opened, close) * 0.997
    bars = (opened, high, low, close)
    chunks = [slice(first, first + CHUNK) for first in range(0, asked.images, CHUNK)]
    readings = [read(*(np.ascontiguousarray(x[:, part]) for x in bars)) for part in chunks]

    def naive() -> np.ndarray:
        return np.stack([naive_image(*(x[:, i] for x in bars)) for i in range(NAIVE)])

    same = np.array_equal(naive(), images(*(x[:, :NAIVE] for x in bars)))
    print(f"numpy {np.__version__}, {asked.images} images, same bytes as the naive painter ({NAIVE}): {same}")
    print(f"painted, readings given   {rate(asked.images, asked.runs, lambda: [paint(*one) for one in readings]):>10,.0f} a second")
    print(f"read and painted          {rate(asked.images, asked.runs, lambda: [images(*(x[:, p] for x in bars)) for p in chunks]):>10,.0f}")
    print(f"naive, read and painted   {rate(NAIVE, min(asked.runs, 2), naive):>10,.0f}")


if __name__ == "__main__":
    main()
