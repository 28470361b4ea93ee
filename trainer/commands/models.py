"""`trainer models`: the learners and the capabilities of each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from signals.text.console import emit
from trainer.commands import options

if TYPE_CHECKING:
    from trainer.learners.row import LearnerRow


@dataclass(frozen=True)
class ModelLine:
    """One learner: its name and family, and what a recipe must know of it."""

    name: str
    family: str
    views: str
    heads: str
    scaling: str
    features: str
    gpu: str
    cost: str


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel=options.TRAINING)(models)


def models(as_json: options.AsJson = False) -> None:
    """List the learners: family, views, heads, scaling, usual feature set, GPU, and cost of 60,000 rows on two cores.

    Those of installed packages are listed too. `docs/models.md` says how to choose one, and how to add one.

    Example: trainer models
    """
    from trainer.learners.table import LEARNERS

    lines = [line_of(row) for row in LEARNERS.values()]
    rows = [tuple(asdict(lines[0])), *(tuple(asdict(line).values()) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    emit({"models": [asdict(line) for line in lines]}, as_json=as_json, text=text)


def line_of(row: LearnerRow) -> ModelLine:
    """Describe one learner by its parameters and capabilities."""
    from trainer.learners.base import FitDevice
    from trainer.learners.networks.parameters import AttentionConfig, MambaConfig, NetworkConfig
    from trainer.learners.parameters import BoostedConfig, EnsembleConfig, FoundationConfig, RandomForestConfig

    config, can = row.config, row.capabilities
    usual = ("table", "in the graph, by moments or quartiles", "ensemble_base", "seconds")
    for kinds, found in (
        (BoostedConfig, ("trees", "none: numbers as they are", "boosting_optimal", "seconds")),
        (RandomForestConfig, ("trees", "none: the mean where one is missing", "boosting_optimal", "a minute")),
        ((AttentionConfig, MambaConfig), ("network", "in the graph, by moments or quartiles", "transformer_raw", "an hour")),
        (NetworkConfig, ("network", "in the graph, by moments or quartiles", "neural_optimal", "minutes")),
        (EnsembleConfig, ("ensemble", "the members'", "ensemble_base", "the members', once a fold")),
        (FoundationConfig, ("foundation", "the library's", "one series of returns", "no fit, an hour to score")),
    ):
        if issubclass(config, kinds):
            usual = found
            break
    family, scaling, features, cost = usual
    heads, views = (", ".join(sorted(names)) for names in (can.heads, can.views))
    return ModelLine(row.name, family, views, heads, scaling, features, "yes" if FitDevice.CUDA in can.devices else "no", cost)
