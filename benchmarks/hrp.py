"""P10: hierarchical risk parity of 100 and 500 names against PyPortfolioOpt and skfolio.

    make peers
    .venv/bin/python benchmarks/hrp.py [--names 100 500] [--runs 5]

Every run is a process of its own on one thread, the sides taking turns; imports are not timed. PyPortfolioOpt links the
distance matrix itself and skfolio links by Ward's method, so their weights are others (how far is printed): it is their
time that counts. Ours are checked by the paper's ten assets (tests/test_portfolio/test_hrp.py). The peers live in an
environment of their own, pinned in benchmarks/peers/environments.
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

PEERS = Path(__file__).resolve().parent / "peers"
PEER_PYTHON = PEERS.parents[1] / "var/peers-hrp/bin/python"
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}


def covariance(names: int) -> np.ndarray:
    """A factor model's: neither diagonal nor close to singular."""
    rng = np.random.default_rng(names)
    loadings = rng.normal(size=(names, 5))
    return loadings @ loadings.T * 1e-5 + np.diag(rng.uniform(1e-4, 9e-4, names))


def seconds(command: list[str]) -> float:
    """CPU seconds that one process says its work took."""
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure and print one line a peer and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    for names in asked.names:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            np.save(place / "covariance.npy", covariance(names))
            commands = {
                "ours": [sys.executable, str(PEERS / "hrp_trademl.py")],
                "pypfopt": [str(PEER_PYTHON), str(PEERS / "hrp_peer.py"), "pypfopt"],
                "skfolio": [str(PEER_PYTHON), str(PEERS / "hrp_peer.py"), "skfolio"],
            }
            times: dict[str, list[float]] = {name: [] for name in commands}
            for _ in range(asked.runs):
                for name, command in commands.items():
                    files = [str(place / "covariance.npy"), str(place / f"{name}.npy")]
                    times[name].append(seconds([*command, *files]))
            ours = statistics.median(times["ours"])
            apart = float(np.abs(np.load(place / "ours.npy") - np.load(place / "pypfopt.npy")).max())
            for name in ("pypfopt", "skfolio"):
                theirs = statistics.median(times[name])
                same = f", weights {apart:.0e} apart" if name == "pypfopt" else ""
                print(f"N = {names}: ours {1e3 * ours:.1f} ms, {name} {1e3 * theirs:.1f} ms: {theirs / ours:.1f}x{same}")


if __name__ == "__main__":
    main()
