"""Prepares bars, features and labelled rows of one dataset for training, comparison and search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from signals.audit.extremes import unsettled
from signals.features.history import market_return
from signals.features.panel import FeaturePanel
from signals.indicators.regimes import WILD, with_wild
from signals.market.bars import CLASSIFIED
from signals.market.dataset import read_manifest, session_range
from signals.sleeves.bars import BarsSleeve
from signals.sleeves.base import Sleeve
from trainer.labels.panel import Labels
from trainer.labels.weights import reweighted
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.samples.intraday import read_intraday, split_of
from trainer.samples.joined_datasets import with_other_datasets
from trainer.samples.samples import Samples, samples
from trainer.samples.source import TrainingBars, read_source

if TYPE_CHECKING:
    from trainer.tasks.base import Task

Stage = Callable[[str, Mapping[str, object]], None]


def unwatched(stage: str, figures: Mapping[str, object]) -> None:
    """Drop what a stage says of itself."""


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
    """The source, its features, and one row per session and name that has both features and label.

    `sleeve` and `config` are as the data settle them, `settled` is what they settled, for the evidence.
    """

    source: TrainingBars
    panel: FeaturePanel
    rows: Samples
    sleeve: Sleeve
    config: RecipeConfig
    settled: Mapping[str, object] = field(default_factory=dict)


def prepare(recipe: Recipe, config: RecipeConfig, chosen: Range, stage: Stage = unwatched) -> Material:
    """Read, compute features and labels, and weigh the rows; `stage` is called with each finished step, with its figures.

    Raises
    ------
    FixInput, DataNotUsable
        The range is no range of the dataset, too short, or holds a RED session.
    """
    chosen = replace(chosen, start=_since(chosen, config.window_sessions))
    if isinstance(recipe.sleeve, BarsSleeve):
        return _of_minutes(recipe, recipe.sleeve, config, chosen, stage)
    source = read_source(
        chosen.data,
        start=chosen.start,
        end=chosen.end,
        symbols=chosen.symbols,
        lookback_sessions=recipe.sleeve.given((*CLASSIFIED, WILD) if config.regime else CLASSIFIED).lookback_sessions,
        version=chosen.version,
    )
    if config.regime:
        source = replace(source, bars=with_wild(source.bars, None))
    if own := recipe.task.joined(source.bars, config, source.actions):
        source = replace(source, bars=replace(source.bars, joined={**source.bars.joined, **own}))
    sleeve = recipe.sleeve.given(source.bars.joined)
    source = replace(source, bars=with_other_datasets(sleeve, source.bars, chosen.data, source.manifest))
    panel = sleeve.panel(source.bars)
    return Material(source, panel, _rows(recipe, config, source, panel), sleeve, config)


def _since(chosen: Range, window: int) -> date | None:
    """The first session of the range, or of its newest `window` sessions."""
    if not window:
        return chosen.start
    manifest = read_manifest(chosen.data, chosen.version)
    return manifest.calendar.between(*session_range(manifest, chosen.start, chosen.end))[-window:][0]


def _of_minutes(recipe: Recipe, sleeve: BarsSleeve, config: RecipeConfig, chosen: Range, stage: Stage) -> Material:
    """Do the same for one instrument's minutes: barriers, seal and embargo are settled by the data."""
    found = read_intraday(sleeve, config, chosen.data, chosen.symbols, (chosen.start, chosen.end), chosen.version)
    minutes, bars = found.minutes, found.bars
    panel, snapshot = found.panel, found.manifest.snapshot_id
    first, last = (str(minutes.sessions[place]) for place in (0, -1))
    stage("ingest", {"snapshot": snapshot, "symbol": minutes.symbol, "sessions": len(minutes.sessions), "length": minutes.length})
    stage("clean", {"traded": float(minutes.traded.mean()), "minutes": int(np.isfinite(minutes.close).sum())})
    stage("sessions", {"first": first, "last": last, "hours": str(found.sleeve.hours)})
    stage("features", {"count": len(panel.names), "decisions": len(bars.sessions), "missing": float(np.isnan(panel.values).mean())})
    stage("regime", {"decisions_in_the_warm_up": int((~panel.eligible).sum())})
    stage("ladder", {"rungs": list(found.sleeve.rungs), "strategy": str(found.sleeve.strategy)})
    source = TrainingBars(found.manifest, bars, (), 0)
    stage("label", {"before_search": recipe.task.shares(bars, found.config)})
    config, settled = recipe.task.settled(bars, found.config)
    stage("optimise", settled)
    rows = _rows(recipe, config, source, found.panel)
    stage("relabel", {"rows": len(rows), "after_search": recipe.task.shares(bars, config)})
    config = config.model_copy(update={"cpcv": split_of(config, minutes, rows.t0)})
    stage("split", config.cpcv.model_dump())
    return Material(source, found.panel, rows, found.sleeve, config, settled)


def _rows(recipe: Recipe, config: RecipeConfig, source: TrainingBars, panel: FeaturePanel) -> Samples:
    return rows_of(recipe.task.labels(source.bars, config, source.actions), recipe.task, config, source, panel)


def rows_of(labels: Labels, task: Task, config: RecipeConfig, source: TrainingBars, panel: FeaturePanel) -> Samples:
    """Join features and labels, and weigh the rows, as a task asks for it."""
    doubted = unsettled(source.bars) if task.leaves_doubted_out else None
    rows = samples(panel, labels, first=source.first_row, doubted=doubted, min_names=task.min_names, view=config.view)
    market = market_return(source.bars.total_return, source.bars.eligible)
    weight = reweighted(rows.weight, rows.t0, rows.t1, rows.column, config.weighting, market)
    return replace(rows, weight=weight)
