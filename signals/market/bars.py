"""Dense daily bars [session, symbol], the input of every feature, label and risk figure.

Prices are in the dataset's own basis and are never compared across sessions; across sessions only `total_return`
and `overnight_return` are used, which curation fixed session by session. A later split therefore cannot change an
earlier feature, and both hosts see the same numbers.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Self

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken, NotASession, UnknownSymbol

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]

PRICE_FIELDS = ("open", "high", "low", "close")
NO_PANEL = ("sessions", "symbols", "sectors", "has_dollars", "joined")


GAP_FIELDS = ("gap_return", "gap_overnight")
CLASSIFIED = ("sector_code", "shares")  # by a classification table; `Bars.joined` has those that the dataset has


def _not_given() -> NDArray[np.float64]:
    return np.empty((0, 0))


def days_array(days: tuple[date, ...] | list[date]) -> Days:
    """Sessions as a datetime64[D] array."""
    return np.array(days, dtype="datetime64[D]")


def column_names(symbols: list[str], newest: NDArray[np.int64], days: Days) -> list[str]:
    """Give a symbol to its newest bearer; an earlier one is `<symbol>@<its last day>`."""
    owner: dict[str, int] = {}
    for column, symbol in enumerate(symbols):
        if symbol not in owner or newest[column] > newest[owner[symbol]]:
            owner[symbol] = column
    return [symbol if owner[symbol] == column else f"{symbol}@{days[newest[column]]}" for column, symbol in enumerate(symbols)]


@dataclass(frozen=True, eq=False)
class Bars:
    """Dense daily bars, [session, symbol]; NaN where a symbol has no usable bar. Never filled.

    Attributes
    ----------
    sessions : datetime64[D], shape (T,)
        Contiguous exchange sessions, oldest first.
    symbols : tuple of str, length N
        Sorted; a column holds one security's whole history, under the name it bore at the panel's last session.
    open, high, low, close : float64, shape (T, N), price in the dataset's basis (USD)
    volume : float64, shape (T, N), shares in the dataset's basis
    total_return : float64, shape (T, N)
        (close_t + dividend_t, restated for splits) / close_{t-1} - 1. NaN when either session's bar is missing.
    overnight_return : float64, shape (T, N)
        (open_t + dividend_t, restated for splits) / close_{t-1} - 1. NaN when either session's bar is missing.
    eligible : bool, shape (T, N)
        In the universe at that session, by what was known then.
    gap_return, gap_overnight : float64, shape (T, N)
        The same two returns since the last session with a usable bar, where that is not the session before; NaN
        elsewhere, where the gap is longer than `signals.audit.returns.GAP_SESSIONS`, and where they were not given.
    undecided : bool, shape (T, N)
        The return is extreme, and nothing that is known that session says that it is data (`signals.audit.extremes`).
    sectors : tuple of str, length N
        Empty string where unknown.
    has_dollars : bool
        Whether close x volume is the dollars that changed hands: so of raw and of split-adjusted bars, whose volume is
        restated inversely; not of total-return prices, which every later dividend lowers.
    joined : mapping of name to float64, shape (T, N)
        Figures of other datasets, known at the session's close, on the same axes; NaN where there is none.

    Raises
    ------
    InvariantBroken
        Shapes, order or types disagree, a bar is partly NaN, or an eligible name has no bar.
    """

    sessions: Days
    symbols: tuple[str, ...]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    total_return: Floats
    overnight_return: Floats
    eligible: NDArray[np.bool_]
    sectors: tuple[str, ...] = ()
    has_dollars: bool = True
    gap_return: Floats = field(default_factory=_not_given)
    gap_overnight: Floats = field(default_factory=_not_given)
    undecided: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), dtype=bool))
    joined: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.sessions), len(self.symbols))
        for name in GAP_FIELDS:
            if getattr(self, name).shape == (0, 0) != shape:
                object.__setattr__(self, name, np.full(shape, np.nan))
        if self.undecided.shape == (0, 0) != shape:
            object.__setattr__(self, "undecided", np.zeros(shape, dtype=bool))
        for name in (*PRICE_FIELDS, "volume", "total_return", "overnight_return", *GAP_FIELDS, "eligible", "undecided"):
            array = getattr(self, name)
            if array.shape != shape:
                raise InvariantBroken(f"bars.{name} has shape {array.shape}, not {shape}")
            array.setflags(write=False)
        for name, array in self.joined.items():
            if array.shape != shape:
                raise InvariantBroken(f"bars.joined[{name!r}] has shape {array.shape}, not {shape}")
        if list(self.symbols) != sorted(set(self.symbols)):
            raise InvariantBroken("symbols must be sorted and distinct")
        if len(self.sessions) > 1 and not bool(np.all(np.diff(self.sessions) > np.timedelta64(0, "D"))):
            raise InvariantBroken("sessions must increase")
        missing = np.isnan(self.close)
        for name in ("open", "high", "low", "volume"):
            if not np.array_equal(np.isnan(getattr(self, name)), missing):
                raise InvariantBroken(f"bars.{name} is NaN where close is not, or the reverse")
        if bool(np.any(self.eligible & missing)):
            raise InvariantBroken("an eligible name has no bar")
        if self.sectors and len(self.sectors) != len(self.symbols):
            raise InvariantBroken("sectors and symbols differ in length")

    @property
    def asof(self) -> date:
        """The newest session of the panel."""
        day: date = self.sessions[-1].astype(object)
        return day

    def index(self, day: date) -> int:
        """Row of the session `day`."""
        position = int(np.searchsorted(self.sessions, np.datetime64(day, "D")))
        if position == len(self.sessions) or self.sessions[position] != np.datetime64(day, "D"):
            raise NotASession(f"{day} is not a session of these bars", where=f"{self.sessions[0]} to {self.asof}")
        return position

    def column(self, symbol: str) -> int:
        """Column of `symbol`."""
        try:
            return self.symbols.index(symbol)
        except ValueError:
            raise UnknownSymbol(f"{symbol} is not in these bars", fix="Check the spelling and the dataset") from None

    def rows(self, first: int, last: int) -> Self:
        """Return the panel of rows first <= t < last."""
        return self._map(lambda array: array[first:last], sessions=self.sessions[first:last])

    def without(self, days: Collection[date]) -> Self:
        """Return the panel without the sessions `days`; those that it does not hold change nothing."""
        kept = [row for row, day in enumerate(self.sessions.astype(object).tolist()) if day not in days]
        return self._map(lambda array: array[kept], sessions=self.sessions[kept])

    def until(self, day: date, sessions: int | None = None) -> Self:
        """Return the panel that ends at the session `day`, at most `sessions` rows long."""
        last = self.index(day) + 1
        return self.rows(0 if sessions is None else max(0, last - sessions), last)

    def select(self, symbols: tuple[str, ...]) -> Self:
        """Return the panel of `symbols` only; raise `UnknownSymbol` for one that is not here."""
        columns = [self.column(symbol) for symbol in symbols]
        sectors = tuple(self.sectors[c] for c in columns) if self.sectors else ()
        return replace(self._map(lambda array: array[:, columns], symbols=symbols), sectors=sectors)

    def _map(self, view, **axes) -> Self:  # type: ignore[no-untyped-def]  # one array -> one array, over every field
        panels = {field.name: view(getattr(self, field.name)).copy() for field in fields(self) if field.name not in NO_PANEL}
        panels["joined"] = {name: view(array).copy() for name, array in self.joined.items()}
        sectors = () if "symbols" in axes else self.sectors
        kept = {"sessions": self.sessions, "symbols": self.symbols, "has_dollars": self.has_dollars}
        return type(self)(**{**kept, **panels, **axes, "sectors": sectors})
