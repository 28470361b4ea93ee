"""Indicators of minute bars (P12, P13) against TA-Lib, pandas-ta-classic, talipp and ml4t-engineer.

    make peers && .venv/bin/python benchmarks/indicators.py [--runs 5] [--peer-python PYTHON] [--ml4t-python PYTHON]

Every run is a process of its own, one thread, the sides taking turns; printed are medians of CPU times by value over history
(48 sessions' stretches of 478 bars: one long column for the peers, who keep no sessions apart) and by feature for one new bar, and
ratios to ours. ml4t-engineer needs Python 3.12 and an environment of its own: it runs where `--ml4t-python` points.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from signals.indicators.catalogue import CATALOGUE, indicators  # noqa: E402  # the checkout, wherever this was started
from tests.fakes.stretches import WARM_UP, column, synthetic_stretch, until  # noqa: E402

COLUMNS, SESSION, TOGETHER = 48, 78, 8


def ours(new: int) -> dict[str, float | str]:
    """Time the whole catalogue: all rows of many stretches, and the newest row of one or of `TOGETHER` growing stretches."""
    regime = np.zeros((3, COLUMNS))
    stretch = synthetic_stretch(columns=COLUMNS)
    indicators(column(stretch, 0), full_session=SESSION)
    begin = time.process_time()
    indicators(stretch, full_session=SESSION, regime=regime)
    history = time.process_time() - begin
    result: dict[str, float | str] = {"value_ns": history * 1e9 / (stretch.close.size * len(CATALOGUE)), "outputs": len(CATALOGUE)}
    for name, width in (("bar_us", 1), ("together_us", TOGETHER)):
        some = synthetic_stretch(columns=width)
        cuts = [until(some, WARM_UP + 1 + bar) for bar in range(new)]
        begin = time.process_time()
        for cut in cuts:
            indicators(cut, full_session=SESSION, regime=regime[:, :width], first=len(cut.close) - 1)
        result[name] = (time.process_time() - begin) * 1e6 / (new * len(CATALOGUE) * width)
    return result | {"version": f"trademl, numpy {np.__version__}"}


def run(command: list[str]) -> dict[str, float]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--new-bars", type=int, default=SESSION)
    parser.add_argument("--peer-python", default=str(ROOT / "var/peers-indicators/bin/python"))
    parser.add_argument("--ml4t-python")
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ours:
        print(json.dumps(ours(options.new_bars)))
        return
    peers = dict.fromkeys(("talib", "pandas_ta_classic", "talipp"), options.peer_python)
    if options.ml4t_python:
        peers["ml4t_engineer"] = options.ml4t_python
    else:
        print("ml4t-engineer is left out: it needs Python 3.12; name an environment that has it with --ml4t-python")
    stretch = synthetic_stretch(columns=COLUMNS)
    results: dict[str, list[dict[str, float]]] = {side: [] for side in ("trademl", *peers)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.npz"
        np.savez(path, **{name: getattr(stretch, name) for name in ("open", "high", "low", "close", "volume")})
        for _ in range(options.runs):
            for side, found in results.items():
                if side == "trademl":
                    found.append(run([sys.executable, __file__, "--ours", "--new-bars", str(options.new_bars)]))
                else:
                    script = str(ROOT / "benchmarks/peers/indicators_peer.py")
                    found.append(run([peers[side], script, side, str(path), str(options.new_bars)]))

    def median(side: str, key: str) -> float:
        return statistics.median(result[key] for result in results[side])

    value, bar, together = (median("trademl", key) for key in ("value_ns", "bar_us", "together_us"))
    print(f"{options.runs} interleaved runs, CPU of one thread; new bars without carried state but for talipp's")
    print(f"trademl: {value:.1f} ns a value; {bar:.1f} us a new bar and feature, {together:.1f} with {TOGETHER} instruments at once")
    for side in peers:
        print(
            f"{results[side][0]['version']}, {results[side][0]['outputs']} outputs: {median(side, 'value_ns'):.1f} ns a value"
            f" ({median(side, 'value_ns') / value:.2f} x ours), {median(side, 'bar_us'):.1f} us a new bar"
            f" ({median(side, 'bar_us') / bar:.2f} x ours)"
        )


if __name__ == "__main__":
    main()
