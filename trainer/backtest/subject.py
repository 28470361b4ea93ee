"""A training run as input of a backtest: evidence, dataset, out-of-sample scores and policy.

Its stored scores are out of sample: walk-forward and out-of-fold.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from execution.config import ExecutionConfig
from execution.exchange.config import ExchangeConfig
from portfolio.config import PortfolioConfig
from portfolio.risk.kelly import SizingCoefficient
from signals.config import load
from signals.errors import FixInput
from signals.files import sha256_of
from signals.market.bars import Floats
from signals.market.dataset import FOLDER
from signals.scoring.scores import Scores
from signals.storage.arrow import codes, floats, read_parquet
from signals.storage.arrow import days as days_of
from signals.text.wording import reason_of
from trainer.backtest.archive import Archive, open_archive
from trainer.backtest.engine import Backtest, BacktestPolicy, Course, Progress, ScoresOn, VolatilityOn, opened
from trainer.runs.evidence import Evidence, read_evidence

WALK_FORWARD, OUT_OF_FOLD = "walk_forward.parquet", "oof.parquet"


@dataclass(frozen=True, eq=False)
class RunScores:
    """A run's stored scores on the panel of its dataset.

    Attributes
    ----------
    values : float64, shape (P, T, N)
        P = 1 walking forward, one a path out of fold; NaN where a name was not scored.
    labels : float64, shape (T, N)
    source : str
        SHA-256 of the file.
    """

    archive: Archive
    sleeve: str
    values: Floats
    labels: Floats
    source: str

    @property
    def sessions(self) -> tuple[date, ...]:
        """The scored sessions, oldest first."""
        scored = np.isfinite(self.values).any(axis=(0, 2))
        return tuple(self.archive.whole.sessions[scored].astype(object).tolist())

    def on(self, asof: date) -> Scores | None:
        """Return the scores of `asof` under the names of `asof`, the mean over paths; None where there are none."""
        return named(self.archive, self.sleeve, asof, self.values[:, self.archive.whole.index(asof)], self.source)


def named(archive: Archive, sleeve: str, asof: date, values: Floats, source: str) -> Scores | None:
    """Scores, shape (P, N) on the whole panel's columns, under the names of `asof`."""
    then = archive.rows.symbols_on(asof)
    whole = archive.securities
    scored = np.flatnonzero(np.isfinite(values).all(axis=0))
    pairs = sorted((then[whole[column]], column) for column in scored.tolist() if whole[column] in then)
    if not pairs:
        return None
    mean = values[:, [column for _, column in pairs]].mean(axis=0)
    return Scores(asof, sleeve, tuple(symbol for symbol, _ in pairs), mean, source)


def run_scores(archive: Archive, sleeve: str, path: Path, trained: tuple[date, date]) -> RunScores:
    """Read the scores that a run stored.

    Parameters
    ----------
    archive : Archive
        The very version of the dataset that the run was trained on.
    path : Path
        `walk_forward.parquet` or `oof.parquet` of a run folder.
    trained : (date, date)
        First and last session of the bars that the training read: names are those of the last one.

    Raises
    ------
    FixInput
        The file cannot be read, or names what the dataset does not hold.
    """
    content = file_of_run(path)
    try:
        table = read_parquet(content)
        session, symbol = days_of(table.column("session")), codes(table.column("symbol"))
        score_, label = _plain(table, "score"), _plain(table, "label")
        layer = pc.cast(table.column("path"), pa.int64()).to_numpy() if "path" in table.column_names else None
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise FixInput(f"the scores cannot be read ({reason_of(error)})", where=str(path), fix="Train again") from None
    owner = archive.rows.securities(*trained)
    place = {security: column for column, security in enumerate(archive.securities)}
    strangers = [name for name in symbol[1] if name not in owner]
    if strangers:
        raise FixInput(f"the dataset holds no {strangers[0]}", where=str(path), fix="Name the run's own dataset")
    column = np.array([place[owner[name]] for name in symbol[1]], dtype=np.int64)[symbol[0]]
    row = np.searchsorted(archive.whole.sessions, session)
    paths = np.zeros(len(session), dtype=np.int64) if layer is None else layer
    shape = archive.whole.close.shape
    values, labels = np.full((int(paths.max()) + 1, *shape), np.nan), np.full(shape, np.nan)
    values[paths, row, column] = score_
    labels[row, column] = label
    return RunScores(archive, sleeve, values, labels, sha256_of(content))


def _plain(table: pa.Table, name: str) -> Floats:
    return floats(pc.cast(table.column(name), pa.float64()))


def file_of_run(path: Path) -> bytes:
    """Read a file of a run folder; raise `FixInput` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FixInput(
            f"{path.name} cannot be read: {reason_of(error)}", where=str(path.parent), fix="Name a run folder made by `trainer train`"
        ) from None


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
