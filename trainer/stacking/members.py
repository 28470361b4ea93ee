r"""Members of a stack: out-of-fold and walk-forward scores of several runs on common axes.

Members must be fold-consistent: the same labelled sessions, groups and label. Then the split that tests the groups
{g, t} gave every member scores of g from a model that saw neither g nor t, and a stack that is tested on t may learn
from them without having seen t through anybody.

Their scores are combined by non-negative ridge or by boosted trees. The ridge:

    beta = argmin_{b >= 0}  sum_s 1/n_s sum_i (y_si - z_si . b)^2 + alpha |b|^2 S

y is the inverse-normal rank of the label in its session, z that of the members' scores, S the number of sessions. Weights
that cannot be negative are Breiman's (1996, "Stacked regressions"): members are alike, and free weights would bet on
their differences. What is said together is `portfolio.policy.blend.combined`, as on a device, which counts a sleeve by its
weight times its shrunk IC over sqrt k: `device_weights` are the weights of which that is beta.

A name that a member did not score counts as the member's mean. A member that is missing for a whole session is left
out: the weights are then those of the members there, learned without it, and where too little was learned the
configured weighted average.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.optimize import nnls

from portfolio.policy.blend import combined
from signals.errors import FixInput
from signals.market.bars import Days, Floats
from signals.scoring.scores import Z_CLIP, rank_ic, shrunk_ic
from signals.text.wording import reason_of
from trainer.labels.horizon import normal_ranks
from trainer.learners.lgbm import LightGbm, LightGbmModel
from trainer.runs import looks
from trainer.runs.evidence import Evidence, Folds, read_evidence
from trainer.runs.run_folder import file_hash
from trainer.tasks.recipes import require_traded
from trainer.validation.ic import overlapping_mean
from trainer.validation.splits.cpcv import group_bounds, path_table

MODEL = "model.onnx"
TESTED_TOGETHER = 2
SAME_LABEL = 1e-9


@dataclass(frozen=True, eq=False)
class Member:
    """One run's scores.

    Attributes
    ----------
    name : str
        The sleeve; of several runs of one sleeve, the folder's name.
    paths : float64, shape (P, T, N)
        Out-of-fold scores of each session as inverse-normal ranks, path by path; NaN where the member has none.
    forward : float64, shape (T, N)
        Walk-forward, likewise.
    """

    name: str
    sleeve: str
    evidence: Evidence
    paths: Floats
    forward: Floats

    @property
    def out_of_fold(self) -> Floats:
        """Mean over the paths, shape (T, N)."""
        mean: Floats = self.paths.mean(axis=0)
        return mean


@dataclass(frozen=True, eq=False)
class Members:
    """Fold-consistent members on common axes.

    Attributes
    ----------
    sessions : datetime64[D], shape (T,), the labelled ones
    symbols : tuple of str, length N
    label : float64, shape (T, N)
    group : int64, shape (T,)
        Group of each session.
    """

    members: tuple[Member, ...]
    sessions: Days
    symbols: tuple[str, ...]
    label: Floats
    group: NDArray[np.int64]
    groups: int
    horizon: int
    embargo: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the members."""
        return tuple(member.name for member in self.members)

    def apart_from(self, tested: int) -> Floats:
        """Scores by models that never saw the group `tested`, shape (M, T, N).

        Group g is scored by the models of the split {g, tested}; `tested` itself by the mean of all that tested it.
        """
        table = path_table(self.groups, TESTED_TOGETHER)
        number = {pair: n for n, pair in enumerate(combinations(range(self.groups), TESTED_TOGETHER))}
        scores = np.array([member.out_of_fold for member in self.members])
        for group in range(self.groups):
            if group == tested:
                continue
            split = number[min(group, tested), max(group, tested)]
            path = int(np.flatnonzero(table[:, group] == split)[0])
            inside = self.group == group
            for row, member in enumerate(self.members):
                scores[row, inside] = member.paths[path, inside]
        return scores


