"""Training samples: one row per session and eligible name with features and a label."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from signals.audit.extremes import unsettled
from signals.errors import InvariantBroken, TooLittleHistory
from signals.features.history import market_return
from signals.features.panel import FeaturePanel
from signals.indicators.regimes import WILD, with_wild
from signals.market.bars import CLASSIFIED, Days, Flags, Floats
from signals.market.dataset import read_manifest, session_range
from signals.sleeves.bars import BarsSleeve
from signals.sleeves.base import Sleeve
from signals.views import TableView, View
from trainer.labels.horizon import MIN_NAMES, Labels, Rows, normal_ranks
from trainer.labels.weights import reweighted
from trainer.learners.base import Inputs, Matrix
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.samples.intraday import read_intraday, side_by_side, split_of
from trainer.samples.joined_datasets import snapshots_of, with_other_datasets
from trainer.samples.source import TrainingBars, read_source

if TYPE_CHECKING:
    from trainer.tasks.base import Task


BY_ROW = ("t0", "t1", "column", "label", "target", "weight")
DEFAULT_VIEW = TableView()


@dataclass(frozen=True, eq=False)
class Gathered:
    """Inputs that are gathered when they are asked for, so that windows of a whole history never exist as one array."""

    panel: FeaturePanel
    view: View
    t: Rows
    column: Rows

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, rows: slice | Rows) -> Matrix:
        """Return the samples numbered `rows`, float32 (n, *shape)."""
        return self.view.rows(self.panel, self.t[rows], self.column[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape that all samples together would have."""
        return (len(self), *self.view.shape(len(self.panel.names)))


