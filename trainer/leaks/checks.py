"""The leak battery, and its checks on open rows and their out-of-fold scores.

Entry point: `battery`. Its result stands in the evidence; the bar `leak` of a promotion refuses a run of which a check
failed, until a person answers for it.

A second vendor's returns, gaps and volumes are compared with ours: what one file cannot show, a file that is dated
early as a whole or volumes that were touched a little, two files do. Compared are seeded name-sessions that both have.
A return agrees at the lag at which the other vendor has it.

Figures of other datasets are asked for again on bars that end at a session: what is known at its close has the same bits then. What an
input reads from its own files without regard to the bars that it is given cannot be seen so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.features.panel import FeaturePanel
from signals.market.bars import Bars, Floats
from signals.sleeves.base import Sleeve
from trainer.curation.audit.early import at_lag, early_moves
from trainer.curation.audit.second_vendor import agrees
from trainer.learners.base import Learner, Matrix
from trainer.recipes.base import LeakConfig
from trainer.runs.evidence import LeakCheck, LeakFindings
from trainer.samples.joined_datasets import DAILY
from trainer.samples.samples import Samples
from trainer.validation.ic import Mean, overlapping_mean, rank_ic
from trainer.validation.splits.oof import walk_forward

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
    join : callable, optional
        Gives bars the figures of the other datasets that the sleeve reads; None where it reads none.
    """

    rows: Samples
    scores: Floats
    forward: Floats
    panel: FeaturePanel
    bars: Bars
    k: int
    groups: int
    join: Callable[[Bars], Bars] | None = None


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
    what = "features of the session before lose"
    return _beyond_rules("features lagged one session", what, lost, ics, subject.k, config.max_lagged_drop)


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
    """One session's bars are replaced: no feature of an earlier session may change, and one of its own must.

    Where the sleeve reads other datasets, these are joined again to bars that end at the session: none of its features may change.
    """
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
    ahead = [row for row in np.unique(rows).tolist() if _knows_later(subject, sleeve, row, lookback)]
    if ahead:
        days = ", ".join(map(str, subject.bars.sessions[ahead]))
        names = ", ".join(name for name in sleeve.inputs if name != DAILY)
        words = f"the input {names} of the sleeve {sleeve.name} gives other figures of {days} once later sessions are cut off: it knew them"
        return LeakCheck("session replaced", False, float(moved + len(ahead)), 0.0, words)
    why = f"features of earlier sessions that change when the bars of one of {len(rows)} sessions are replaced"
    if unmoved:
        return LeakCheck("session replaced", False, float(moved), 0.0, f"{unmoved} replaced sessions changed nothing at all")
    return _at_most("session replaced", float(moved), 0.0, why)


def _knows_later(subject: LeakSubject, sleeve: Sleeve, row: int, lookback: int) -> bool:
    """Whether features of the session `row` change when the other datasets are joined to bars that end there.

    First to the look-back alone, which is quick, and where that differs to all bars until the session: an input may read far back.
    """
    if subject.join is None:
        return False
    for first in dict.fromkeys((max(0, row - lookback), 0)):
        window = subject.bars.rows(first, row + 1)
        known, again = sleeve.panel(window).values[-1], sleeve.panel(subject.join(window)).values[-1]
        if np.array_equal(known, again, equal_nan=True):
            return False
    return True


def _drop(labels: Floats, scores: Floats, rules: list[Floats], lag: int, k: int, most: float) -> LeakCheck:
    later = at_lag(labels, lag)
    lost = overlapping_mean(rank_ic(scores, labels) - rank_ic(scores, later), k)
    what = f"an entry {lag} session{'s' * (lag > 1)} later loses"
    return _beyond_rules(f"entry {lag} later", what, lost, [(rank_ic(rule, labels), rank_ic(rule, later)) for rule in rules], k, most)


def _beyond_rules(name: str, what: str, lost: Mean, rules: list[tuple[Floats, Floats]], k: int, most: float) -> LeakCheck:
    """The check of an IC that is lost, less its error and what rules of prices lose, by their ICs before and after."""
    honest = max((_honest(own, then, k) for own, then in rules), default=0.0)
    why = f"IC that {what}, {lost.mean:+.4f}, less {SURE:g} standard errors and what rules of prices lose, {honest:.4f}"
    return _at_most(name, lost.mean - SURE * _error(lost) - honest, most, why)


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
    return panel[rows.t0, rows.column]


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


LAGS = (-1, 0, 1)
LEAST_MOVE = 2e-3  # a smaller return agrees with any other
USUAL_VOLUME = np.log(1.25)  # how far from a name's usual ratio a session's may be
NAME = "second vendor"


