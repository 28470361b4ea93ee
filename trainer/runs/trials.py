"""The number of trials behind one book, and the deflated Sharpe ratio, PBO and max-t figures that follow."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainer.runs.chain import ChainAnchor
from trainer.validation.significance.dsr import Hurdle


@dataclass(frozen=True)
class SharedBins:
    """Annual Sharpe ratio of the chosen recipe in bins that trials shared, in bins of each split's own, and the gap."""

    shared: float | None = None
    per_split: float | None = None
    gap: float | None = None


@dataclass(frozen=True)
class SharpeFigures:
    """The book's Sharpe ratio per session and year, its sessions, and the moments of its returns."""

    per_session: float
    annual: float
    sessions: int
    skewness: float
    kurtosis: float


@dataclass(frozen=True)
class Hurdles:
    """Every trial that counts, and the clusters of those that differ."""

    raw: Hurdle
    effective: Hurdle


@dataclass(frozen=True)
class OverfittingFigures:
    """Probability of backtest overfitting, and what takes its place where too few trials differ."""

    value: float | None = None
    applicable: bool = False
    reason: str = ""
    clusters: int = 0
    complete_trials: int = 0
    baselines: tuple[str, ...] = ()
    blocks: int = 0
    splits: int = 0
    dropped_sessions: int = 0
    probability_of_loss: float | None = None
    degradation_slope: float | None = None
    dominates_first: bool = False
    dominates_second: bool = False
    logits: tuple[int, ...] | None = None


@dataclass(frozen=True)
class BestOfAll:
    """The book's t as the largest of all trials' (max-t)."""

    p: float | None = None
    t: float | None = None
    critical_t: float | None = None
    trials: int = 0
    blind: int = 0
    block_sessions: int = 0
    draws: int = 0


@dataclass(frozen=True)
class Trials:
    """Figures of a book over every trial on record; without a Sharpe ratio to judge, all behind `sharpe` are None."""

    n_trials: int | None = None
    states: Mapping[str, int] = field(default_factory=dict)
    blind: int = 0
    retrained: int = 0
    bins: SharedBins | None = None
    sharpe: SharpeFigures | None = None
    variance_of_sharpes: float | None = None
    hurdles: Hurdles | None = None
    benchmark_sharpe: float | None = None
    psr: float | None = None
    dsr: float | None = None
    dsr_2025: float | None = None
    min_trl_sessions: float | None = None
    min_btl_years: float | None = None
    min_btl_bound_years: float | None = None
    years: float | None = None
    pbo: OverfittingFigures | None = None
    max_t: BestOfAll | None = None

    @property
    def known_hurdles(self) -> tuple[Hurdle, ...]:
        """Both hurdles; of an older document the raw one alone, empty where there is none."""
        if self.hurdles is not None:
            return self.hurdles.raw, self.hurdles.effective
        if self.n_trials is None or self.variance_of_sharpes is None:
            return ()
        return (Hurdle(self.n_trials, self.variance_of_sharpes),)


@dataclass(frozen=True)
class SearchFigures:
    """Findings of a search by a task's own metric, of which no Sharpe ratio is taken.

    Attributes
    ----------
    metric, study, trial : str
        What was maximised, and the trial that was chosen.
    value, configured : float
        Mean by session, of the chosen trial and of the recipe as configured.
    gain, low, p : float or None
        Their difference in pairs, by session; its lower 95 % bound and p-value as the largest of all trials' (max-t).
        None where the chosen trial scores as the recipe does; the bound and p also on fewer than 60 sessions.
    """

    metric: str = ""
    study: str = ""
    trial: str = ""
    n_trials: int = 0
    states: Mapping[str, int] = field(default_factory=dict)
    blind: int = 0
    value: float | None = None
    configured: float | None = None
    gain: float | None = None
    low: float | None = None
    p: float | None = None
    pbo: OverfittingFigures = OverfittingFigures()

    @property
    def is_better(self) -> bool:
        """Whether the chosen trial is shown to be better than the recipe as configured, for all that was tried."""
        return self.low is not None and self.low > 0.0


@dataclass(frozen=True)
class EvidenceTrials(Trials):
    """The figures with their place on record: study, trial, the trial that was trained again, and the record's end."""

    study: str | None = None
    trial: str | None = None
    lineage: str | None = None
    chain: ChainAnchor | None = None
