"""A training run as input of a backtest: evidence, dataset, out-of-sample scores and policy."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from execution.config import ExecutionConfig
from execution.exchange.config import ExchangeConfig
from portfolio.config import PortfolioConfig
from portfolio.risk.kelly import SizingCoefficient
from signals.config import load
from signals.market.minute_rows import FOLDER
from trainer.backtest.archive import Archive, open_archive
from trainer.backtest.engine import Backtest, BacktestPolicy, Course, Progress, ScoresOn, VolatilityOn, opened
from trainer.backtest.unseen import RunScores, run_scores
from trainer.runs.evidence import Evidence, read_evidence

CENT = Decimal("0.01")


@dataclass(frozen=True)
class BookSettings:
    """Settings of the book that a person chose.

    Attributes
    ----------
    equity_usd : float
        In the account at the start.
    seed : int
        Of the exchange.
    """

    portfolio: PortfolioConfig
    execution: ExecutionConfig
    equity_usd: float = 1_000_000.0
    seed: int = 0

    def exchange(self, data: Path) -> ExchangeConfig:
        """Settings of the exchange; steps through the day meet the minutes of the dataset `data`, where it has such."""
        minutes = self.execution.entry.is_stepped and (data / FOLDER).is_dir()
        return ExchangeConfig(cash=Decimal(repr(self.equity_usd)).quantize(CENT), minutes=minutes)

    def fingerprint(self) -> str:
        """Hash of everything that can change a figure."""
        book = self.portfolio.fingerprint()[:24] + self.execution.fingerprint()[:24]
        return f"{book}-{self.equity_usd:.2f}-{self.seed}"


@dataclass(frozen=True, eq=False)
class BacktestSubject:
    """A run folder with the very version of the dataset that it was trained on."""

    run: Path
    evidence: Evidence
    archive: Archive

    @property
    def ic(self) -> SizingCoefficient:
        """The walk-forward evidence, by which a device sizes this run's book; it is of the whole range."""
        return self.evidence.sizing(str(self.run))

    def scores(self, name: str) -> RunScores:
        """Stored scores of the run: `walk_forward.parquet`, `oof.parquet` or a file of the same form."""
        until = date.fromisoformat(self.evidence.last_label_session)
        trained = (self.archive.manifest.first, until)
        return run_scores(self.archive, self.evidence.sleeve, self.run / name, trained)

    def policy(self, settings: BookSettings, code_version: str) -> BacktestPolicy:
        """Return the policy that trades this run."""
        return BacktestPolicy(settings.portfolio, settings.execution, self.ic, self.evidence.horizon, code_version)


def subject_of(run: Path, data: Path) -> BacktestSubject:
    """Read a run's evidence and open its dataset.

    Raises
    ------
    FixInput
        No run folder, or the dataset has no version that the run was trained on.
    """
    evidence = read_evidence(run).require("snapshot_id", "sleeve", "horizon", "last_label_session", where=run)
    return BacktestSubject(run, evidence, open_archive(data, evidence.snapshot_id))


def settings_of(configs: Path | None, *, equity_usd: float, fixed_ic: float | None, seed: int = 0) -> BookSettings:
    """Read `portfolio.yml` and `execution.yml` of a folder of settings; the defaults where there is none."""
    portfolio = load(configs / "portfolio.yml", PortfolioConfig) if configs else PortfolioConfig()
    execution = load(configs / "execution.yml", ExecutionConfig) if configs else ExecutionConfig()
    if fixed_ic is not None:
        portfolio = portfolio.model_copy(update={"fixed_ic": fixed_ic})
    return BookSettings(portfolio, execution, equity_usd, seed)


def trade(
    archive: Archive,
    policy: BacktestPolicy,
    settings: BookSettings,
    days: list[date],
    scores_on: ScoresOn,
    step: Progress = lambda day: None,
    volatility_on: VolatilityOn = lambda asof: {},
) -> Course:
    """Run an order-exact backtest of `days` on a fresh account; `volatility_on` has the forecasts of a risk bundle."""
    broker = opened(archive, settings.exchange(archive.folder), settings.seed, days[0])
    return Backtest(archive, broker, policy, volatility_on).run(days, scores_on, step)
