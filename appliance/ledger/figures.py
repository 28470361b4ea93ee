"""The figures that jobs record with their runs, as frozen documents: a job writes them, views and later jobs read them.

`JobRun.read` gives a run's figures as one of these types. A field that an earlier release did not record has its default;
figures of another shape than their type's were not written by this program (`LedgerUnusable`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from execution.orders import Rounding
from signals.text.documents import absent, kept

Band = tuple[float, ...]


@dataclass(frozen=True)
class PullFigures:
    """Of the job pull: the newest session's audit, and what was taken over."""

    asof: date | None = None
    status: str = ""
    reasons: tuple[str, ...] = ()
    version: int | None = None
    snapshot_id: str | None = None
    completed: int = 0
    others: Mapping[str, object] = kept()


@dataclass(frozen=True)
class FeatureFile:
    """The file that holds what the model read one evening, and its SHA-256."""

    file: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class ShownFile(FeatureFile):
    """The file that holds what a bundle that is only shown said one evening, and as what it was published."""

    role: str = ""
    refusal: str | None = None


@dataclass(frozen=True)
class BundleUsed:
    """The bundle that scored; None where nothing was scored."""

    bundle_id: str | None = None
    bundle_sha256: str | None = None
    role: str | None = None
    refusal: str | None = None
    bundle_age_sessions: int | None = None


@dataclass(frozen=True)
class Promise:
    """Predicted range of a bundle's mean rank IC, and the model that it belongs to."""

    lineage: str = ""
    promised: float | None = None
    bound: float | None = None


@dataclass(frozen=True)
class ScoreFigures(BundleUsed):
    """Of the job score: the scored names, and the bundle that scored them; of several sleeves, the first and each one's.

    Attributes
    ----------
    by_sleeve : mapping of sleeve to ScoreFigures
        None where one sleeve is traded alone.
    missing : mapping of sleeve to sentence
        Why it has no scores.
    forecasts : FeatureFile
        What the risk bundle forecast; None where none scored.
    shown : mapping of sleeve to ShownFile
        What the bundles that are only shown said, of pictures and of events; None where none of them spoke.
    promise : Promise
        Of the bundle that scored: these scores are judged by it when another one is in force.
    """

    asof: date | None = None
    names: int | None = None
    expected: int | None = None
    features: FeatureFile | None = None
    sleeve: str | None = absent()
    by_sleeve: Mapping[str, ScoreFigures] | None = absent()
    missing: Mapping[str, str] | None = absent()
    forecasts: FeatureFile | None = absent()
    shown: Mapping[str, ShownFile] | None = absent()
    promise: Promise | None = absent()
    others: Mapping[str, object] = kept()

    def of(self, sleeve: str) -> ScoreFigures:
        """Return the figures of one sleeve; empty ones where it was not scored."""
        if self.by_sleeve is not None:
            return self.by_sleeve.get(sleeve, ScoreFigures())
        return self if self.sleeve in (None, sleeve) else ScoreFigures()


@dataclass(frozen=True)
class RoundingFigures:
    """Distance of whole shares from the target book, and of the planned positions, as fractions of equity."""

    target_gross: float = 0.0
    nearest_l1: float = 0.0
    planned_l1: float = 0.0
    planned_gross: float = 0.0
    never_held: tuple[str, ...] = ()
    share: float = 0.0
    ratio: float | None = None

    @classmethod
    def of(cls, rounding: Rounding) -> RoundingFigures:
        """Return the figures of a plan's rounding."""
        return cls(**vars(rounding), share=rounding.share, ratio=rounding.ratio)


@dataclass(frozen=True)
class BookDecisions:
    """The decisions that made the target book; None where nothing was planned."""

    decisions: tuple[tuple[str, str], ...] | None = None
    sized_by: str | None = None
    ramp: float | None = None
    turnover: float | None = None
    gross: float | None = None
    net: float | None = None
    reduce_only: bool | None = None

    @property
    def by_name(self) -> dict[str, str]:
        """Outcome of each decision."""
        return dict(self.decisions or ())


@dataclass(frozen=True)
class DrawnSize:
    """Multiplier that a plan drew in shadow, after that of the session before, and the state of its whole book at `asof`.

    Attributes
    ----------
    is_rehearsal : bool
        On a hosted exchange, whose time runs through a known past.
    """

    asof: date
    before: float
    multiplier: float
    propensity: float
    seed: str
    state: tuple[float, ...]
    is_rehearsal: bool = True


@dataclass(frozen=True)
class PlanFigures(BookDecisions):
    """Of the job plan: the decisions that made the target book, and the sleeves that it is made from.

    Attributes
    ----------
    sleeves : mapping of sleeve to float
        Share of all configured weight of those with scores.
    lineages, sources : mapping of sleeve to str
        Each one's model, empty where it said nothing, and the bundle that scored it; None where one sleeve is traded alone.
    missing : mapping of sleeve to sentence
        Why its share stays unallocated.
    weighed_by : str
        Which stack gave the weights; None where the settings did.
    multiplier : float
        Of the target book, by the sizing policy; None where the settings ask for none.
    drawn : DrawnSize
        In shadow, where the settings ask for it.
    whole : mapping of symbol to float
        The target book before its multiplier, where the settings ask for one of these two.
    whole_turnover : float
        One-sided, from the whole book of five plans ago to this one, times the ramp.
    parts : mapping of sleeve to mapping of symbol to float
        What it said of the names of the book, in z; the parts of a name sum to what ranked it.
    """

    lineage: str | None = None
    sleeves: Mapping[str, float] | None = None
    completed: int = 0
    lineages: Mapping[str, str] | None = absent()
    sources: Mapping[str, str] | None = absent()
    missing: Mapping[str, str] | None = absent()
    parts: Mapping[str, Mapping[str, float]] | None = absent()
    weighed_by: str | None = absent()
    multiplier: float | None = absent()
    drawn: DrawnSize | None = absent()
    whole: Mapping[str, float] | None = absent()
    whole_turnover: float | None = absent()
    others: Mapping[str, object] = kept()

    def parts_of(self, symbol: str) -> dict[str, float]:
        """What each sleeve said of a name; empty where one sleeve was traded alone."""
        return {sleeve: said[symbol] for sleeve, said in (self.parts or {}).items() if symbol in said}