@dataclass(frozen=True, eq=False)
class Compared:
    """Shares of the compared name-sessions that agree.

    Attributes
    ----------
    closes : tuple of float
        Close-to-close returns that are the other vendor's at lags -1, 0 and +1.
    gaps : float
        Overnight returns that agree.
    volumes : float
        Volumes whose ratio is within 25 % of the name's usual one.
    """

    count: int
    closes: tuple[float, ...]
    gaps: float
    volumes: float

    def document(self) -> Mapping[str, object]:
        """Return the shares as JSON values."""
        lags = {f"lag_{lag:+d}": share for lag, share in zip(LAGS, self.closes, strict=True)}
        return {"name_sessions": self.count, "closes": lags, "gaps": self.gaps, "volumes": self.volumes}


def compared(ours: Bars, theirs: Bars, count: int, seed: int) -> Compared:
    """Compare `count` seeded name-sessions of both panels; fewer where they have fewer in common."""
    names = sorted(set(ours.symbols) & set(theirs.symbols))
    days, mine, other = np.intersect1d(ours.sessions, theirs.sessions, return_indices=True)
    if len(names) == 0 or len(days) < len(LAGS):
        return Compared(0, (0.0,) * len(LAGS), 0.0, 0.0)
    a, b = (_common(bars, rows, names) for bars, rows in ((ours, mine), (theirs, other)))
    usable = np.isfinite(a["total"]) & np.isfinite(a["gap"]) & (np.abs(a["total"]) > LEAST_MOVE)
    for lag in LAGS:
        usable &= np.isfinite(at_lag(b["total"], lag))
    usable &= np.isfinite(b["gap"])
    cells = np.argwhere(usable)
    chosen = cells[np.random.default_rng(seed).permutation(len(cells))[:count]]
    if not len(chosen):
        return Compared(0, (0.0,) * len(LAGS), 0.0, 0.0)
    at = (chosen[:, 0], chosen[:, 1])
    closes = tuple(float(agrees(a["total"][at], at_lag(b["total"], lag)[at]).mean()) for lag in LAGS)
    gaps = float(agrees(a["gap"][at], b["gap"][at]).mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(a["volume"] / b["volume"])
    ratio[~np.isfinite(ratio)] = np.nan
    usual = np.array([np.nanmedian(ratio[:, c]) if np.isfinite(ratio[:, c]).any() else np.nan for c in range(len(names))])
    off = np.abs(ratio - usual)[at]
    return Compared(len(chosen), closes, gaps, float((off <= USUAL_VOLUME).mean()))


def second_vendor(ours: Bars, theirs: Bars, config: LeakConfig, seed: int) -> tuple[LeakCheck, Compared]:
    """Return the check of a second vendor and its figures."""
    found = compared(ours, theirs, config.compared, seed)
    before, same, after = found.closes
    figures = f"closes {before:.0%}, {same:.0%}, {after:.0%} at lags -1, 0, +1; gaps {found.gaps:.0%}"
    words = f"{figures}; volumes {found.volumes:.0%} of {found.count} name-sessions agree"
    if found.count < config.min_compared:
        words = f"{found.count} name-sessions in common are too few: name a dataset of the same names and sessions"
        return LeakCheck(NAME, False, None, config.min_agreement, words), found
    least = min(same, found.gaps, found.volumes)
    return LeakCheck(NAME, least >= config.min_agreement, least, config.min_agreement, words), found


def _common(bars: Bars, rows: NDArray[np.int64], names: list[str]) -> dict[str, Floats]:
    part = bars.select(tuple(names))
    return {"total": part.total_return[rows], "gap": part.overnight_return[rows], "volume": part.volume[rows]}


FITS = 2  # steps: features lagged, labels shifted


def battery(subject: LeakSubject, sleeve: Sleeve, fitting: Fitting, config: LeakConfig, *, seed: int, second: Bars | None) -> LeakFindings:
    """Run every check and return what was found; `second` are another vendor's bars of the same names, where there are any."""
    early = early_moves(subject.bars)
    words = early.sentences()
    moves = LeakCheck("early moves", not words, float(len(words)), 0.0, "; ".join(words) or "no name, session or volume moves early")
    checks = [
        moves,
        *entry_profile(subject, config),
        lagged_features(subject, fitting, config),
        shifted_labels(subject, fitting, config),
        replaced_session(subject, sleeve, config, seed),
    ]
    beside = None
    if second is not None:
        check, beside = second_vendor(subject.bars, second, config, seed)
        checks.append(check)
    return LeakFindings(
        limits=config.model_dump(mode="json"),
        checks=tuple(checks),
        early=early.document(),
        second_vendor=None if beside is None else beside.document(),
    )
