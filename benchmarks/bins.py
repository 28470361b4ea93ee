"""P7: a cross-validation of 28 splits by LightGBM, features binned once for all splits or anew for each.

    .venv/bin/python benchmarks/bins.py [--names 150] [--sessions 1000] [--trees 50 200] [--runs 5]

Every run is a process of its own on one thread, the sides taking turns; process CPU without imports. `anew` is what
every published figure comes from (`LightGbm.fit`), `once` what a search does (`LightGbm.bins`, `fit_binned`). Preparing
is binning alone, 28 times, or once with 28 takings out; the total adds the fits. Bins differ, so scores do: printed is
how the two sides' test scores correlate. Before anything is timed, bins cut on the first split's own rows must give the
very trees of its fit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import lightgbm  # noqa: E402

from trainer.learners.lgbm import LightGbm  # noqa: E402  # the checkout
from trainer.learners.parameters import LightGbmConfig  # noqa: E402
from trainer.validation.splits.cpcv import splits  # noqa: E402

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
FEATURES, HORIZON, SKILL = 38, 5, 0.05
NAMES = tuple(f"f{number}" for number in range(FEATURES))
SIDES = ("anew", "once")


def workload(names: int, sessions: int) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Features with heavy tails and gaps, a target that one of them knows a little of, and the splits' rows."""
    rng = np.random.default_rng(7)
    rows = names * sessions
    features = rng.standard_t(4, (rows, FEATURES)).astype(np.float32)
    target = SKILL * features[:, 0] + rng.normal(size=rows)
    features[rng.random(features.shape) < 0.01] = np.nan
    t0 = np.repeat(np.arange(sessions), names)
    return features, target, [(split.train, split.test) for split in splits(t0, t0 + HORIZON)]


def side(name: str, names: int, sessions: int, trees: list[int], scores: Path) -> dict[str, float]:
    """CPU seconds of preparing and of each number of trees, and what the peak added to the features, in MiB."""
    features, target, divisions = workload(names, sessions)
    weight = np.ones(len(target))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"prepare": _prepare(name, features, target, divisions)}
    for count in trees:
        learner = LightGbm(LightGbmConfig(trees=count), seed=1)
        start = time.process_time()
        models = []
        bins = learner.bins(features, NAMES) if name == "once" else None
        for train, _ in divisions:
            rows = (target[train], weight[train], NAMES)
            models.append(learner.fit(features[train], *rows) if bins is None else learner.fit_binned(bins, train, *rows, None))
        found[str(count)] = time.process_time() - start
    found["MiB"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    np.save(scores, np.concatenate([m.predict(features[test]) for m, (_, test) in zip(models, divisions, strict=True)]))
    return found


def _prepare(name: str, features: np.ndarray, target: np.ndarray, divisions: list[tuple[np.ndarray, np.ndarray]]) -> float:
    learner = LightGbm(LightGbmConfig(), seed=1)
    settings = learner._parameters(NAMES)
    start = time.process_time()
    if name == "once":
        bins = learner.bins(features, NAMES)
        for train, _ in divisions:
            bins.of(train).set_label(target[train])
    else:
        for train, _ in divisions:
            lightgbm.Dataset(features[train], target[train], feature_name=list(NAMES), params=settings).construct()
    return time.process_time() - start


def check(names: int, sessions: int) -> None:
    """Stop unless bins of a fit's own rows give its trees."""
    features, target, divisions = workload(names, sessions)
    train, learner = divisions[0][0], LightGbm(LightGbmConfig(trees=20), seed=1)
    own = (features[train], target[train], np.ones(len(train)), NAMES)
    alone = learner.fit(*own)
    binned = learner.fit_binned(learner.bins(own[0], NAMES), np.arange(len(train)), *own[1:], None)
    if alone.text.split("\nparameters:")[0] != binned.text.split("\nparameters:")[0]:
        sys.exit("the two sides do not compute the same")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("names", 150), ("sessions", 1000), ("runs", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--trees", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--side", nargs=2, metavar=("SIDE", "SCORES"), help="one side's run, for this script itself")
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(side(asked.side[0], asked.names, asked.sessions, asked.trees, Path(asked.side[1]))))
        return
    check(asked.names, asked.sessions)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(asked.runs):
            for name in SIDES:
                words = [*sys.argv[1:], "--side", name, f"{folder}/{name}.npy"]
                done = subprocess.run(
                    [sys.executable, __file__, *words], env=os.environ | ONE_THREAD, capture_output=True, text=True, check=True
                )
                taken[name].append(json.loads(done.stdout))
        alike = float(np.corrcoef(*(np.load(f"{folder}/{name}.npy") for name in SIDES))[0, 1])
    print(f"LightGBM {lightgbm.__version__}, 28 splits of {asked.names * asked.sessions:,} rows x {FEATURES} features")
    for what in taken["once"][0]:
        anew, once = (statistics.median(run[what] for run in taken[name]) for name in SIDES)
        title = f"total, {what} trees" if what.isdigit() else what
        ratio = f"{anew / once:5.2f}x" if once else "nothing to measure"
        print(f"  {title:17} anew {anew:8.2f}, once {once:8.2f}: {ratio}")
    print(f"  test scores of {max(asked.trees)} trees correlate {alike:.4f}")


if __name__ == "__main__":
    main()
