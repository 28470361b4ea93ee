"""The line that a backtest is set beside: the equal-weight universe, or one symbol held."""

from __future__ import annotations

from dataclasses import dataclass

from signals.bars import Floats
from signals.errors import FixInput
from trainer.backtest.archive import Archive

UNIVERSE = "equal-weight universe"


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Total returns of every session of an archive, shape (T,), without costs; NaN where there is none."""

    name: str
    returns: Floats


def universe(archive: Archive) -> Benchmark:
    """Return the mean of all eligible names, rebalanced every session."""
    return Benchmark(UNIVERSE, archive.index)


def benchmark_of(archive: Archive, symbol: str) -> Benchmark:
    """Return one symbol, as it is named in the last session, or the universe for an empty one.

    Raises
    ------
    FixInput
        The dataset has no such symbol.
    """
    if not symbol:
        return universe(archive)
    if symbol not in archive.whole.symbols:
        raise FixInput(f"the dataset holds no {symbol}", where="--benchmark",
                       mend="Name a symbol of it, or leave the option out for the universe")  # fmt: skip
    return Benchmark(symbol, archive.whole.total_return[:, archive.whole.symbols.index(symbol)])
