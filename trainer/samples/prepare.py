"""Prepares bars, features and labelled rows of one dataset for training, comparison and search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from signals.audit.extremes import unsettled
from signals.features.market import market_return
from signals.features.panel import FeaturePanel
from trainer.labels.weights import reweighted
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.samples.beside import with_other_datasets
from trainer.samples.samples import Samples, samples
from trainer.samples.source import TrainingBars, read_source


@dataclass(frozen=True)
class Range:
    """Which part of which dataset: None is its own first or last session, no symbols are all, no version the newest."""

    data: Path
    start: date | None = None
    end: date | None = None
    symbols: tuple[str, ...] = ()
    version: int | None = None


@dataclass(frozen=True, eq=False)
class Material:
    """The source, its features, and one row per session and name that has both features and label."""

    source: TrainingBars
    panel: FeaturePanel
    rows: Samples


def prepare(recipe: Recipe, config: RecipeConfig, chosen: Range) -> Material:
    """Read, compute features and labels, and weigh the rows.

    Raises
    ------
    FixInput, DataNotUsable
        The range is no range of the dataset, too short, or holds a RED session.
    """
    source = read_source(
        chosen.data,
        start=chosen.start,
        end=chosen.end,
        symbols=chosen.symbols,
        lookback_sessions=recipe.sleeve.lookback_sessions,
        version=chosen.version,
    )
    source = replace(source, bars=with_other_datasets(recipe.sleeve, source.bars, chosen.data, source.manifest))
    panel = recipe.sleeve.panel(source.bars)
    task = recipe.task
    labels = task.labels(source.bars, config, source.actions)
    doubted = unsettled(source.bars) if task.leaves_doubted_out else None
    rows = samples(panel, labels, first=source.first_row, doubted=doubted, min_names=task.min_names, view=config.view)
    market = market_return(source.bars.total_return, source.bars.eligible)
    weight = reweighted(rows.weight, rows.t0, rows.t1, rows.column, config.weighting, market)
    return Material(source, panel, replace(rows, weight=weight))
