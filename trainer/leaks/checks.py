"""Single leak checks on open rows and their out-of-fold scores."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from signals.features.panel import FeaturePanel
from signals.market.bars import Bars, Floats
from signals.sleeves.base import Sleeve
from trainer.curation.lags import at_lag
from trainer.learners.base import Learner, Matrix
from trainer.recipes.leak_limits import LeakConfig
from trainer.runs.evidence import LeakCheck
from trainer.samples.samples import Samples
from trainer.validation.ic import Mean, overlapping_mean, rank_ic
from trainer.validation.splits.walk_forward import walk_forward

SURE = 2.0  # standard errors
AFTER_SESSIONS = 5  # of the panel behind a replaced session


@dataclass(frozen=True, eq=False)
class LeakSubject:
    """Rows, scores and data of a leak check.

    Attributes
    ----------
    rows : Samples
        The open rows only: the sealed holdout is not looked at.
    scores : float64, shape (n,)
        Mean out-of-fold score of each row.
    forward : float64, shape (n,)
        Walk-forward score; NaN on the first group.
    k : int
        Sessions of the label.
    groups : int
        Of the walk-forward folds.
    """

    rows: Samples
    scores: Floats
    forward: Floats
    panel: FeaturePanel
    bars: Bars
    k: int
    groups: int


@dataclass(frozen=True, eq=False)
class Fitting:
    """How the battery fits: the training's own learner."""

    learner: Learner
    workers: int
    step: Callable[[str], None]


def entry_profile(subject: LeakSubject, config: LeakConfig) -> tuple[LeakCheck, ...]:
    """IC by lag of the entry: what falls at once or with the labels' overlap, beyond what rules of prices lose.

    A leak of the next session's return is gone when the entry is one session later, a leak of the label falls with the
    overlap and is gone k sessions later. So is an honest reversal: the model may lose what the baselines lose.
    """
    rows = subject.rows
    labels, scores = rows.dense(rows.label), rows.dense(subject.scores)
    rules = [rows.dense(rule) for rule in _rules(rows, rows.features, config)]
    return tuple(_drop(labels, scores, rules, lag, subject.k, config.max_excess_drop) for lag in (1, subject.k))


def lagged_features(subject: LeakSubject, fitting: Fitting, config: LeakConfig) -> LeakCheck:
    """A model of features that are one session old, walking forward: what it loses was known in the last hour only.

    So is what an honest reversal loses: the model may lose what the baselines of the session before lose.
    """
    rows = subject.rows
    before = np.full_like(subject.panel.values, np.nan)
    before[1:] = subject.panel.values[:-1]
    old = replace(rows, panel=replace(subject.panel, values=before))
    scores = walk_forward(old, fitting.learner, groups=subject.groups, workers=fitting.workers, step=lambda name: None)
    fitting.step("features lagged")
    labels = rows.dense(rows.label)
    new = rank_ic(rows.dense(subject.forward), labels)
    lost = overlapping_mean(new - rank_ic(rows.dense(scores), labels), subject.k)
    both = zip(_rules(rows, rows.features, config), _rules(rows, old.features, config), strict=True)
    ics = [(rank_ic(rows.dense(now), labels), rank_ic(rows.dense(then), labels)) for now, then in both]
    honest = max((_honest(own, then, subject.k) for own, then in ics), default=0.0)
    value = lost.mean - SURE * _error(lost) - honest
    why = (
        f"IC that features of the session before lose, {lost.mean:+.4f}, less {SURE:g} standard errors and what rules "
        f"of prices lose, {honest:.4f}"
    )
    return _at_most("features lagged one session", value, config.max_lagged_drop, why)


def shifted_labels(subject: LeakSubject, fitting: Fitting, config: LeakConfig) -> LeakCheck:
    """A model of other names' labels, walking forward: it has nothing to know."""
    rows = subject.rows
    target, label = (_of_neighbours(rows, values) for values in (rows.target, rows.label))
    known = np.isfinite(target)
    other = replace(rows, target=target, label=label).where(known)
    scores = walk_forward(other, fitting.learner, groups=subject.groups, workers=fitting.workers, step=lambda name: None)
    fitting.step("labels shifted")
    found = overlapping_mean(rank_ic(other.dense(scores), other.dense(other.label)), subject.k)
    value = abs(found.t) if np.isfinite(found.t) else 0.0
    return _at_most("labels shifted", value, config.max_shifted_t, "|t| of the IC of a model of other names' labels")


