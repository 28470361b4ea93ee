"""The documents that a verdict is given on besides the evidence: the measured books, the opened seal, the shadow's record."""

from collections.abc import Mapping
from dataclasses import dataclass

from signals.scoring.evidence import NAN
from signals.text.documents import absent, kept
from trainer.backtest.document import Worth


@dataclass(frozen=True)
class SessionReturns:
    """Net returns by session, ISO dates."""

    sessions: tuple[str, ...] = ()
    net: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.sessions) != len(self.net):
            raise ValueError(f"{len(self.sessions)} sessions have {len(self.net)} returns")

    @property
    def by_session(self) -> dict[str, float]:
        """Return by session."""
        return dict(zip(self.sessions, self.net, strict=True))


@dataclass(frozen=True)
class AnnualTurnover:
    """One-way, times equity a year."""

    annual: float = NAN


@dataclass(frozen=True)
class AnnualCosts:
    """Costs as fractions of equity a year: spread and impact, borrow, and both."""

    trading_annual: float = NAN
    borrow_annual: float = NAN
    annual_total: float = NAN


@dataclass(frozen=True)
class BookFigures:
    """A book at the level of weights from its first trade on, with its net returns."""

    engine: str = "weight level"
    sessions: int | None = None
    first: str = ""
    last: str = ""
    net: Worth | None = None
    turnover: AnnualTurnover = AnnualTurnover()
    costs: AnnualCosts = AnnualCosts()
    series: SessionReturns = SessionReturns()


@dataclass(frozen=True)
class Paths:
    """Net Sharpe ratio (None of a ruined book) and deepest drawdown on each path of the cross-validation."""

    annual_sharpe: tuple[float | None, ...] = ()
    max_drawdown: tuple[float, ...] = ()


@dataclass(frozen=True)
class Books:
    """The book walking forward and on the paths."""

    walk_forward: BookFigures = BookFigures()
    paths: Paths = Paths()


@dataclass(frozen=True)
class UnpricedEnds(Books):
    """Both where a long loses `cost` when a name ends without a recorded price."""

    cost: float = NAN


@dataclass(frozen=True)
class Measured(Books):
    """`promotion/measured.json`: the books, and of what models, scores, data, settings and program they are.

    `unpriced_ends` are the books that bear ends without a price, where the universe asks for them.
    """

    format: str = ""
    model_sha256: tuple[str, ...] = ()
    challenger: str = ""
    scores_sha256: tuple[str, ...] = ()
    snapshot_id: str = ""
    settings: str = ""
    code_version: str = ""
    unpriced_end_cost: float | None = None
    unpriced_ends: UnpricedEnds | None = absent()


@dataclass(frozen=True)
class Labelled:
    """What a stored case's evidence says of its label, whichever program wrote it."""

    label: str = ""
    others: Mapping[str, object] = kept()


def measure_of(label: str, horizon: int, measured: Measured) -> str:
    """Say what a measured series is of: returns of a book under its settings, or gains of a label; only like ones are compared."""
    return f"books under the settings {measured.settings}" if measured.settings else f"gains by the label {label} over {horizon} sessions"


@dataclass(frozen=True, kw_only=True)
class SealedBook(Worth):
    """What the sealed sessions earned when they were opened for a challenger; an earlier program kept no series."""

    engine: str = "weight level"
    ic: float | None = None
    ic_sessions: int = 0
    first: str = ""
    last: str = ""
    series: SessionReturns | None = None


@dataclass(frozen=True)
class Profit:
    """The weight-level book of a shadow; its annual turnover and costs after it was built, None of a shorter book."""

    sessions: int = 0
    net_return: float | None = None
    annual_sharpe: float | None = None
    turnover_annual: float | None = None
    cost_annual: float | None = None


@dataclass(frozen=True)
class MeanInterval:
    """Interval of the mean IC that holds at every time at once with probability `level`, of `values` sessions."""

    low: float | None = None
    high: float | None = None
    level: float = NAN
    values: int = 0


@dataclass(frozen=True)
class RecordedBy:
    """Whose record a shadow's is: venues, bundles, sessions asked for, and how the scores compare with the model's own."""

    venues: tuple[str, ...] = ()
    is_rehearsal: bool | None = None
    bundles: tuple[str, ...] = ()
    first: str = ""
    last: str = ""
    lowest_agreement: float | None = None
    lowest_same_names: float | None = None
    largest_difference: float | None = None


@dataclass(frozen=True)
class Shadow:
    """Contents of `promotion/shadow.json`.

    Attributes
    ----------
    model_sha256 : tuple of str
        The models that scored.
    sessions : int
        With an IC.
    recorded : RecordedBy or None
        None where the model was asked afterwards, which no bar accepts.
    faults : int
        Sessions without scores that count: RED data, too few names, scores that are not finite or all the same, and
        whatever a device did not record, recorded too late, or recorded otherwise than this model ranks.
    ic : float or None
        Mean rank IC.
    predicted, band_low, band_high : float
        The walk-forward IC of the evidence, and the band in which the mean of so many sessions lies with probability
        `band`.
    profit : Profit
        No bar asks for its return unless it was configured to.
    interval : MeanInterval
        None for ends that no value rules out, or where every one is ruled out.
    """

    model_sha256: tuple[str, ...] = ()
    snapshot_id: str = ""
    sessions: int | None = None
    faults: int | None = None
    reasons: tuple[str, ...] = ()
    ic: float | None = None
    predicted: float = NAN
    band: float = NAN
    band_low: float = NAN
    band_high: float = NAN
    first: str = ""
    last: str = ""
    profit: Profit = Profit()
    interval: MeanInterval = MeanInterval()
    recorded: RecordedBy | None = None


@dataclass(frozen=True)
class Rival:
    """The champion that a challenger would replace.

    `challengers` is how many were judged against it within the last year, this one included; `measure` is what the series is of
    (`measure_of`), None in a case of an earlier program.
    """

    version: str = ""
    series: SessionReturns = SessionReturns()
    challengers: int | None = None
    measure: str | None = absent()


@dataclass(frozen=True)
class Sights:
    """How often the sealed sessions were seen before: openings of others' seals, and models shown on them."""

    openings: int
    looks: int


@dataclass(frozen=True)
class BarWaiver:
    """A bar that a person answers for."""

    bar: str
    by: str
    reason: str


@dataclass(frozen=True)
class Word:
    """A person's word that an equal challenger shall replace the champion."""

    reason: str = ""
    text: str = ""
    by: str = ""
