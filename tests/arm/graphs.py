"""Graphs of learners from trained weights, and how far an emulated machine's outputs are from the models' own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.families import trained
from signals.bundle.profiles import profile_of
from trainer.learners.ensembles.learners import outputs_of
from trainer.learners.networks.rows import NETWORKS
from trainer.learners.table import LEARNERS
from trainer.recipes.base import RecipeConfig
from trainer.samples.samples import Range, prepare
from trainer.tasks.recipes import recipe_named

TABULAR = ("lightgbm", "catboost", "xgboost", "random_forest", "ridge", "logistic", "svm", "voting")
FOUNDATION = ("chronos_bolt", "timesfm")  # without a graph
NETWORK, TREES, KERNELS = 2e-6, 5e-6, 1e-5
ROWS, UNSEEN, EPOCHS = 1500, 300, 1


def chosen(asked: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(names of learners, names of those that cannot be had here); `tabular` and `all` are names of several."""
    every = tuple(name for name in LEARNERS if name not in FOUNDATION)
    names = {"tabular": TABULAR, "all": every}.get(asked) or tuple(asked.split(","))
    absent = tuple(name for name in names if name in NETWORKS and find_spec("torch") is None)
    return tuple(name for name in names if name not in absent), absent


def bound(name: str) -> float:
    """The largest difference that a learner's outputs may have."""
    return NETWORK if name in NETWORKS else KERNELS if name == "svm" else TREES


def written(folder: Path, data: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Train and export each learner on a dataset, rows beside the graph; return what the models themselves say of the rows."""
    folder.mkdir()
    material, said = prepare(recipe_named("equities_xs"), RecipeConfig(), Range(data)), {}
    for name in names:
        one = trained(name, material, ROWS, EPOCHS, UNSEEN)
        (folder / f"{name}.onnx").write_bytes(one.graph)
        np.savez(folder / f"{name}.npz", rows=one.unseen, width=one.head.width, profile=str(profile_of(one.view)))
        said[name] = outputs_of(one.model, one.unseen)
    return said


def distances(said: Mapping[str, np.ndarray], theirs: Path) -> dict[str, float]:
    """The largest difference of each learner's outputs; infinite where one is missing or not a number."""
    with np.load(theirs) as found:
        apart = {name: np.abs(ours - found[name]).max() if name in found else np.inf for name, ours in said.items()}
    return {name: float(value) if np.isfinite(value) else np.inf for name, value in apart.items()}