def read_members(runs: tuple[Path, ...], data: Path) -> Members:
    """Read and align the runs, which were trained on `data`.

    Raises
    ------
    FixInput
        Fewer than two runs, a folder that is no run, or runs that are not fold-consistent, or not what their trainings wrote.
    """
    if len(runs) < 2:
        raise FixInput("a stack needs at least two runs", where="--runs", fix="Name the run folders to stack")
    evidences = [read_evidence(run) for run in runs]
    for run, evidence in zip(runs, evidences, strict=True):
        require_traded(evidence, run)
    folds = _same_folds(runs, evidences)
    oof = [_read(run / "oof.parquet", ("session", "symbol", "path", "score", "label")) for run in runs]
    forward = [_read(run / "walk_forward.parquet", ("session", "symbol", "score")) for run in runs]
    sessions = np.unique(oof[0]["session"])
    for run, columns in zip(runs, oof, strict=True):
        if not np.array_equal(np.unique(columns["session"]), sessions):
            raise FixInput(
                "the runs' labelled sessions differ", where=f"{runs[0]} and {run}", fix="Train them with the same --start and --end"
            )
    symbols = np.unique(np.concatenate([np.unique(columns["symbol"]) for columns in oof]))
    axes = (sessions, symbols)
    found = tuple(
        Member(
            name,
            evidence.sleeve,
            evidence,
            np.array([_ranked(_dense(columns, columns["path"] == path, "score", axes)) for path in range(folds.paths)]),
            _ranked(_dense(ahead, np.ones(len(ahead["session"]), bool), "score", axes)),
        )
        for name, evidence, columns, ahead in zip(_names(runs, evidences), evidences, oof, forward, strict=True)
    )
    group = np.empty(len(sessions), dtype=np.int64)
    for number, (first, last) in enumerate(group_bounds(len(sessions), folds.groups)):
        group[first : last + 1] = number
    label = _label(runs, oof, axes)
    for run in runs:  # last: what two honest runs differ in is said as that
        looks.require_as_made(data, run, (file_hash(run / MODEL),))
    return Members(found, sessions, tuple(symbols.tolist()), label, group, folds.groups, evidences[0].horizon, folds.embargo_sessions)


def _same_folds(runs: tuple[Path, ...], evidences: list[Evidence]) -> Folds:
    """Return the folds of all runs; refuse runs whose folds or labels cannot agree."""
    first: Folds | None = None
    for run, evidence in zip(runs, evidences, strict=True):
        own = evidence.cpcv
        if own is None:
            raise FixInput(
                "this run has no cross-validated scores to stack", where=str(run), fix="Stack runs of sleeves that score returns"
            )
        if own.test_groups != TESTED_TOGETHER:
            raise FixInput(
                f"{own.test_groups} groups were tested together, a stack needs 2", where=str(run), fix="Train with test_groups: 2"
            )
        first = first or own
        pairs = {
            "groups": (own.groups, first.groups),
            "label": (evidence.label, evidences[0].label),
            "horizon": (evidence.horizon, evidences[0].horizon),
        }
        for what, (mine, other) in pairs.items():
            if mine != other:
                raise FixInput(f"the runs differ in their {what}: {other} and {mine}", where=f"{runs[0]} and {run}", fix="Train them alike")
    if first is None:
        raise FixInput("a stack needs runs", where="--runs")
    return first


def _names(runs: tuple[Path, ...], evidences: list[Evidence]) -> list[str]:
    sleeves = [evidence.sleeve for evidence in evidences]
    names = [s if sleeves.count(s) == 1 else run.name for s, run in zip(sleeves, runs, strict=True)]
    if len(set(names)) != len(names):
        raise FixInput("a run is named twice", where=", ".join(names), fix="Name each run folder once")
    return names


