"""Training samples: one row per session and eligible name with features and a label."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken, TooLittleHistory
from signals.features.panel import FeaturePanel
from signals.market.bars import Days, Flags, Floats
from signals.views import TableView, View
from trainer.labels.panel import MIN_NAMES, Labels, Rows, normal_ranks
from trainer.learners.base import Inputs, Matrix

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
    found: Flags = (ends >= 0) & (upto > count[entry])
    return found


@dataclass(frozen=True)
class Seal:
    """The sealed holdout: the last sessions with labels, which nothing that chooses between models may read.

    Attributes
    ----------
    first, last : int, rows of the samples' sessions
    sessions : int
        Sessions in it that have labels.
    rows : int
        Rows in it.
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
    is_open = rows.t1 + embargo < first
    open_sessions = len(np.unique(rows.t0[is_open]))
    if open_sessions < sessions:
        raise TooLittleHistory(
            f"{len(labelled)} labelled sessions leave {open_sessions} outside a sealed holdout of {sessions}",
            fix="Train on a longer range, or configure a shorter holdout_sessions",
        )
    sealed = rows.t0 >= first
    return rows.where(is_open), Seal(first, int(labelled[-1]), sessions, int(sealed.sum()))
