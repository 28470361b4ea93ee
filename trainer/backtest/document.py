"""The figures of a backtest as a frozen document, `backtest.json`; money in USD, fractions of equity otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from signals.text.documents import absent, kept
from trainer.backtest.figures import Worth


@dataclass(frozen=True, kw_only=True)
class BenchmarkFigures(Worth):
    """The benchmark's figures, and the net returns next to them (`trainer.backtest.figures.BenchmarkComparison`)."""

    name: str
    beta: float | None
    correlation: float | None
    tracking_difference: float
    tracking_error: float


@dataclass(frozen=True)
class PeriodFigures:
    """Figures of a year, or of the sessions of one regime."""

    sessions: int
    total_return: float
    annual_sharpe: float | None
    annual_volatility: float
    max_drawdown: float
    benchmark_return: float


@dataclass(frozen=True)
class OneWayTurnover:
    """Half of all that was bought and sold, as a fraction of equity."""

    per_session: float
    annual: float


@dataclass(frozen=True)
class ExposureFigures:
    """Exposure at the close, in fractions of equity."""

    mean_gross: float
    max_gross: float
    mean_long: float
    mean_short: float
    mean_net: float
    max_abs_net: float


@dataclass(frozen=True)
class CostFigures:
    """Costs by name in USD and as a fraction of equity a year; names whose impact or borrow is not known are not charged."""

    usd: Mapping[str, float]
    annual: Mapping[str, float]
    annual_total: float
    dividends_usd: float
    unpriced: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TradingFigures:
    """Results of trading.

    Attributes
    ----------
    skipped : mapping of reason to sessions
    ruined : date or None
        The session after which nothing was left.
    net, paper : Worth
        After every cost, and as the paper account shows it.
    orders : mapping
        `count`, and orders by their last state.
    """

    first: date
    last: date
    sessions: int
    skipped: Mapping[str, int]
    ruined: date | None
    start_equity_usd: Decimal
    end_equity_usd: Decimal
    net: Worth
    paper: Worth
    benchmark: BenchmarkFigures
    turnover: OneWayTurnover
    exposure: ExposureFigures
    costs: CostFigures
    orders: Mapping[str, int]
    fills: int
    by_year: Mapping[str, PeriodFigures]
    by_regime: Mapping[str, PeriodFigures]


@dataclass(frozen=True)
class SharpeCertainty:
    """Probability that the Sharpe ratio is above 0, and that it is so after the run's trials; None where not known."""

    psr: float | None = None
    dsr: float | None = None
    trials: int | None = None


@dataclass(frozen=True)
class ScoreStretch:
    """Trade sessions in a row whose scores have one origin."""

    origin: str
    first: date
    last: date
    sessions: int


@dataclass(frozen=True)
class TradedBundle:
    """The bundle whose scores were traded."""

    sha256: str
    role: str
    refusal: str | None
    signers: tuple[str, ...]
    expiry_sessions: int


@dataclass(frozen=True)
class ScoreSource:
    """Where the scores come from; `run` is a name, `bundle` is None of a run folder, and of several sleeves the first one's.

    `sleeves` has the SHA-256 of the bundle of each of several sleeves.
    """

    run: str
    sleeve: str
    last_training_session: str
    is_trained_on: bool
    bundle: TradedBundle | None = None
    horizon: int = 0
    trained_by: str = ""
    sleeves: Mapping[str, str] | None = absent()


@dataclass(frozen=True)
class SizingEvidence:
    """The IC that the book is sized by; `evidence` is the share of the book that it leaves."""

    mean: float
    t: float
    evidence: float
    book_t: float | None = None


@dataclass(frozen=True, kw_only=True)
class BacktestProvenance(ScoreSource):
    """Scores, data, program and settings of a backtest; `risk` names the bundle whose forecasts scale the book."""

    snapshot_id: str
    dataset: str
    vendor: str
    survivorship: str
    eligibility: str
    settings: str
    fixed_ic: float | None
    ic: SizingEvidence
    seed: int
    code_version: str
    risk: Mapping[str, str] | None = None
    others: Mapping[str, object] = kept()


@dataclass(frozen=True, kw_only=True)
class BacktestFigures(TradingFigures):
    """The whole document."""

    certainty: SharpeCertainty
    scores: tuple[ScoreStretch, ...]
    unknown_returns: int
    left_out: int
    provenance: BacktestProvenance
    warnings: tuple[str, ...] = field(default=())
