"""`evidence.json` of a run: the one type of the document that training writes and every later step reads.

A part that an older program did not write keeps its default, which says that nothing is known: NaN, None or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, TypeVar

import numpy as np

from portfolio.risk.kelly import SizingCoefficient
from signals.errors import FixInput
from signals.monitoring.expectation import Expectation
from signals.scoring.evidence import NAN, BundleEvidence, Capacity, Deciles, Mean, PolicyBook
from signals.text.documents import absent, from_json, kept
from trainer.curation.mortality import YearlyEnds
from trainer.learners.export import Parity
from trainer.runs.run_folder import read_document
from trainer.runs.trials import EvidenceTrials
from trainer.validation.deciles import Turnover
from trainer.validation.likeness import Likeness, SeedNull
from trainer.validation.probabilities import CalibrationDocument

EVIDENCE = "evidence.json"
T = TypeVar("T")
FORMAT = "trademl-evidence-1"
AGAIN = "Train again with this version"


@dataclass(frozen=True)
class LearnerUsed:
    """Which learner was fitted, and where."""

    kind: str = ""
    device: str = ""


@dataclass(frozen=True)
class TrainingRows:
    """Training data of the published model."""

    rows: int = 0
    sessions: int = 0
    symbols: int = 0
    rows_with_nan: int = 0


@dataclass(frozen=True)
class DatasetUsed:
    """The dataset, and what is known of its universe; `red_accepted` are sessions missing by a person's word."""

    name: str = ""
    version: int = 0
    vendor: str = ""
    basis: str = ""
    survivorship: str = ""
    universe_why: str = ""
    ends: YearlyEnds | None = None
    eligibility: str = "no minimum price or dollar volume"
    red_accepted: tuple[Mapping[str, str], ...] = ()
    calendar: str | None = absent()


@dataclass(frozen=True)
class Embargoes:
    """Sessions of the long embargo, those that the longest look-back needs, and whether the history has room."""

    needed: int
    long: int
    is_possible: bool | None = None


@dataclass(frozen=True)
class OutOfFoldIc:
    """The out-of-fold rank IC: over all paths, path by path, by non-overlapping offset, and with the long embargo."""

    mean: float = NAN
    standard_error: float = NAN
    t_newey_west: float = NAN
    lag: int = 0
    sessions: int = 0
    by_path: tuple[Mean, ...] = ()
    by_offset: tuple[Mean, ...] = ()
    long_embargo: Mean | None = None
    embargoes: Embargoes | None = None

    @property
    def whole(self) -> Mean:
        """The figure over all paths."""
        return Mean(self.mean, self.standard_error, self.t_newey_west, self.sessions)


@dataclass(frozen=True)
class WalkForward:
    """The IC without hindsight, and how many groups walked forward."""

    ic: Mean = Mean()
    groups: int = 0


@dataclass(frozen=True)
class Folds:
    """The cross-validation: its settings, splits and paths, and the open rows."""

    groups: int
    test_groups: int
    embargo_sessions: int
    long_embargo_sessions: int
    holdout_sessions: int
    splits: int
    paths: int
    rows: int
    first: str
    last: str
    train_rows_by_split: tuple[int, ...]


@dataclass(frozen=True)
class LeakCertificate:
    """Training rows that a test label reaches, in all and split by split."""

    total: int | None = None
    by_split: tuple[int, ...] = ()


@dataclass(frozen=True)
class LeakCheck:
    """Result of one check of the leak battery: a figure, its limit, whether it passes, and a sentence."""

    check: str
    passed: bool
    value: float | None = None
    limit: float | None = None
    why: str = ""

    @property
    def sentence(self) -> str:
        """The check and what it found."""
        return f"{self.check}: {self.why}"


@dataclass(frozen=True)
class LeakFindings:
    """The leak battery: its limits, its checks, what moves early in the data, and a second vendor's agreement."""

    limits: Mapping[str, object] = field(default_factory=dict)
    checks: tuple[LeakCheck, ...] = ()
    early: Mapping[str, object] | None = None
    second_vendor: Mapping[str, object] | None = None

    @property
    def failures(self) -> list[str]:
        """Sentences of the checks that failed."""
        return [check.sentence for check in self.checks if not check.passed]


@dataclass(frozen=True)
class RegimeFigures:
    """One kind of market: how many of the judged sessions were of it, and the IC there.

    The sessions of a regime are not neighbours throughout: labels of sessions further apart than they reach count as
    independent, those inside it as overlapping.
    """

    regime: str
    sessions: int
    ic: Mean
    walk_forward_ic: Mean


@dataclass(frozen=True)
class FeatureLoss(Mean):
    """IC lost when one feature is permuted."""

    feature: str = ""


@dataclass(frozen=True)
class ClusterLoss(Mean):
    """IC lost when features that rank alike are permuted together."""

    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportanceFigures:
    """Which features the skill rests on; `shap` is the mean absolute value by feature, None without exact ones."""

    ic: Mean
    by_feature: tuple[FeatureLoss, ...]
    by_cluster: tuple[ClusterLoss, ...]
    shap: Mapping[str, float] | None


@dataclass(frozen=True)
class Retraining:
    """Of a model that was trained again: its lineage and role, its number there, and how alike its forebears are."""

    id: str
    of: int
    role: str
    predecessor: Likeness
    ancestor: Likeness


