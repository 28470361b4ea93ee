"""The figures of a backtest as a frozen document, `backtest.json`; money in USD, fractions of equity otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from execution.yardstick import levels
from signals.errors import TooLittleHistory
from signals.indicators.regimes import Regime, regimes
from signals.market.bars import Floats
from signals.text.documents import absent, kept
from trainer.validation.deciles import SESSIONS_PER_YEAR
from trainer.validation.ic import NORMAL_975, block_mean
from trainer.validation.significance.dsr import sharpe_moments


@dataclass(frozen=True)
class Worth:
    """Figures of a series of net session returns; fractions, `sharpe` per session, the others annual.

    Attributes
    ----------
    sessions : int
        T.
    annual_return : float
        -1 of a book that was ruined.
    annual_sharpe, sharpe, skewness, kurtosis : float
        None where returns do not vary, and of a book that was ruined: what it earned before does not offset that.
    max_drawdown : float
        1 or more of a book that was ruined.
    is_ruined : bool
        Whether nothing, or less, was left after a session.
    """

    sessions: int
    total_return: float
    annual_return: float
    annual_volatility: float
    annual_sharpe: float | None
    sharpe: float | None
    skewness: float | None
    kurtosis: float | None
    max_drawdown: float
    is_ruined: bool = False


def worth(net: Floats) -> Worth:
    """Figures of net session returns, shape (T,), no NaN.

    Raises
    ------
    TooLittleHistory
        Fewer than two sessions.
    """
    if len(net) < 2:
        raise TooLittleHistory(f"{len(net)} sessions of returns", fix="Backtest a longer range")
    is_over, total = is_ruined(net), float(levels(net)[-1]) - 1.0
    annual = -1.0 if is_over else (1.0 + total) ** (SESSIONS_PER_YEAR / len(net)) - 1.0
    deviation = float(net.std(ddof=1))
    moments = sharpe_moments(net) if deviation > 0.0 and not is_over else None
    scale = float(np.sqrt(SESSIONS_PER_YEAR))
    return Worth(
        sessions=len(net),
        total_return=total,
        annual_return=annual,
        annual_volatility=deviation * scale,
        annual_sharpe=moments.sharpe * scale if moments else None,
        sharpe=moments.sharpe if moments else None,
        skewness=moments.skewness if moments else None,
        kurtosis=moments.kurtosis if moments else None,
        max_drawdown=float(drawdown(net).max()),
        is_ruined=is_over,
    )


def is_ruined(net: Floats) -> bool:
    """Whether these returns leave nothing, or less, after one of the sessions."""
    return bool((1.0 + net <= 0.0).any())


@dataclass(frozen=True)
class BenchmarkComparison:
    """Net returns next to those of a benchmark.

    Attributes
    ----------
    beta : float or None
        cov(net, index) / var(index); None of a benchmark that does not vary.
    tracking_difference : float
        Annual net return less the benchmark's.
    tracking_error : float
        Annual standard deviation of the sessions' differences.
    """

    beta: float | None
    correlation: float | None
    tracking_difference: float
    tracking_error: float


def against_benchmark(net: Floats, index: Floats) -> BenchmarkComparison:
    """Compare returns of the same sessions, both of shape (T,), no NaN, two sessions at least."""
    covariance = np.cov(net, index, ddof=1)
    varies = bool(covariance[1, 1] > 0.0)
    both = varies and bool(covariance[0, 0] > 0.0)
    return BenchmarkComparison(
        beta=float(covariance[0, 1] / covariance[1, 1]) if varies else None,
        correlation=float(np.corrcoef(net, index)[0, 1]) if both else None,
        tracking_difference=worth(net).annual_return - worth(index).annual_return,
        tracking_error=float((net - index).std(ddof=1) * np.sqrt(SESSIONS_PER_YEAR)),
    )


def drawdown(net: Floats) -> Floats:
    """Fall below the highest value so far, start included; fraction, shape (T,), not negative."""
    level = np.concatenate([[1.0], levels(net)])
    return (1.0 - level / np.maximum.accumulate(level))[1:]


def annual_sharpe(net: Floats) -> float:
    """Annualised Sharpe ratio, ddof 1; 0 for returns that do not vary: a book that never moved earns no credit."""
    deviation = float(net.std(ddof=1)) if len(net) > 1 else 0.0
    return float(net.mean() / deviation * np.sqrt(SESSIONS_PER_YEAR)) if deviation > 0.0 else 0.0


def sharpe_interval(net: Floats) -> tuple[float, float]:
    """Ends of the annualised Sharpe ratio's 95 % interval; a book that never moved has the interval 0 to 0.

    Its variance is 252 (SE / sd)^2 + S^2 / (2 T), SE the block bootstrap's error of the mean: for independent returns
    that of Lo 2002, "The statistics of Sharpe ratios".
    """
    mean, sharpe = block_mean(net), annual_sharpe(net)
    if not mean.standard_error > 0.0:
        return sharpe, sharpe
    of_mean = SESSIONS_PER_YEAR * (mean.standard_error / float(net.std(ddof=1))) ** 2
    half = NORMAL_975 * float(np.sqrt(of_mean + sharpe**2 / (2 * len(net))))
    return sharpe - half, sharpe + half


def regimes_before(index: Floats) -> NDArray[np.str_]:
    """Regime of every session as it was known at the close before it (`signals.indicators.regimes`).

    Parameters
    ----------
    index : float64, shape (T,)
        Returns of the market; NaN counts as none.

    Returns
    -------
    str, shape (T,)
        Values of `Regime`; the first session's is UNKNOWN.
    """
    known = regimes(index)
    found = np.full(len(known), Regime.UNKNOWN.value, dtype=known.dtype)
    found[1:] = known[:-1]
    return found


@dataclass(frozen=True, kw_only=True)
class BenchmarkFigures(Worth):
    """The benchmark's figures, and the net returns next to them (`trainer.backtest.document.BenchmarkComparison`)."""

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