def replaced_session(subject: LeakSubject, sleeve: Sleeve, config: LeakConfig, seed: int) -> LeakCheck:
    """One session's bars are replaced: no feature of an earlier session may change, and one of its own must."""
    rng = np.random.default_rng(seed)
    bars, lookback = subject.bars, sleeve.lookback_sessions
    last = len(bars.sessions) - AFTER_SESSIONS - 1
    inside = np.arange(max(1, min(lookback, last - 1)), last)
    scored = inside[subject.panel.eligible[inside].any(axis=1)]  # another dataset may begin later than the bars
    rows = rng.choice(scored if len(scored) else inside, config.replaced_sessions)
    moved, unmoved = 0, 0
    for row in rows.tolist():
        first = max(0, row - lookback)
        window = bars.rows(first, row + AFTER_SESSIONS)
        other = _replaced(window, row - first, rng)
        here, there = sleeve.panel(window).values, sleeve.panel(other).values
        same = (here == there) | (np.isnan(here) & np.isnan(there))
        moved += int(np.count_nonzero(~same[: row - first]))
        unmoved += int(same[row - first :].all())
    why = f"features of earlier sessions that change when the bars of one of {len(rows)} sessions are replaced"
    if unmoved:
        return LeakCheck("session replaced", False, float(moved), 0.0, f"{unmoved} replaced sessions changed nothing at all")
    return _at_most("session replaced", float(moved), 0.0, why)


def _drop(labels: Floats, scores: Floats, rules: list[Floats], lag: int, k: int, most: float) -> LeakCheck:
    later = at_lag(labels, lag)
    lost = overlapping_mean(rank_ic(scores, labels) - rank_ic(scores, later), k)
    honest = max((_honest(rank_ic(rule, labels), rank_ic(rule, later), k) for rule in rules), default=0.0)
    value = lost.mean - SURE * _error(lost) - honest
    why = (
        f"IC that an entry {lag} session{'s' * (lag > 1)} later loses, {lost.mean:+.4f}, less {SURE:g} standard errors "
        f"and what rules of prices lose, {honest:.4f}"
    )
    return _at_most(f"entry {lag} later", value, most, why)


def _honest(own: Floats, then: Floats, k: int) -> float:
    """IC that a rule loses, by its ICs by session before and after; 0 where it has none to lose.

    Whichever way round it works.
    """
    known = overlapping_mean(own, k)
    if not abs(known.t) >= SURE:
        return 0.0
    return max(0.0, overlapping_mean(np.sign(known.mean) * (own - then), k).mean)


def _rules(rows: Samples, features: Matrix, config: LeakConfig) -> list[Floats]:
    """Each baseline's value of every row."""
    return [features[:, rows.names.index(name)].astype(np.float64) for name in config.baselines if name in rows.names]


def _of_neighbours(rows: Samples, values: Floats) -> Floats:
    """Value of the name half the panel away in the same session, of names that have values at all; NaN where it has none."""
    panel = rows.dense(values)
    there = np.flatnonzero(np.isfinite(panel).any(axis=0))
    panel[:, there] = np.roll(panel[:, there], len(there) // 2, axis=1)
    moved: Floats = panel[rows.t0, rows.column]
    return moved


def _replaced(bars: Bars, row: int, rng: np.random.Generator) -> Bars:
    """The panel with the bars of session `row`, and the further figures, given to other names."""
    columns = np.flatnonzero(np.isfinite(bars.close[row]))
    order = rng.permutation(columns)

    def handed(panel: Floats) -> Floats:
        other = panel.copy()
        other[row, columns] = panel[row, order]
        return other

    fields = ("open", "high", "low", "close", "volume", "total_return", "overnight_return")
    panels: dict[str, Any] = {name: handed(getattr(bars, name)) for name in fields}
    return replace(bars, **panels, joined={name: handed(panel) for name, panel in bars.joined.items()})


def _at_most(name: str, value: float, limit: float, why: str) -> LeakCheck:
    passed = bool(np.isfinite(value)) and value <= limit
    return LeakCheck(name, passed, value if np.isfinite(value) else None, limit, why)


def _error(found: Mean) -> float:
    return found.standard_error if np.isfinite(found.standard_error) else 0.0
