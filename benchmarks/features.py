"""Feature workloads P1 (whole history) and P2 (newest session, fresh process) against their peers.

    .venv/bin/python benchmarks/features.py [--workload p1 p2] [--shapes 500x2520 3000x1260] [--runs 5]
        [--peers pandas polars duckdb] [--peer-python PYTHON]

Every run is a process of its own, one thread, the sides taking turns; printed are ratios of median CPU times, memory,
and how far the peer's values lie from ours. A peer that this environment lacks runs in the pinned one of
`make peers`, or where `--peer-python` points.
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

import duckdb
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from appliance.market.store import SCHEMA  # noqa: E402  # the checkout, wherever this was started
from signals.market.bars import Bars  # noqa: E402
from tests.fakes.bars import synthetic_bars  # noqa: E402

PEERS = ROOT / "benchmarks" / "peers"
MISSING_SHARE = 0.002
SEED = 3
FIELDS = ("close", "volume", "total_return", "overnight_return", "eligible", "sessions")
P2_SESSIONS = 2520


def write_panels(bars: Bars, folder: Path) -> None:
    for name in FIELDS:
        np.save(folder / f"{name}.npy", getattr(bars, name))


def write_store(bars: Bars, path: Path) -> None:
    """The device's market store, rows in date order, none for an absent bar."""
    row, column = np.nonzero(np.isfinite(bars.close))
    names = np.array(bars.symbols)[column]
    incoming = {"session": bars.sessions[row].astype("datetime64[s]"), "symbol": names}
    for name in ("open", "high", "low", "close", "volume", "total_return", "overnight_return", "eligible"):
        incoming[name] = getattr(bars, name)[row, column]
    with duckdb.connect(str(path)) as connection:
        connection.execute(SCHEMA)
        connection.execute(
            "INSERT INTO bars BY NAME SELECT session::DATE AS session, symbol, symbol AS security,"
            " open, high, low, close, volume,"
            " CASE WHEN isnan(total_return) THEN NULL ELSE total_return END AS total_return,"
            " CASE WHEN isnan(overnight_return) THEN NULL ELSE overnight_return END AS overnight_return, eligible,"
            " 'stock' AS kind, '' AS sector"
            " FROM incoming"
        )


def run(python: str, script: str, arguments: list[str]) -> dict[str, float]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, str(PEERS / script), *arguments], check=True, capture_output=True, text=True, env=environment)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def difference(ours: Path, theirs: Path) -> str:
    a, b = (np.load(path).astype(np.float64) for path in (ours, theirs))
    unequal = int(np.count_nonzero(np.isnan(a) != np.isnan(b)))
    return f"largest difference {np.nanmax(np.abs(a - b)):.1e}, {unequal} cells NaN on one side"


def compare(prefix: str, peers: dict[str, str], arguments: list[str], runs: int, memory: str, folder: Path) -> None:
    results: dict[str, list[dict[str, float]]] = {side: [] for side in ("trademl", *peers)}
    for turn in range(runs):
        for side in results:
            saved = [str(folder / f"{side}.npy")] if turn == 0 else []
            results[side].append(run(peers.get(side, sys.executable), f"{prefix}_{side}.py", arguments + saved))

    def median(side: str, key: str) -> float:
        return statistics.median(result[key] for result in results[side])

    ours = results["trademl"][0]
    line = f"  trademl  {median('trademl', 'cpu_s'):7.2f} s CPU  {median('trademl', memory) / 2**20:7.0f} MiB"
    if "output_bytes" in ours:
        line += f"  = {median('trademl', memory) / ours['output_bytes']:.2f} x the output"
    print(f"{line}  ({ours['version']})")
    for side in peers:
        print(
            f"  {side:8} {median(side, 'cpu_s'):7.2f} s CPU  {median(side, memory) / 2**20:7.0f} MiB"
            f"  {median(side, 'cpu_s') / median('trademl', 'cpu_s'):5.1f} x our CPU,"
            f" our memory {median('trademl', memory) / median(side, memory):.2f} x  ({results[side][0]['version']};"
            f" {difference(folder / 'trademl.npy', folder / f'{side}.npy')})"
        )


def importable(python: str, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", nargs="+", choices=("p1", "p2"), default=["p1", "p2"])
    parser.add_argument("--shapes", nargs="+", default=["500x2520", "3000x1260"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peers", nargs="+", choices=("pandas", "polars", "duckdb"), default=["pandas", "polars"])
    parser.add_argument("--peer-python", default=str(ROOT / "var/peers-features/bin/python"))
    options = parser.parse_args()
    peers = {}
    for peer in options.peers:
        found = [python for python in (sys.executable, options.peer_python) if Path(python).exists() and importable(python, peer)]
        if found:
            peers[peer] = found[0]
        else:
            print(f"{peer} is not importable here: run `make peers`, or name its environment with --peer-python")
    for shape in options.shapes:
        symbols, sessions = (int(part) for part in shape.split("x"))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if "p1" in options.workload:
                print(f"P1 38 features, {symbols} symbols x {sessions} sessions, {options.runs} interleaved runs")
                write_panels(synthetic_bars(SEED, sessions, symbols, missing=MISSING_SHARE), folder)
                compare("features", peers, [name], options.runs, "added_bytes", folder)
            if "p2" in options.workload:
                print(f"P2 newest session of {symbols} symbols x {P2_SESSIONS} sessions in DuckDB, whole process")
                bars = synthetic_bars(SEED, P2_SESSIONS, symbols, missing=MISSING_SHARE)
                write_store(bars, folder / "market.duckdb")
                np.save(folder / "sessions.npy", bars.sessions)
                del bars
                where = [str(folder / "market.duckdb"), str(folder / "sessions.npy")]
                compare("features_newest", peers, where, options.runs, "peak_bytes", folder)


if __name__ == "__main__":
    main()
