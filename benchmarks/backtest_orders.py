"""P9's companion: what a backtest costs that is exact to the order, `trainer backtest` on a generated market.

    .venv/bin/python benchmarks/backtest_orders.py [--symbols 350] [--sessions 440] [--runs 2]

The device's own portfolio and order code, and the exchange that replays use, session by session: no engine of weights
does the same, so nothing is compared but the runs with each other, whose files must be the same bytes (that the orders
are those of `appliance replay` is tests/flow/test_backtest_command.py and test_backtest_replay.py). Process CPU of the
whole command on one thread, imports, reading and report included. The market and the run that is traded are made first,
by the trainer's own commands, and kept in var/benchmarks.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
FILES = ("orders.parquet", "fills.parquet", "nav.parquet")
LOOK_BACK, FIRST_GROUP, SEALED = 253, 8 / 7, 252 + 17  # sessions that no walk-forward score can cover


def trainer(*words: str) -> float:
    """Run one command; its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "trainer", *words], cwd=ROOT, env=os.environ | ONE_THREAD, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def prepared(symbols: int, sessions: int) -> Path:
    """A folder with `curated` and `run`, whose walk-forward scores cover at least `sessions` sessions."""
    place = ROOT / "var" / "benchmarks" / f"backtest-{symbols}x{sessions}"
    if (place / "run").exists():
        return place
    shutil.rmtree(place, ignore_errors=True)
    length = str(int(LOOK_BACK + FIRST_GROUP * (sessions + 10) + SEALED))
    vendor = place / "vendor"
    trainer("generate", "--seed", "7", "--symbols", str(symbols), "--sessions", length, "--to", str(vendor))
    bars = ("--bars", str(vendor / "bars.parquet"), "--actions", str(vendor / "actions.parquet"), "--basis", "raw")
    trainer("ingest", *bars, "--to", str(place / "curated"))
    trainer("train", "--sleeve", "equities_xs", "--data", str(place / "curated"), "--run", str(place / "run"), "--json")
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("symbols", 350), ("sessions", 440), ("runs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    place = prepared(asked.symbols, asked.sessions)
    walked = np.unique(pq.read_table(place / "run" / "walk_forward.parquet", columns=["session"])["session"])
    ends = ("--start", str(walked[-asked.sessions]), "--end", str(walked[-1]))
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(number) for number in range(asked.runs)]
        what = ("--run", str(place / "run"), "--data", str(place / "curated"), *ends, "--fixed-ic", "0.05", "--json")
        taken = [trainer("backtest", *what, "--to", str(to)) for to in places]
        if any(len({(to / name).read_bytes() for to in places}) != 1 for name in FILES):
            sys.exit("the same backtest gave other orders, fills or values")
        orders = pq.read_table(places[0] / "orders.parquet", columns=["symbol"])
        traded = pq.read_table(places[0] / "nav.parquet").num_rows
    seconds, names = statistics.median(taken), len(set(orders["symbol"].to_pylist()))
    print(f"{traded} sessions, {orders.num_rows} orders on {names} names: {seconds:.1f} s CPU")
    print(f"{seconds / traded:.3f} s a session, {1e3 * seconds / orders.num_rows:.2f} ms an order")


if __name__ == "__main__":
    main()