def _read(path: Path, columns: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        table = pq.read_table(path, columns=list(columns))
    except (OSError, ValueError, KeyError) as error:
        raise FixInput(f"the scores cannot be read: {reason_of(error)}", where=str(path), fix="Train again") from None
    return {name: table[name].to_numpy() for name in columns}


def _dense(columns: Mapping[str, np.ndarray], chosen: np.ndarray, name: str, axes: tuple[np.ndarray, ...]) -> Floats:
    sessions, symbols = axes
    panel = np.full((len(sessions), len(symbols)), np.nan)
    rows = np.searchsorted(sessions, columns["session"][chosen])
    panel[rows, np.searchsorted(symbols, columns["symbol"][chosen])] = columns[name][chosen]
    return panel


def _ranked(scores: Floats) -> Floats:
    """Clipped inverse-normal ranks of each session, (T, N), as a device ranks a sleeve's names; NaN without a score."""
    return np.clip(normal_ranks(scores), -Z_CLIP, Z_CLIP)


def _label(runs: tuple[Path, ...], oof: list[dict[str, np.ndarray]], axes: tuple[np.ndarray, ...]) -> Floats:
    label = np.full((len(axes[0]), len(axes[1])), np.nan)
    for run, columns in zip(runs, oof, strict=True):
        own = _dense(columns, columns["path"] == 0, "label", axes)
        both = np.isfinite(label) & np.isfinite(own)
        if bool(np.any(np.abs(label[both] - own[both]) > SAME_LABEL)):
            raise FixInput(
                "the runs' labels differ for the same name and session", where=f"{runs[0]} and {run}", fix="Train them on the same prices"
            )
        label = np.where(np.isfinite(label), label, own)
    return label


MIN_SESSIONS = 60
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Weights:
    """Learned weights of each set of members that was there together; the average's where there is no entry."""

    learned: Mapping[tuple[bool, ...], Floats]
    average: Floats

    def combine(self, scores: Floats) -> Floats:
        """Scores of (M, T, N) as one (T, N); NaN where no member has any."""
        together = np.full(scores.shape[1:], np.nan)
        there = present(scores)
        for pattern in {tuple(column) for column in there.T.tolist()}:
            if not any(pattern):
                continue
            weights = self.learned.get(pattern)
            if weights is None:
                weights = np.where(pattern, self.average, 0.0)
            sessions = (there == np.array(pattern)[:, None]).all(axis=0)
            together[sessions] = combined(scores[:, sessions], weights)
        return together


@dataclass(frozen=True)
class RidgeCombiner:
    """Non-negative weights; `alpha` is the penalty per session, on z-scores."""

    average: tuple[float, ...]
    alpha: float = 0.01

    def fit(self, scores: Floats, label: Floats, chosen: Mask) -> Weights:
        """Learn the weights of every set of members that is there in at least `MIN_SESSIONS` chosen sessions."""
        target = normal_ranks(label)
        there = present(scores)
        learned = {}
        for pattern in filter(any, product((False, True), repeat=len(scores))):
            needed = np.array(pattern)
            sessions: Mask = np.asarray(chosen & there[needed].all(axis=0), dtype=np.bool_)
            if int(sessions.sum()) < MIN_SESSIONS:
                continue
            weights = np.zeros(len(scores))
            weights[needed] = _non_negative(scores[needed][:, sessions], target[sessions], self.alpha)
            if weights.sum() > 0:
                learned[pattern] = weights / weights.sum()
        return Weights(learned, np.array(self.average, dtype=np.float64))


@dataclass(frozen=True)
class ConfiguredCombiner:
    """The configured weights, as a device uses them: each times the shrunk IC of its member. No weight is learned.

    Attributes
    ----------
    horizon : int
        k of the labels, for the t of an IC.
    """

    average: tuple[float, ...]
    horizon: int

    def fit(self, scores: Floats, label: Floats, chosen: Mask) -> Weights:
        """Measure each member's IC on the chosen sessions alone; one that has none counts nothing."""
        measured = [overlapping_mean(rank_ic(one[chosen], label[chosen]), self.horizon) for one in scores]
        shrunk = [max(shrunk_ic(ic.mean, ic.t), 0.0) if np.isfinite(ic.t) else 0.0 for ic in measured]
        return Weights({}, np.array(self.average, dtype=np.float64) * np.array(shrunk))


def device_weights(learned: Floats, ics: Sequence[float]) -> Floats:
    """Return the weights with which a device counts members as they were learned: each over its shrunk IC, to sum 1.

    Parameters
    ----------
    learned : float64, shape (M,)
    ics : sequence of float, length M
        Shrunk, as the bundle's manifest will state them. A member whose IC is not positive supports no bet on a device: its
        weight is 0 however it was learned.
    """
    usable = np.array(ics) > 0
    weights: Floats = np.where(usable, learned / np.where(usable, ics, 1.0), 0.0)
    return weights / weights.sum() if weights.sum() > 0 else weights


@dataclass(frozen=True, eq=False)
class Trees:
    """A fitted tree combiner; a missing member is a missing value to it."""

    model: LightGbmModel

    def combine(self, scores: Floats) -> Floats:
        """Scores of (M, T, N) as one (T, N)."""
        known = np.isfinite(scores).any(axis=0)
        together = np.full(scores.shape[1:], np.nan)
        together[known] = self.model.predict(np.ascontiguousarray(scores[:, known].T, dtype=np.float32))
        return together


@dataclass(frozen=True)
class Boosted:
    """Boosted trees over the members' z-scores."""

    learner: LightGbm
    names: tuple[str, ...] = field(default=())

    def fit(self, scores: Floats, label: Floats, chosen: Mask) -> Trees:
        """Fit on the chosen sessions; every session weighs the same."""
        known: Mask = np.asarray(np.isfinite(scores).any(axis=0) & np.isfinite(label) & chosen[:, None], dtype=np.bool_)
        rows, _ = np.nonzero(known)
        weight = 1.0 / known.sum(axis=1)[rows]
        model = self.learner.fit(
            np.ascontiguousarray(scores[:, known].T, dtype=np.float32), normal_ranks(label)[known], weight / weight.mean(), self.names, rows
        )
        return Trees(model)


def present(scores: Floats) -> Mask:
    """Whether each member scored anything in each session, shape (M, T)."""
    return np.asarray(np.isfinite(scores).any(axis=2), dtype=np.bool_)


def _non_negative(scores: Floats, target: Floats, alpha: float) -> Floats:
    """Solve the normal equations with b >= 0: nnls of the Cholesky factor."""
    known = np.isfinite(target) & np.isfinite(scores).any(axis=0)
    share = 1.0 / np.maximum(known.sum(axis=1), 1)
    weight = np.sqrt(np.broadcast_to(share[:, None], known.shape)[known] / max(int(known.any(axis=1).sum()), 1))
    x, y = np.nan_to_num(scores[:, known]) * weight, target[known] * weight
    factor = np.linalg.cholesky(x @ x.T + alpha * np.eye(len(x)))
    solution, _ = nnls(factor.T, np.linalg.solve(factor, x @ y))
    weights: Floats = solution
    return weights
