"""Members of a stack: out-of-fold and walk-forward scores of several runs on common axes.

Members must be fold-consistent: the same labelled sessions, groups and label. Then the split that tests the groups
{g, t} gave every member scores of g from a model that saw neither g nor t, and a stack that is tested on t may learn
from them without having seen t through anybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from signals.errors import FixInput
from signals.market.bars import Days, Floats
from signals.scoring.scores import Z_CLIP
from signals.text.wording import reason_of
from trainer.labels.panel import normal_ranks
from trainer.runs import looks
from trainer.runs.evidence import Evidence, Folds, read_evidence
from trainer.runs.run_folder import file_hash
from trainer.tasks.recipes import require_traded
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
