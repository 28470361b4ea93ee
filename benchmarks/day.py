"""The device's day in fresh processes: P5 open store -> features -> scores, and P6 what imports cost.

    .venv/bin/python benchmarks/day.py [--symbols 500 3000] [--sessions 2520] [--runs 5]

Every run is a process of its own, one thread, the sides taking turns. P5 compares with DuckDB -> pandas groupby ->
LightGBM and with the slim peer (our features, LightGBM's own prediction); every side scores the same names with the
same trees and the scores are compared. P6 is the memory of importing what each kind of process imports.
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

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from features import MISSING_SHARE, SEED, write_store  # noqa: E402  # the neighbour that lays out the same store

from signals.sleeves import SLEEVES  # noqa: E402
from tests.fakes.bars import synthetic_bars  # noqa: E402

PEERS = ROOT / "benchmarks" / "peers"
TREES, LEAVES, TRAINING_ROWS = 150, 31, 20_000
SIDES = {"trademl": "model.onnx", "pandas": "model.txt", "slim": "model.txt"}
TOLERANCE_SD = 1e-4  # features differ in the last bit of float32 between numpy and pandas
IMPORTS = {
    "numpy + duckdb + onnxruntime": "import numpy, duckdb, onnxruntime",
    "the scoring job": "import appliance.jobs.score",
    "the command line": "import appliance.commands.command_line",
    "the order path with alpaca-py": "import appliance.jobs.registry, execution.brokers.alpaca",
}
PROBE = """
import json, resource
from pathlib import Path
usage = resource.getrusage(resource.RUSAGE_SELF)
peak = next(int(line.split()[1]) for line in Path('/proc/self/status').read_text().splitlines() if line[:5] == 'VmHWM')
print(json.dumps({'cpu_s': usage.ru_utime + usage.ru_stime, 'peak_bytes': peak * 1024}))
"""


def write_model(folder: Path) -> None:
    """Fit seeded trees on ranks and noise; write them as LightGBM text and as the ONNX that the product exports."""
    import lightgbm

    from trainer.learners.lgbm import LightGbmModel
    from trainer.learners.trees import with_float32_thresholds

    names = SLEEVES["equities_xs"].names
    rng = np.random.default_rng(1)
    rows = rng.uniform(-1, 1, (TRAINING_ROWS, len(names))).astype(np.float32)
    target = rows[:, -8:].sum(axis=1) + rng.normal(size=len(rows))
    booster = lightgbm.train(
        {"num_leaves": LEAVES, "verbosity": -1, "num_threads": 1, "seed": 1, "deterministic": True},
        lightgbm.Dataset(rows, target, feature_name=list(names)),
        num_boost_round=TREES,
    )
    text = with_float32_thresholds(booster.model_to_string())
    (folder / "model.txt").write_text(text)
    (folder / "model.onnx").write_bytes(LightGbmModel(text, names).to_onnx())


def fresh(arguments: list[str]) -> dict[str, float]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def day(symbols: int, sessions: int, runs: int) -> None:
    print(f"P5 open store -> features -> scores, {symbols} symbols x {sessions} sessions, {runs} interleaved runs")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bars = synthetic_bars(SEED, sessions, symbols, missing=MISSING_SHARE)
        write_store(bars, folder / "market.duckdb")
        np.save(folder / "sessions.npy", bars.sessions)
        del bars
        write_model(folder)
        results: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for turn in range(runs):
            for side, model in SIDES.items():
                saved = [str(folder / f"{side}.npy")] if turn == 0 else []
                script = [str(PEERS / f"day_{side}.py"), str(folder / "market.duckdb"), str(folder / model)]
                results[side].append(fresh(script + saved))
        tell(results, {side: np.load(folder / f"{side}.npy") for side in SIDES})


def tell(results: dict[str, list[dict[str, float]]], scores: dict[str, np.ndarray]) -> None:
    ours = {key: statistics.median(run[key] for run in results["trademl"]) for key in ("cpu_s", "peak_bytes")}
    if results["trademl"][0]["loaded"]:
        sys.exit(f"the scoring process loaded {results['trademl'][0]['loaded']}")
    for side, runs in results.items():
        cpu, peak = (statistics.median(run[key] for run in runs) for key in ("cpu_s", "peak_bytes"))
        line = f"  {side:8} {cpu:6.2f} s CPU  {peak / 2**20:5.0f} MiB"
        if side != "trademl":
            apart = float(np.max(np.abs(scores[side] - scores["trademl"])) / np.std(scores["trademl"]))
            line += f"  {cpu / ours['cpu_s']:5.1f} x our CPU, our memory {ours['peak_bytes'] / peak:.2f} x"
            line += f", scores at most {apart:.1e} sd apart"
            if apart > TOLERANCE_SD:
                sys.exit(f"{line}\nthe two sides do not compute the same")
        print(f"{line}  ({runs[0]['version']})")


def imports(runs: int) -> None:
    print(f"P6 imports, {runs} interleaved fresh processes each")
    results: dict[str, list[dict[str, float]]] = {name: [] for name in IMPORTS}
    for _ in range(runs):
        for name, program in IMPORTS.items():
            results[name].append(fresh(["-c", program + PROBE]))
    base = statistics.median(run["peak_bytes"] for run in results["numpy + duckdb + onnxruntime"])
    for name, found in results.items():
        cpu, peak = (statistics.median(run[key] for run in found) for key in ("cpu_s", "peak_bytes"))
        print(f"  {name:30} {cpu:5.2f} s CPU  {peak / 2**20:5.0f} MiB  {peak / base:.2f} x the trio")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", nargs="+", type=int, default=[500, 3000])
    parser.add_argument("--sessions", type=int, default=2520)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    for symbols in options.symbols:
        day(symbols, options.sessions, options.runs)
    imports(options.runs)


if __name__ == "__main__":
    main()
