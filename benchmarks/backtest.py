"""P9: the value of 500 x 2520 target weights by portfolio/nav.py, vectorbt, bt and cvxportfolio.

    make peers
    .venv/bin/python benchmarks/backtest.py [--engines vectorbt bt cvxportfolio] [--sessions 2520] [--runs 5]

Every run is a process of its own on one thread, the sides taking turns; imports and compiling are not timed. Values
must agree: to 1e-9 without costs, to 1e-3 with them (bt shrinks trades by their cost; the others pay from cash). The
peers live in environments of their own, pinned in benchmarks/peers/environments.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "benchmarks" / "peers" / "backtest_peer.py"
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
HALF_SPREAD = 2.5e-4
ENVIRONMENTS = {"vectorbt": "backtest", "bt": "backtest", "cvxportfolio": "cvxportfolio"}
TOLERANCES = {0.0: 1e-9, HALF_SPREAD: 1e-3}


def workload(names: int, sessions: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns, and a long-short book of gross 1 that moves a fifth of the way to a new target each session."""
    rng = np.random.default_rng(9)
    returns = rng.normal(0.0003, 0.015, (sessions, names))
    weights = np.empty((sessions, names))
    book = np.zeros(names)
    for t in range(sessions):
        target = rng.normal(0.0, 1.0, names)
        target -= target.mean()
        book = book + 0.2 * (target / np.abs(target).sum() - book)
        weights[t] = book
    return returns, weights


def timed(python: str, engine: str, work: Path, values: Path) -> float:
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(ROOT)}
    command = [python, str(PEER), engine, str(work), str(values)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout.splitlines()[-1])


def compare(options: argparse.Namespace, half_spread: float, folder: Path) -> None:
    returns, weights = workload(options.names, options.sessions)
    work = folder / "work.npz"
    np.savez(work, returns=returns, weights=weights, half_spread=half_spread)
    peers = {engine: str(ROOT / f"var/peers-{ENVIRONMENTS[engine]}/bin/python") for engine in options.engines}
    pythons = {"trademl": sys.executable} | peers
    taken: dict[str, list[float]] = {engine: [] for engine in pythons}
    for _ in range(options.runs):
        for engine, python in pythons.items():
            taken[engine].append(timed(python, engine, work, folder / f"{engine}.npy"))
    ours = statistics.median(taken["trademl"])
    print(f"{options.names} x {options.sessions}, {1e4 * half_spread:g} bps a side: trademl {ours:.3f} s CPU")
    for engine in options.engines:
        found = statistics.median(taken[engine])
        apart = float(np.max(np.abs(np.load(folder / f"{engine}.npy") / np.load(folder / "trademl.npy") - 1.0)))
        print(f"  {engine:12} {found:8.2f} s CPU  {found / ours:7.1f} x ours, values at most {apart:.1e} apart")
        if apart > TOLERANCES[half_spread]:
            sys.exit("the two sides do not compute the same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", default=list(ENVIRONMENTS), choices=list(ENVIRONMENTS))
    parser.add_argument("--names", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=2520)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for half_spread in TOLERANCES:
            compare(options, half_spread, Path(name))


if __name__ == "__main__":
    main()