@dataclass(frozen=True)
class ReconcileFigures:
    """Of both reconciliations; no positions where the books differed."""

    positions: int | None = None
    cash: Decimal | None = None
    equity: Decimal | None = None
    notes: tuple[str, ...] = ()
    others: Mapping[str, object] = kept()


@dataclass(frozen=True)
class AttributedSession:
    """The parts of one session's result in USD, which sum to its total.

    Attributes
    ----------
    traded : Decimal
        Value of its fills.
    data : str
        Audit of its bars.
    costs : mapping
        What the part "costs" consists of.
    best, worst : tuple of (symbol, USD)
        The names that made most of the selection, and that cost it most.
    by_sleeve : mapping of sleeve to USD
        The names' selection by the sleeves that spoke for them; None where one sleeve is traded alone.
    universe : float
        Total return of the universe from the close before, in equal parts; None without usable bars, or of an earlier release.
    """

    session: date
    total: Decimal = Decimal(0)
    traded: Decimal = Decimal(0)
    data: str = ""
    parts: Mapping[str, Decimal] = field(default_factory=dict)
    costs: Mapping[str, Decimal] = field(default_factory=dict)
    best: tuple[tuple[str, Decimal], ...] = ()
    worst: tuple[tuple[str, Decimal], ...] = ()
    by_sleeve: Mapping[str, Decimal] | None = absent()
    universe: float | None = absent()


@dataclass(frozen=True)
class Observation:
    """The realised figures of one scored session, and what its bundle promised for it; None where there is none.

    Attributes
    ----------
    deciles : tuple of float
        Mean return of the names of each decile of the score, the lowest first, in excess of their mean.
    """

    session: date
    bundle: str = ""
    lineage: str = ""
    ic: float | None = None
    turnover: float | None = None
    net: float | None = None
    promised: float | None = None
    bound: float | None = None
    deciles: tuple[float, ...] | None = absent()


@dataclass(frozen=True)
class RealisedFigure:
    """A realised figure after so many sessions between the promised quantiles; `verdict` says where it is."""

    figure: str
    sessions: int = 0
    live: float | None = None
    low: float | None = None
    median: float | None = None
    high: float | None = None
    verdict: str = "NOT YET"


@dataclass(frozen=True)
class DecayTest:
    """The sequential test for model decay; `alarmed_on` is None while nothing speaks against the model."""

    sessions: int = 0
    wealth: float = 0.0
    highest: float = 0.0
    alarm_at: float = 0.0
    p_value: float | None = None
    promised: float | None = None
    alarmed_on: date | None = None
    says: str = ""


@dataclass(frozen=True)
class PromisedFans:
    """Lowest, middle and highest promised quantile of each figure after the numbers of sessions in `after`."""

    after: tuple[int, ...] = ()
    ic: tuple[Band, ...] = ()
    turnover: tuple[Band, ...] = ()
    cost: tuple[Band, ...] = ()
    drawdown: tuple[Band, ...] = ()


@dataclass(frozen=True)
class ModelVerdict:
    """Realised against expected results of one model's sessions from `since` to `until`."""

    lineage: str
    since: date
    until: date
    figures: tuple[RealisedFigure, ...] = ()
    fans: PromisedFans = PromisedFans()
    test: DecayTest = DecayTest()


@dataclass(frozen=True)
class DriftRow:
    """A watched figure against its limit; None where it cannot be measured."""

    name: str
    psi: float | None
    limit: float
    used: float | None
    verdict: str

    @property
    def is_drifted(self) -> bool:
        """Whether it is past its limit."""
        return self.verdict == "DRIFTED"


@dataclass(frozen=True)
class DriftTable:
    """Every watched figure, those that use most of their limit first."""

    window_sessions: int
    rows: tuple[DriftRow, ...]


@dataclass(frozen=True)
class SleeveFigures:
    """Measured figures of one of several sleeves."""

    live: tuple[Observation, ...] = ()
    expectation: ModelVerdict | None = None
    drift: DriftTable | None = None


@dataclass(frozen=True)
class SessionFigures:
    """The sessions that a report attributed and observed first; of several sleeves, those of the first and of each."""

    attribution: tuple[AttributedSession, ...] = ()
    live: tuple[Observation, ...] = ()
    by_sleeve: Mapping[str, SleeveFigures] | None = absent()


@dataclass(frozen=True)
class MonitoringFigures(SessionFigures):
    """Measured figures of the model: its sessions, its history and drift; of several, of the first; and the drift of what is only shown."""

    expectation: ModelVerdict | None = None
    drift: DriftTable | None = None
    shown: Mapping[str, DriftTable] | None = absent()

    @property
    def lives(self) -> dict[str, ModelVerdict]:
        """Each sleeve's life against its promise, where there is one; of a device of one sleeve under an empty name."""
        every = {"": self.expectation} if self.by_sleeve is None else {name: one.expectation for name, one in self.by_sleeve.items()}
        return {name: one for name, one in every.items() if one is not None}


@dataclass(frozen=True)
class ReportFigures(MonitoringFigures):
    """Of the job report: the monitoring, where the report is, and the session's value."""

    path: str = ""
    paper_nav: Decimal | None = None
    real_nav: Decimal | None = None