@dataclass(frozen=True, kw_only=True)
class Evidence(BundleEvidence):
    """Evidence on a trained model, for a person, for publishing and for promotion.

    Attributes
    ----------
    first_training_session, last_training_session, last_label_session : str
        ISO dates of the published model's features and labels.
    promotion_bars : str or None
        Hash of the promotion bars that held when the training began.
    lineage : Retraining or None
        Of a retraining alone.
    others : mapping
        What another program wrote besides.
    """

    format: str = FORMAT
    sleeve: str = ""
    seed: int | None = None
    learner: LearnerUsed = LearnerUsed()
    label: str = ""
    horizon: int = 0
    entry: str = ""
    spec_hash: str = ""
    first_training_session: str = ""
    last_training_session: str = ""
    last_label_session: str = ""
    training: TrainingRows = TrainingRows()
    snapshot_id: str = ""
    dataset: DatasetUsed = DatasetUsed()
    config_hash: str = ""
    code_version: str = ""
    ic: OutOfFoldIc = OutOfFoldIc()
    walk_forward: WalkForward | None = None
    deciles: Deciles = Deciles()
    turnover: Turnover | None = None
    capacity: Capacity = Capacity()
    cpcv: Folds | None = None
    leak_certificate: LeakCertificate = LeakCertificate()
    leaks: LeakFindings = LeakFindings()
    parity: Parity | None = None
    trials: EvidenceTrials = EvidenceTrials()
    calibration: CalibrationDocument | None = None
    promotion_bars: str | None = None
    regimes: tuple[RegimeFigures, ...] = ()
    expectation: Expectation | None = None
    importance: ImportanceFigures | None = None
    seed_null: SeedNull | None = None
    lineage: Retraining | None = absent()
    others: Mapping[str, object] = kept()

    @property
    def forward_ic(self) -> Mean:
        """The walk-forward IC; of forecasts of risk, which size no book, their own."""
        return self.walk_forward.ic if self.walk_forward else self.ic.whole

    def part(self, name: str, kind: type[T], default: T | None = None) -> T:
        """Return what a task wrote under `name`, else the default, or an empty one; raise `BadDocument` for another shape."""
        found = self.others.get(name)
        empty = kind if default is None else lambda: default
        return empty() if found is None else from_json(kind, found)

    def sizing(self, where: str) -> SizingCoefficient:
        """Return what sizes the book of this run; raise `FixInput` where its IC was not measured."""
        ic, book = measured_ic(self, where), self.policy_book
        return SizingCoefficient(ic.mean, ic.t, book.t if book else None)

    def require(self, *names: str, where: Path) -> Evidence:
        """Return this evidence; raise `FixInput` where one of the named fields has no value."""
        if missing := [name for name in names if getattr(self, name) in (None, "") or (name == "horizon" and not self.horizon)]:
            raise FixInput(f"the evidence has no {missing[0]!r}", where=str(where), fix=AGAIN)
        return self


class EvidenceFields(TypedDict, total=False):
    """The fields of `Evidence` that a task fills; `others` are figures of its own, as plain values."""

    ic: OutOfFoldIc
    walk_forward: WalkForward
    deciles: Deciles
    turnover: Turnover
    capacity: Capacity
    trials: EvidenceTrials
    regimes: tuple[RegimeFigures, ...]
    expectation: Expectation | None
    policy_book: PolicyBook | None
    importance: ImportanceFigures | None
    leaks: LeakFindings
    seed_null: SeedNull | None
    calibration: CalibrationDocument | None
    others: Mapping[str, object]


def read_evidence(run: Path) -> Evidence:
    """Read the evidence of a run folder; raise `FixInput` where there is none or it has another shape."""
    return read_document(run / EVIDENCE, Evidence)


def measured_ic(evidence: Evidence, where: str) -> Mean:
    """Return the IC by which a book is sized; raise `FixInput` where the range was too short for one."""
    found = evidence.forward_ic
    for value, what in ((found.mean, "mean"), (found.t, "t"), (found.standard_error, "standard error")):
        if value != value:
            raise FixInput(f"the walk-forward IC has no {what}", where=where, fix=f"{AGAIN}, on a longer range")
    return found


@dataclass(frozen=True)
class BarResult:
    """One bar: what was found, what is asked, whether it passes, and why.

    `power` says how often the bar is wrong at the size of this evidence; empty for what is counted, not estimated.
    """

    bar: str
    value: float | str | None
    limit: float | str
    passed: bool
    why: str
    power: str = ""


def at_least(bar: str, value: float | None, limit: float, why: str) -> BarResult:
    """Row of a figure that may not be below its limit; no finite figure is no evidence."""
    return _bounded(bar, value, limit, why, "below", value is not None and value >= limit)


def at_most(bar: str, value: float | None, limit: float, why: str) -> BarResult:
    """Row of a figure that may not be above its limit; no finite figure is no evidence."""
    return _bounded(bar, value, limit, why, "above", value is not None and value <= limit)


def _bounded(bar: str, value: float | None, limit: float, why: str, beyond: str, passed: bool) -> BarResult:
    if value is None or not np.isfinite(value):
        return BarResult(bar, None, limit, False, "no evidence")
    return BarResult(bar, value, limit, passed, why if passed else f"{value:.4g} is {beyond} {limit:.4g}, {why}")


def finite(value: float | None) -> float | None:
    """A number that exists; None for none and NaN."""
    return value if value is not None and np.isfinite(value) else None