@dataclass(frozen=True, eq=False)
class Samples:
    """An index over a feature panel: long rows, ordered by session and symbol; what a model sees is gathered.

    Attributes
    ----------
    t0, t1 : int64, shape (n,), rows of `sessions`
        Features' session, and the session at which the label is known.
    column : int64, shape (n,)
        Which symbol.
    label : float64, shape (n,), fraction
        Total return, finite.
    target : float64, shape (n,)
        What is learned: the label's own target, else its inverse-normal rank within its session over the names that have one
        to learn from; 0 for the others.
    weight : float64, shape (n,)
        Every session weighs the same, however many names it has; the mean weight is 1. 0 is never learned from.
    view : View
        How a sample looks to a model.
    """

    panel: FeaturePanel
    t0: Rows
    t1: Rows
    column: Rows
    label: Floats
    target: Floats
    weight: Floats
    view: View = DEFAULT_VIEW

    def __post_init__(self) -> None:
        for name in BY_ROW:
            if len(getattr(self, name)) != len(self.t0):
                raise InvariantBroken(f"samples.{name} and samples.t0 differ in length")

    @property
    def sessions(self) -> Days:
        """Sessions of the panel, datetime64[D] (T,)."""
        return self.panel.sessions

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the panel."""
        return self.panel.symbols

    @property
    def days(self) -> Days:
        """Days of the panel, each once, whether a session is one bar or many, datetime64[D] (D,)."""
        return np.unique(self.sessions.astype("datetime64[D]"))

    @property
    def day(self) -> Rows:
        """Number of the day of each row's features, int64 (n,): its session's, where that is one bar."""
        return self._day_of(self.t0)

    @property
    def end_day(self) -> Rows:
        """Number of the day at which each row's label is known, int64 (n,)."""
        return self._day_of(self.t1)

    def _day_of(self, rows: Rows) -> Rows:
        return np.searchsorted(self.days, self.sessions.astype("datetime64[D]"))[rows]

    def fingerprint(self) -> str:
        """Return the SHA-256 of all that the rows hold."""
        digest = hashlib.sha256(repr((self.symbols, self.names)).encode())
        for part in (self.sessions, self.panel.values, *(getattr(self, name) for name in BY_ROW)):
            digest.update(np.ascontiguousarray(part).view(np.uint8).data)
        return digest.hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the model's order."""
        return self.panel.names

    @property
    def features(self) -> Matrix:
        """Features of every row's own session, float32 (n, F), gathered at each call; NaN where undefined."""
        return TableView().rows(self.panel, self.t0, self.column)

    def inputs(self, rows: Rows | None = None) -> Inputs:
        """Inputs of a model for the rows numbered `rows`, of all where it is None: a table, or what is gathered when asked for."""
        t, column = (self.t0, self.column) if rows is None else (self.t0[rows], self.column[rows])
        gathered = Gathered(self.panel, self.view, t, column)
        return gathered[:] if isinstance(self.view, TableView) else gathered

    def __len__(self) -> int:
        return len(self.t0)

    def where(self, chosen: NDArray[np.bool_]) -> Samples:
        """Return the rows that are `chosen`; the axes stay."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in BY_ROW})

    def dense(self, values: Floats) -> Floats:
        """Spread one number per row over [session, symbol]; NaN elsewhere."""
        panel = np.full((len(self.sessions), len(self.symbols)), np.nan)
        panel[self.t0, self.column] = values
        return panel

    def by_day(self, values: Floats) -> Floats:
        """Spread one number per row over [day, bar of the day and symbol]: `dense` where a session is one bar; NaN elsewhere."""
        first = np.searchsorted(self.sessions, self.days)
        widest = int(np.diff(first, append=len(self.sessions)).max())
        panel = np.full((len(first), widest, len(self.symbols)), np.nan)
        panel[self.day, self.t0 - first[self.day], self.column] = values
        return panel.reshape(len(first), -1)


def samples(
    panel: FeaturePanel,
    labels: Labels,
    *,
    first: int = 0,
    doubted: Flags | None = None,
    min_names: int = MIN_NAMES,
    view: View = DEFAULT_VIEW,
) -> Samples:
    """Join features and labels, from row `first` of the panel on.

    A session with fewer than `min_names` labelled names gives no rows: it ranks nothing. Labels over a return that is
    `doubted`, bool (T, N), are judged like all others and never learned from: they weigh nothing, and other names'
    targets are ranked without them.

    Raises
    ------
    TooLittleHistory
        No session is left.
    """
    if panel.symbols != labels.symbols or not np.array_equal(panel.sessions, labels.sessions):
        raise InvariantBroken("features and labels are on different axes")
    usable = panel.eligible & (labels.ends >= 0)
    usable[:first] = False
    usable &= (usable.sum(axis=1) >= min_names)[:, None]
    t0, column = np.nonzero(usable)
    if t0.size == 0:
        raise TooLittleHistory(
            f"no session has {min_names} eligible name{'s' * (min_names > 1)} with features and a label",
            where=f"{panel.sessions[first]} to {panel.sessions[-1]}",
            fix="Use a longer range or more symbols",
        )
    taught = usable if doubted is None else usable & ~_holds_one(doubted, labels.ends)
    weight = np.where(taught[usable], 1.0 / np.maximum(taught.sum(axis=1), 1)[t0], 0.0)
    if labels.quality is not None:
        weight = weight * labels.quality[usable]
    target = (normal_ranks(np.where(taught, labels.values, np.nan)) if labels.target is None else labels.target)[usable]
    return Samples(
        panel=panel,
        t0=t0,
        t1=labels.ends[usable],
        column=column,
        label=labels.values[usable],
        target=np.where(taught[usable], target, 0.0),
        weight=weight / weight.mean(),
        view=view,
    )


def _holds_one(doubted: Flags, ends: Rows) -> Flags:
    """Whether each label's holding, from the entry's session + 1 to its end, has a doubted return, (T, N)."""
    count = np.vstack([np.zeros((1, doubted.shape[1]), dtype=np.int64), np.cumsum(doubted, axis=0)])
    upto = np.take_along_axis(count, np.maximum(ends, 0) + 1, axis=0)
    entry = np.minimum(np.arange(len(doubted)) + 2, len(doubted))  # the return into the entry's own session is nobody's
    return (ends >= 0) & (upto > count[entry])


@dataclass(frozen=True)
class Seal:
    """The sealed holdout: the last sessions with labels, which nothing that chooses between models may read.

    `first` and `last` are rows of the samples' sessions; `sessions` counts those with labels, `rows` the samples.
    """

    first: int
    last: int
    sessions: int
    rows: int


def seal_holdout(rows: Samples, sessions: int, embargo: int) -> tuple[Samples, Seal | None]:
    """Split off the last `sessions` labelled sessions; what stays open ends `embargo` sessions before they start.

    Raises
    ------
    TooLittleHistory
        Fewer than `sessions` sessions would stay open.
    """
    if sessions == 0:
        return rows, None
    labelled = np.unique(rows.t0)
    first = int(labelled[-sessions]) if len(labelled) > sessions else 0
    sealed = rows.t0 >= first
    seal = Seal(first, int(labelled[-1]), sessions, int(sealed.sum()))
    opened = before_seal(rows, seal, embargo)
    open_sessions = len(np.unique(opened.t0))
    if open_sessions < sessions:
        raise TooLittleHistory(
            f"{len(labelled)} labelled sessions leave {open_sessions} outside a sealed holdout of {sessions}",
            fix="Train on a longer range, or configure a shorter holdout_sessions",
        )
    return opened, seal


def before_seal(rows: Samples, seal: Seal | None, embargo: int) -> Samples:
    """Return the rows, of whichever labels, that are known `embargo` sessions before a run's seal; all where nothing is sealed."""
    return rows if seal is None else rows.where(rows.t1 + embargo < seal.first)


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
    sleeve = recipe.sleeve.treated(config.features)
    minutes = None
    if config.minutes is not None:
        manifest, minutes, bars = side_by_side(config, chosen.data, chosen.symbols, (chosen.start, chosen.end), chosen.version)
        source = TrainingBars(manifest, bars, (), 0)
    else:
        source = read_source(
            chosen.data,
            start=chosen.start,
            end=chosen.end,
            symbols=chosen.symbols,
            lookback_sessions=sleeve.given((*CLASSIFIED, WILD) if config.regime else CLASSIFIED).lookback_sessions,
            version=chosen.version,
        )
    if config.regime:
        source = replace(source, bars=with_wild(source.bars, None))
    if own := recipe.task.joined(source.bars, config, source.actions):
        source = replace(source, bars=replace(source.bars, joined={**source.bars.joined, **own}))
    sleeve = sleeve.given(source.bars.joined)
    whole = with_other_datasets(sleeve, source.bars, chosen.data, source.manifest)
    source = replace(source, bars=whole, datasets=snapshots_of(sleeve, chosen.data))
    panel = sleeve.panel(source.bars)
    rows = _rows(recipe, config, source, panel)
    if minutes is not None:
        config = config.model_copy(update={"cpcv": split_of(config, minutes, rows.t0)})
    return Material(source, panel, rows, sleeve, config)


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
