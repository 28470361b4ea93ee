"""What each learner costs a device: trained on real rows, exported, and scored by onnxruntime on one thread.

    .venv/bin/python benchmarks/families.py --data DATASET [--only lstm,tcn] [--rows 6000] [--epochs 2]

Every row of `LEARNERS` is fitted on the features of a curated dataset: tables on rows, networks on windows of 60 sessions,
the picture's network on pictures of 64. What is learned is which third of its session the next 5 sessions' return is in
(three classes), or where a learner has no classes its rank; `deepar` fits Student's t and `quantile_rnn` three quantiles.
Parity is the largest difference between the model's outputs and the graph's over rows that were not learned from, as the
device's limited child computes them; the latency is that of one row in an open session.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout, wherever this was started

from signals.bundle.child_inference import infer_in_child
from signals.bundle.graph import check_model
from signals.bundle.profiles import profile_of
from signals.models.heads import ClassesHead, Head, QuantilesHead, ScoreHead, StudentTHead
from signals.models.inference import FEATURES, SCORE, GraphMember, open_session
from signals.views import ImageView, TableView, View, WindowsView
from trainer.learners.base import FitDevice, Matrix, Model
from trainer.learners.ensembles.learners import outputs_of
from trainer.learners.networks.rows import NETWORKS
from trainer.learners.table import LEARNERS, capabilities_of, learner_named
from trainer.recipes.base import RecipeConfig
from trainer.samples.samples import Material, Range, prepare
from trainer.tasks.recipes import recipe_named

STEPS, SIDE = 60, 64
UNSEEN, CALLS = 2000, 400
THIRD = 0.4307  # of the normal law, in whose units the target is
HEADS: dict[str, Head] = {"deepar": StudentTHead(), "quantile_rnn": QuantilesHead((0.1, 0.5, 0.9)), "ridge": ScoreHead()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(LEARNERS))
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=2)
    asked = parser.parse_args()
    material = prepare(recipe_named("equities_xs"), RecipeConfig(), Range(asked.data))
    print("| learner | view, head | graph KB | nodes | parity | one row ms p50 (p95) | fit s | export s |")
    print("|---|---|---|---|---|---|---|---|")
    for name in asked.only.split(","):
        print(measured(name, material, asked.rows, asked.epochs), flush=True)


@dataclass(frozen=True, eq=False)
class Trained:
    """A learner that was fitted on real rows, its graph, and rows that it has not seen."""

    model: Model
    graph: bytes
    head: Head
    view: View
    unseen: Matrix
    fit_s: float
    export_s: float


def trained(name: str, material: Material, rows: int, epochs: int, unseen: int = UNSEEN) -> Trained:
    """Fit one learner and export it."""
    panel, samples, count = material.panel, material.rows, len(material.rows)
    sections = {name: {"epochs": epochs, "batch_rows": 256}} if name in NETWORKS else {}
    config = RecipeConfig.model_validate(sections)
    view, head = view_of(name, config, len(panel.names)), HEADS.get(name, ClassesHead(("down", "flat", "up")))
    old = np.linspace(0, int(0.7 * count), rows).astype(np.int64)
    new = np.linspace(int(0.8 * count), count - 1, unseen).astype(np.int64)
    learned, later = (view.rows(panel, samples.t0[chosen], samples.column[chosen]) for chosen in (old, new))
    target = samples.target[old]
    if isinstance(head, ClassesHead):
        target = np.digitize(target, (-THIRD, THIRD)).astype(np.float64)
    started = time.perf_counter()
    learner = learner_named(name, config, 1, FitDevice.CPU, head=head)
    model = learner.fit(learned, target, np.ones(rows), panel.names, samples.t0[old])
    fitted = time.perf_counter()
    graph = model.to_onnx()
    return Trained(model, graph, head, view, later, fitted - started, time.perf_counter() - fitted)


def measured(name: str, material: Material, rows: int, epochs: int) -> str:
    """Return the line of one learner."""
    one = trained(name, material, rows, epochs)
    session, profile = open_session(one.graph), profile_of(one.view)
    nodes = check_model(one.graph, name, profile).nodes
    there = infer_in_child([GraphMember(one.graph, {SCORE: one.head.width}, profile=profile)], {FEATURES: one.unseen})[SCORE]
    parity = float(np.abs(outputs_of(one.model, one.unseen) - there).max())
    spent = [timed(session, one.unseen[[number % UNSEEN]]) for number in range(CALLS)]
    middle, slow = np.percentile(spent, (50, 95))
    shape = "x".join(map(str, one.view.shape(len(material.panel.names))))
    return (
        f"| {name} | {shape}, {one.head.kind} | {len(one.graph) / 1024:.0f} | {nodes} "
        f"| {parity:.1e} | {middle:.3f} ({slow:.3f}) | {one.fit_s:.1f} | {one.export_s:.1f} |"
    )


def view_of(name: str, config: RecipeConfig, features: int) -> View:
    """Return the view that a learner reads."""
    views = capabilities_of(name, config).views
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
