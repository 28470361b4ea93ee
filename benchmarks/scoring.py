"""P3 and P4: onnxruntime as the device runs it, against LightGBM's own prediction, in fresh interleaved processes.

    python benchmarks/scoring.py [--rounds 5] [--only p3|p4]

P3: one model of 500 trees x 63 leaves x 60 features, 500 and 3000 rows: CPU of one prediction, one thread each.
P4: 28 models of the product's default size (150 trees x 31 leaves) over 500 rows, scored by
`signals.models.inference.predict`, sessions opened one at a time, against one of them and against 28 boosters held at once:
CPU and peak resident memory of the whole process, imports included.
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
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout, wherever this was started

FEATURES = 60
ENSEMBLE = 28
ROWS = (500, 3000)
REPEATS = 20
TOP = 50


def build(folder: Path, trees: int, leaves: int) -> None:
    """Fit on seeded rows and write model.txt, model.onnx and test rows with 2 % NaN."""
    import lightgbm

    from trainer.learners.lgbm import LightGbmModel
    from trainer.learners.trees import with_float32_thresholds

    rng = np.random.default_rng(1)
    rows = rng.normal(size=(20_000, FEATURES)).astype(np.float32)
    target = rows[:, :8].sum(axis=1) * 0.1 + np.sin(rows[:, 8]) * 0.2 + rng.normal(size=len(rows))
    names = tuple(f"f{i}" for i in range(FEATURES))
    booster = lightgbm.train(
        {
            "num_leaves": leaves,
            "min_data_in_leaf": 20,
            "learning_rate": 0.05,
            "verbosity": -1,
            "num_threads": 1,
            "seed": 1,
            "deterministic": True,
            "force_row_wise": True,
            "max_bin": 63,
        },
        lightgbm.Dataset(rows, target, feature_name=list(names)),
        num_boost_round=trees,
    )
    text = with_float32_thresholds(booster.model_to_string())  # as the product exports
    (folder / "model.txt").write_text(text)
    (folder / "model.onnx").write_bytes(LightGbmModel(text, names).to_onnx())
    test = rng.normal(size=(max(ROWS), FEATURES)).astype(np.float32)
    test[rng.random(test.shape) < 0.02] = np.nan
    np.save(folder / "rows.npy", test)


def peak_mb() -> float:
    """High-water of this program alone; `ru_maxrss` would start at the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(folder: Path, side: str, count: int) -> dict[str, float]:
    """CPU seconds of one prediction (the model is loaded and warm) and the scores, in this process."""
    rows = np.load(folder / "rows.npy")[:count]
    if side == "onnx":
        from signals.models.inference import open_session

        session = open_session((folder / "model.onnx").read_bytes())

        def predict() -> np.ndarray:
            return session.run(["score"], {"features": rows})[0].reshape(-1)
    else:
        import lightgbm

        booster = lightgbm.Booster(model_file=str(folder / "model.txt"))

        def predict() -> np.ndarray:
            return booster.predict(rows, num_threads=1)

    scores = predict()
    start = time.process_time()
    for _ in range(REPEATS):
        predict()
    cpu = (time.process_time() - start) / REPEATS
    np.save(folder / f"{side}-{count}.npy", np.asarray(scores, dtype=np.float64))
    return {"cpu": cpu, "peak_mb": peak_mb()}


def ensemble(folder: Path, side: str, count: int) -> dict[str, float]:
    """CPU and peak of this whole process for `count` models over 500 rows."""
    rows = np.load(folder / "rows.npy")[:500]
    if side == "onnx":
        from signals.models.inference import predict

        predict([(folder / "model.onnx").read_bytes()] * count, rows)
    else:
        import lightgbm

        boosters = [lightgbm.Booster(model_file=str(folder / "model.txt")) for _ in range(count)]
        np.mean([booster.predict(rows, num_threads=1) for booster in boosters], axis=0)
    return {"cpu": time.process_time(), "peak_mb": peak_mb()}


def fresh(folder: Path, task: str, side: str, count: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", str(folder), task, side, str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, capture_output=True, check=True, env=environment).stdout)


def single(folder: Path, rounds: int) -> None:
    for count in ROWS:
        pairs = [[fresh(folder, "single", side, count) for side in ("onnx", "lightgbm")] for _ in range(rounds)]
        ours, theirs = (statistics.median(pair[i]["cpu"] for pair in pairs) * 1e3 for i in (0, 1))
        ratio = statistics.median(b["cpu"] / a["cpu"] for a, b in pairs)
        a, b = (np.load(folder / f"{side}-{count}.npy") for side in ("onnx", "lightgbm"))
        difference = float(np.max(np.abs(a - b)) / np.std(b))
        top = np.array_equal(np.argsort(-a, kind="stable")[:TOP], np.argsort(-b, kind="stable")[:TOP])
        print(f"P3 {count:5} rows: onnxruntime {ours:7.2f} ms, LightGBM {theirs:7.2f} ms, ratio {ratio:4.2f}x,")
        print(f"               difference {difference:.1e} sd, top {TOP} identical: {top}")
        if not top or difference > 1e-5:
            sys.exit("the two sides do not compute the same")


def many(folder: Path, rounds: int) -> None:
    plan = (("one model", "onnx", 1), ("28 models", "onnx", ENSEMBLE), ("28 boosters", "lightgbm", ENSEMBLE))
    table = [[fresh(folder, "ensemble", side, count) for _, side, count in plan] for _ in range(rounds)]
    for i, (name, _, _) in enumerate(plan):
        cpu, peak = (statistics.median(row[i][key] for row in table) for key in ("cpu", "peak_mb"))
        print(f"P4 {name:12}: CPU {cpu * 1e3:7.1f} ms, peak {peak:6.1f} MB")
    for key in ("cpu", "peak_mb"):
        many_to_one = statistics.median(row[1][key] / row[0][key] for row in table)
        boosters = statistics.median(row[2][key] / row[1][key] for row in table)
        print(f"P4 {key}: 28 models {many_to_one:.2f}x one model; 28 boosters {boosters:.2f}x 28 models")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("p3", "p4"))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        folder, task, side, count = given.child
        print(json.dumps((measure if task == "single" else ensemble)(Path(folder), side, int(count))))
        return
    versions = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "lightgbm"))
    print(f"{versions}, one thread, {given.rounds} rounds, x86-64")
    for name, workload, trees, leaves in (("p3", single, 500, 63), ("p4", many, 150, 31)):
        if given.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                build(Path(folder), trees, leaves)
                workload(Path(folder), given.rounds)


if __name__ == "__main__":
    main()
