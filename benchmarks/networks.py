"""What each network costs a device: trained on real windows, exported, and scored by onnxruntime on one thread.

    .venv/bin/python benchmarks/networks.py --data DATASET [--only lstm,tcn] [--rows 6000] [--epochs 2]

Every family of `LEARNERS` is fitted on the features of a curated dataset as windows of 60 sessions (the perceptron on
its rows, the picture's network on pictures of 64 sessions), against the rank of the next 5 sessions' return. Parity is
the largest difference between torch's outputs and the graph's over windows that were not learned from, as the device's
limited child computes them; the latency is that of one row in an open session.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout, wherever this was started

from signals.bundle.graph import check_model
from signals.bundle.profiles import profile_of
from signals.bundle.proof import infer_in_child
from signals.inference import FEATURES, SCORE, GraphMember, open_session
from signals.views import ImageView, TableView, View, WindowsView
from trainer.learners.base import FitDevice
from trainer.learners.networks.rows import NETWORKS
from trainer.learners.table import learner_named
from trainer.recipes.base import RecipeConfig
from trainer.samples.prepare import Material, Range, prepare
from trainer.tasks.recipes import recipe_named

STEPS, SIDE = 60, 64
UNSEEN, CALLS = 2000, 400


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(NETWORKS))
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=2)
    asked = parser.parse_args()
    material = prepare(recipe_named("equities_xs"), RecipeConfig(), Range(asked.data))
    print("| network | view | weights | graph KB | nodes | parity | one row ms p50 (p95) | fit s | export s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in asked.only.split(","):
        print(measured(name, material, asked.rows, asked.epochs), flush=True)


def measured(name: str, material: Material, rows: int, epochs: int) -> str:
    """Return the line of one family."""
    panel, samples, count = material.panel, material.rows, len(material.rows)
    view = view_of(name, len(panel.names))
    old = np.linspace(0, int(0.7 * count), rows).astype(np.int64)
    new = np.linspace(int(0.8 * count), count - 1, UNSEEN).astype(np.int64)
    learned, unseen = (view.rows(panel, samples.t0[chosen], samples.column[chosen]) for chosen in (old, new))
    config = RecipeConfig.model_validate({name: {"epochs": epochs, "batch_rows": 256}})
    started = time.perf_counter()
    model = learner_named(name, config, 1, FitDevice.CPU).fit(learned, samples.target[old], np.ones(rows), panel.names, samples.t0[old])
    fitted = time.perf_counter()
    graph = model.to_onnx()
    exported = time.perf_counter()
    session, nodes = open_session(graph), check_model(graph, name, profile_of(view)).nodes
    there = infer_in_child([GraphMember(graph, profile=profile_of(view))], {FEATURES: unseen})[SCORE]
    parity = float(np.abs(model.outputs(unseen) - there).max())
    spent = [timed(session, unseen[[number % UNSEEN]]) for number in range(CALLS)]
    middle, slow = np.percentile(spent, (50, 95))
    weights = sum(array.size for array in model.state.values())
    return (
        f"| {name} | {'x'.join(map(str, view.shape(len(panel.names))))} | {weights:,} | {len(graph) / 1024:.0f} | {nodes} | {parity:.1e} "
        f"| {middle:.3f} ({slow:.3f}) | {fitted - started:.1f} | {exported - fitted:.1f} |"
    )


def view_of(name: str, features: int) -> View:
    """Return the view that a family reads."""
    views = NETWORKS[name].capabilities.views
    if "table" in views:
        return TableView()
    return ImageView(1, features, SIDE) if "image" in views else WindowsView(STEPS)


def timed(session, row: np.ndarray) -> float:
    """Milliseconds of one call."""
    started = time.perf_counter()
    session.run([SCORE], {FEATURES: row})
    return 1000.0 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
