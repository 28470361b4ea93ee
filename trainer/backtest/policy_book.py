"""Returns of the policy's own book on walk-forward scores, from which a device sizes its book.

The book is the device's: `portfolio.build` under its default settings, sized by the walk-forward IC, after spread,
impact and borrow (`trainer.backtest.weights`), before the evidence makes it smaller. No model had seen what it scored,
and no figure here is an average over cross-validation paths, which share their data and know the future.

Figures that are not linear in the returns are taken once, of this one book, with their interval:

    Sharpe ratio S and its 95 % interval     `trainer.backtest.document.sharpe_interval`
    growth(S') = c S S' - c^2 S^2 / 2        of a book that holds c of the Kelly weight of S while S' is true
"""

from dataclasses import fields
from pathlib import Path

import numpy as np

from portfolio.config import PortfolioConfig
from portfolio.risk.kelly import SizingCoefficient, kelly_growth
from signals.market.bars import Floats
from signals.scoring.evidence import PolicyBook
from trainer.backtest.archive import Archive, open_archive
from trainer.backtest.document import annual_sharpe, sharpe_interval
from trainer.backtest.weights import WeightPath, weight_paths
from trainer.samples.source import TrainingBars
from trainer.validation.deciles import SESSIONS_PER_YEAR
from trainer.validation.ic import BLOCK_SESSIONS, Mean, block_mean

EQUITY_USD = 1_000_000.0


def policy_book(data: Path, source: TrainingBars, forward: Floats, ic: Mean, k: int) -> PolicyBook:
    """Trade walk-forward scores by the policy and return the book's figures.

    Parameters
    ----------
    data : Path
        Dataset that `source` was read from.
    forward : float64, shape (T, N)
        On the axes of `source.bars`; NaN where there is none.
    ic : Mean
        Walk-forward: sizes the book. Where it is not positive, or unknown, the book never trades.
    k : int
        Horizon in sessions.
    """
    config = PortfolioConfig()
    net, gross = np.empty(0), np.empty(0)
    if np.isfinite(ic.t) and ic.mean > 0.0 and int(np.isfinite(forward).any(axis=1).sum()) > 1:
        archive = open_archive(data, source.manifest.snapshot_id)
        sized = SizingCoefficient(ic.mean, ic.t, None).before_evidence()
        [book] = weight_paths(archive, _placed(archive, source, forward)[None], config, sized, k, equity_usd=EQUITY_USD)
        net, gross = begun(book)
    return figures_of(net, gross, config.kelly_fraction)


def begun(book: WeightPath) -> tuple[Floats, Floats]:
    """Net returns and gross of a book from its first trade on; empty of one that never traded."""
    if not book.nav.turnover.any():
        return np.empty(0), np.empty(0)
    first = int(np.argmax(book.nav.turnover > 0))
    return book.net[first:], book.gross[first:]


def figures_of(net: Floats, gross: Floats, fraction: float) -> PolicyBook:
    """Figures of a book's net session returns, shape (T,), and gross, by the formulas of the module's header."""
    mean = block_mean(net)
    if not np.isfinite(mean.t):
        nothing = dict.fromkeys({one.name for one in fields(PolicyBook)} - {"sessions", "block_sessions", "gross"}, 0.0)
        held = float(gross.mean()) if len(gross) else 0.0
        return PolicyBook(sessions=len(net), block_sessions=BLOCK_SESSIONS, gross=held, **nothing)
    deviation, sharpe = float(net.std(ddof=1)), annual_sharpe(net)
    low, high = sharpe_interval(net)
    held = fraction * max(sharpe, 0.0)  # of the Kelly weight, at a volatility of 1 a year
    growths = [kelly_growth(held, true, 0.0, 1.0) for true in (sharpe, low, high)]
    return PolicyBook(
        sessions=len(net),
        block_sessions=BLOCK_SESSIONS,
        annual_return=mean.mean * SESSIONS_PER_YEAR,
        annual_volatility=deviation * float(np.sqrt(SESSIONS_PER_YEAR)),
        annual_sharpe=sharpe,
        sharpe_low=low,
        sharpe_high=high,
        t=mean.t,
        gross=float(gross.mean()),
        growth=growths[0],
        growth_low=growths[1],
        growth_high=growths[2],
    )


def _placed(archive: Archive, source: TrainingBars, forward: Floats) -> Floats:
    """Return scores of the source's axes on those of the whole archive."""
    bars = source.bars
    first, last = (day.astype(object) for day in bars.sessions[[0, -1]])
    owner = archive.rows.securities(first, last)
    place = {security: column for column, security in enumerate(archive.securities)}
    columns = np.array([place[owner[name]] for name in bars.symbols], dtype=np.int64)
    values = np.full(archive.whole.close.shape, np.nan)
    values[np.ix_(np.searchsorted(archive.whole.sessions, bars.sessions), columns)] = forward
    return values
