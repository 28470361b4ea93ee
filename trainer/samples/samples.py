"""Training samples: one row per session and eligible name with features and a label."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken, TooLittleHistory
from signals.features.panel import FeaturePanel
from signals.market.bars import Days, Floats
from signals.market.holding import Flags
from trainer.labels.panel import MIN_NAMES, Labels, Rows, normal_ranks
from trainer.learners.base import Matrix

AXES = ("sessions", "symbols", "names")


@dataclass(frozen=True, eq=False)
class Samples:
    """Long rows over a panel's axes, ordered by session and symbol.

    Attributes
    ----------
    sessions : datetime64[D], shape (T,)
    symbols : tuple of str, length N
    names : tuple of str, length F
        Feature names in the model's order.
    t0, t1 : int64, shape (n,), rows of `sessions`
        Features' session, and the session at which the label is known.
    column : int64, shape (n,)
        Which symbol.
    features : float32, shape (n, F); NaN where undefined
    label : float64, shape (n,), fraction
        Total return, finite.
    target : float64, shape (n,)
        Per-session inverse-normal rank of the label, over the names that have one to learn from; 0 for the others.
    weight : float64, shape (n,)
        Every session weighs the same, however many names it has; the mean weight is 1. 0 is never learned from.
    """

    sessions: Days
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    t0: Rows
    t1: Rows
    column: Rows
    features: Matrix
    label: Floats
    target: Floats
    weight: Floats

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in AXES and len(getattr(self, field.name)) != len(self.t0):
                raise InvariantBroken(f"samples.{field.name} and samples.t0 differ in length")

    def __len__(self) -> int:
        return len(self.t0)

    def where(self, chosen: NDArray[np.bool_]) -> Samples:
        """Return the rows that are `chosen`; the axes stay."""
        rows = {f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name not in AXES}
        return Samples(self.sessions, self.symbols, self.names, **rows)

    def dense(self, values: Floats) -> Floats:
        """Spread one number per row over [session, symbol]; NaN elsewhere."""
        panel = np.full((len(self.sessions), len(self.symbols)), np.nan)
        panel[self.t0, self.column] = values
        return panel


def samples(panel: FeaturePanel, labels: Labels, *, first: int = 0, doubted: Flags | None = None) -> Samples:
    """Join features and labels, from row `first` of the panel on.

    A session with fewer than `MIN_NAMES` labelled names ranks nothing and gives no rows. Labels over a return that is
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
    usable &= (usable.sum(axis=1) >= MIN_NAMES)[:, None]
    t0, column = np.nonzero(usable)
    if t0.size == 0:
        raise TooLittleHistory(
            f"no session has {MIN_NAMES} eligible names with features and a label",
            where=f"{panel.sessions[first]} to {panel.sessions[-1]}",
            fix="Use a longer range or more symbols",
        )
    taught = usable if doubted is None else usable & ~_holds_one(doubted, labels.ends)
    weight = np.where(taught[usable], 1.0 / np.maximum(taught.sum(axis=1), 1)[t0], 0.0)
    target = normal_ranks(np.where(taught, labels.values, np.nan))[usable]
    return Samples(
        sessions=panel.sessions,
        symbols=panel.symbols,
        names=panel.names,
        t0=t0,
        t1=labels.ends[usable],
        column=column,
        features=panel.values[usable],
        label=labels.values[usable],
        target=np.where(taught[usable], target, 0.0),
        weight=weight / weight.mean(),
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
