"""Listings, delistings and symbol changes of a generated market."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

LATE_LISTING_SHARE = 0.08
DELISTING_SHARE = 0.07
RENAMING_SHARE = 0.03
SHORTEST_LIFE_SESSIONS = 60
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, eq=False)
class Lives:
    """Sessions on which each security exists, as rows of the market's session axis; arrays of shape (N,).

    Attributes
    ----------
    listed : int64
        First row with a bar.
    gone : int64
        First row without one; the number of sessions where the security survives.
    renamed : int64
        First row under the second symbol; the number of sessions where it keeps its first.
    symbol, later_symbol : tuple of str, length N
    """

    listed: NDArray[np.int64]
    gone: NDArray[np.int64]
    renamed: NDArray[np.int64]
    symbol: tuple[str, ...]
    later_symbol: tuple[str, ...]

    def alive(self, sessions: int) -> NDArray[np.bool_]:
        """Whether each security has a bar at each session, bool (T, N)."""
        rows = np.arange(sessions)[:, None]
        return (rows >= self.listed) & (rows < self.gone)


def draw_lives(rng: Generator, sessions: int, stocks: int, etfs: int) -> Lives:
    """Draw listings, delistings and renamings of the stocks; ETFs live throughout.

    At least one of each where there are stocks and sessions enough, so that even a small market has every kind.
    """
    count = stocks + etfs
    listed = np.zeros(count, dtype=np.int64)
    gone, renamed = np.full(count, sessions, dtype=np.int64), np.full(count, sessions, dtype=np.int64)
    order = rng.permutation(stocks)
    sizes = [max(1, round(stocks * share)) for share in (LATE_LISTING_SHARE, DELISTING_SHARE, RENAMING_SHARE)]
    late, dying, changing = np.split(order, np.cumsum(sizes))[:3]
    inner = (SHORTEST_LIFE_SESSIONS, max(SHORTEST_LIFE_SESSIONS + 1, sessions - SHORTEST_LIFE_SESSIONS))
    draws = [rng.integers(*inner, len(group)) for group in (late, dying, changing)]
    if sessions > 2 * SHORTEST_LIFE_SESSIONS:
        listed[late], gone[dying], renamed[changing] = draws
    names = _names(rng, 2 * count)
    return Lives(listed, gone, renamed, names[:count], names[count:])


def _names(rng: Generator, count: int) -> tuple[str, ...]:
    """Distinct invented symbols: four letters, the first a G for generated."""
    codes = rng.choice(26**3, size=count, replace=False)
    return tuple(f"G{LETTERS[c // 676]}{LETTERS[c // 26 % 26]}{LETTERS[c % 26]}" for c in codes)
