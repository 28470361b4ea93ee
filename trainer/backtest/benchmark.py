"""Benchmarks of a backtest: the equal-weighted universe, a single symbol, or an index read from a file."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from signals.errors import FixInput
from signals.market.bars import Floats
from signals.storage.arrow import days as days_of
from signals.storage.arrow import floats, read_parquet
from signals.text.wording import reason_of
from trainer.backtest.archive import Archive
from trainer.backtest.document import BenchmarkFigures
from trainer.backtest.figures import against_benchmark, worth

UNIVERSE = "equal-weight universe"
FILES = (".csv", ".parquet")
FIX = "Give columns session (YYYY-MM-DD) and close, one row a session"


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Total returns of every session of an archive, shape (T,), without costs; NaN where there is none.

    `is_index` is true of a file's line: it has to cover every session that it is drawn beside.
    """

    name: str
    returns: Floats
    is_index: bool = False

    def require(self, archive: Archive, days: Sequence[date]) -> None:
        """Raise `FixInput` when an index has no return for one of `days`."""
        missing = [day for day in days if self.is_index and np.isnan(self.returns[archive.whole.index(day)])]
        if missing:
            raise FixInput(
                f"the index has no return for {len(missing)} sessions, the first is {missing[0]}",
                where=self.name,
                fix="Give its close in every session of the range, and in the one before",
            )

    def document(self, net: Floats, index: Floats) -> BenchmarkFigures:
        """Figures of its returns `index`, and of net returns next to them, both of shape (T,)."""
        return BenchmarkFigures(name=self.name, **vars(worth(index)), **vars(against_benchmark(net, index)))


def universe(archive: Archive) -> Benchmark:
    """Return the mean of all eligible names, rebalanced every session."""
    return Benchmark(UNIVERSE, archive.index)


def benchmark_of(archive: Archive, named: str) -> Benchmark:
    """Return an index from a file, one symbol as it is named in the last session, or the universe for an empty name.

    Raises
    ------
    FixInput
        The dataset has no such symbol, or the file is not an index.
    """
    if not named:
        return universe(archive)
    if named.endswith(FILES):
        return index_of(archive, Path(named))
    if named not in archive.whole.symbols:
        raise FixInput(
            f"the dataset holds no {named}",
            where="--benchmark",
            fix="Name a symbol of it or a file, or leave the option out for the universe",
        )
    return Benchmark(named, archive.whole.total_return[:, archive.whole.symbols.index(named)])


def index_of(archive: Archive, path: Path) -> Benchmark:
    """Read an index: each session's return is from the close of the very session before.

    Raises
    ------
    FixInput
        It cannot be read, lacks a column, names a session twice, or holds a close that is no price.
    """
    try:
        content = path.read_bytes()
        table = read_parquet(content) if path.suffix == ".parquet" else pa.csv.read_csv(io.BytesIO(content))
        session, close = _columns(table)
    except OSError as error:
        raise FixInput(f"the index cannot be read: {reason_of(error)}", where=str(path), fix=FIX) from None
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise FixInput(f"the index cannot be read ({reason_of(error)})", where=str(path), fix=FIX) from None
    if len(np.unique(session)) < len(session):
        raise FixInput("the index names a session twice", where=str(path), fix=FIX)
    if not bool(np.all(np.isfinite(close) & (close > 0.0))):
        raise FixInput("a close of the index is no price", where=str(path), fix=FIX)
    level = np.full(len(archive.whole.sessions), np.nan)
    _, place, row = np.intersect1d(archive.whole.sessions, session, return_indices=True)
    level[place] = close[row]
    returns = np.concatenate([[np.nan], level[1:] / level[:-1] - 1.0])
    return Benchmark(path.stem, returns, is_index=True)


def _columns(table: pa.Table) -> tuple[Any, Floats]:
    table = table.rename_columns([name.strip().lower() for name in table.column_names])
    session = pc.cast(table.column("session"), pa.date32())
    return days_of(session), floats(pc.cast(table.column("close"), pa.float64()))
