"""Dense daily bars [session, symbol], the input of every feature, label and risk figure; returns of held positions.

Prices are in the dataset's own basis and are never compared across sessions; across sessions only `total_return`
and `overnight_return` are used, which curation fixed session by session. A later split therefore cannot change an
earlier feature, and both hosts see the same numbers.

An order for an open at which the name has no bar does not fill. A holding of a name without a bar stays at its last
price and cannot be left; it earns what the name comes back with at its next open. After `EXIT_SESSIONS` sessions
without a bar it counts as left at its last price. With O and C the open and close of a session, G the overnight return
and G* that across a gap, a holding earns from the open of session s to that of s + 1

    a bar in both           C_s / O_s (1 + G_{s+1}) - 1
    a bar in s alone        C_s / O_s - 1                    marked at its last price
    a bar in s + 1 alone    G*_{s+1}
    in neither              0
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from signals.errors import InvariantBroken, NotASession, UnknownSymbol
from signals.market.actions import Action, ActionKind

Floats = NDArray[np.float64]
Days = NDArray[np.datetime64]
Flags = NDArray[np.bool_]

PRICE_FIELDS = ("open", "high", "low", "close")
NO_PANEL = ("sessions", "symbols", "sectors", "has_dollars", "joined")


GAP_FIELDS = ("gap_return", "gap_overnight")
CLASSIFIED = ("sector_code", "shares")  # by a classification table; `Bars.joined` has those that the dataset has


def _not_given() -> NDArray[np.float64]:
    return np.empty((0, 0))


def days_array(days: tuple[date, ...] | list[date]) -> Days:
    """Sessions as a datetime64[D] array."""
    return np.array(days, dtype="datetime64[D]")


FORMER = re.compile(r"@\d{4}-\d{2}-\d{2}$")  # of the name of a column whose symbol another security bears since


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

    @property
    def last_row(self) -> NDArray[np.int64] | None:
        """Last bar of each bar's session, shape (T,), of bars within the day; None where each is a session."""
        return None

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


EXIT_SESSIONS = 20
"""Sessions after a missing exit within which the next open is taken; then the last price."""


@dataclass(frozen=True)
class Payout:
    """One delisting inside a panel: the column, its last bar's row, the effective row, and payout / last close."""

    column: int
    last: int
    effective: int
    payout: float


def departures(bars: Bars, actions: Iterable[Action]) -> Iterator[Payout]:
    """Yield the delistings that take effect inside the panel; other actions are ignored.

    A delisting is of the newest bearer of its symbol whose bars end before it, whoever bears the symbol since (`column_names`).
    A column that trades at or after the effective session belongs to another security and is left alone.
    """
    traded = np.isfinite(bars.close)
    ends = np.where(traded.any(axis=0), len(traded) - 1 - traded[::-1].argmax(axis=0), len(traded)).tolist()
    bearers: dict[str, list[int]] = {}
    for column, name in enumerate(bars.symbols):
        bearers.setdefault(FORMER.sub("", name), []).append(column)
    for action in actions:
        if action.kind is not ActionKind.DELISTING or action.cash is None:
            continue
        effective = int(np.searchsorted(bars.sessions, np.datetime64(action.effective, "D")))
        ended = [column for column in bearers.get(action.symbol, ()) if ends[column] < effective]
        if effective < len(bars.sessions) and ended:
            column = max(ended, key=ends.__getitem__)
            yield Payout(column, ends[column], effective, float(action.cash) / float(bars.close[ends[column], column]))


@dataclass(frozen=True, eq=False)
class Opens:
    """Returns after the features of session t: entry at the open of t + 1, marked at the open of t + 2; (T, N) each.

    Attributes
    ----------
    earned : float64
        Return of a holding between the two opens; NaN in the last two rows and where no return is known.
    fills : bool
        Whether an order for the open of t + 1 fills: the name has a bar there.
    waits : bool
        Whether a holding can be neither left nor enlarged at the open of t + 1.
    """

    earned: Floats
    fills: Flags
    waits: Flags

    def at(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Opens:
        """Return these rows and columns."""
        place = np.ix_(rows, columns)
        return Opens(self.earned[place], self.fills[place], self.waits[place])

    def outcomes(self) -> Floats:
        """Return of an order for the open of t + 1 that leaves at the open of t + 2, or at the next one there is.

        NaN where the order does not fill, and where the way out is not known by the end of the panel.
        """
        found = np.where(self.fills, self.earned, np.nan)
        stuck = self.fills & _ahead(self.waits, 1, False)
        for step in range(1, EXIT_SESSIONS + 2):
            if not stuck.any():
                break
            found = np.where(stuck, (1.0 + found) * (1.0 + _ahead(self.earned, step, np.nan)) - 1.0, found)
            stuck = stuck & _ahead(self.waits, step + 1, False)
        return found


def opens(bars: Bars, payouts: Iterable[Payout] = ()) -> Opens:
    """Return what follows every session of a panel by the table of the module's header.

    Parameters
    ----------
    bars : Bars, shape (T, N)
    payouts : iterable of Payout
        A holding of such a name is cash from the effective session on.
    """
    shape, payouts = bars.close.shape, tuple(payouts)
    earned, waits = np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    has = np.isfinite(bars.close)
    fills = np.zeros(shape, dtype=bool)
    fills[:-1] = has[1:]
    waits[:-1] = _waiting(has, payouts)[1:]
    if shape[0] > 2:
        now, then = has[1:-1], has[2:]
        day = bars.close[1:-1] / bars.open[1:-1]
        both = day * (1.0 + bars.overnight_return[2:]) - 1.0
        back = np.where(then, bars.gap_overnight[2:], 0.0)
        earned[:-2] = np.where(now, np.where(then, both, day - 1.0), back)
        for gone in payouts:
            row, held_since = gone.effective - 2, gone.effective - 1
            if row >= 0:
                marked = day[row, gone.column] if held_since == gone.last else 1.0
                earned[row, gone.column] = marked * gone.payout - 1.0
    return Opens(earned, fills, waits)


def bridged(bars: Bars) -> tuple[Floats, Floats]:
    """Total and overnight return of each bar since the bar before it, however many sessions ago, (T, N) each.

    0 where there is no bar: a holding stays at its last price.
    """
    has = np.isfinite(bars.close)
    return (
        np.where(has, np.where(np.isnan(bars.total_return), bars.gap_return, bars.total_return), 0.0),
        np.where(has, np.where(np.isnan(bars.overnight_return), bars.gap_overnight, bars.overnight_return), 0.0),
    )


def comparable(bars: Bars) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Open, high, low, close and newest close so far on one total-return scale per name."""
    growth = np.nan_to_num(bridged(bars)[0])
    level = np.cumprod(1.0 + growth, axis=0).astype(np.float64)
    close = np.where(np.isfinite(bars.close), level, np.nan)
    return close * bars.open / bars.close, close * bars.high / bars.close, close * bars.low / bars.close, close, level


def unknown_returns(bars: Bars) -> int:
    """How many bars follow an earlier bar of their name and have no return since it."""
    return int(np.count_nonzero(without_return(bars)))


def without_return(bars: Bars) -> Flags:
    """Bars that follow an earlier bar of their name and have no return since it: they cannot be compared with it."""
    has = np.isfinite(bars.close)
    earlier = np.vstack([np.zeros((1, has.shape[1]), dtype=bool), np.logical_or.accumulate(has, axis=0)[:-1]])
    found: Flags = has & earlier & np.isnan(bridged(bars)[0])
    return found


def _waiting(has: Flags, payouts: tuple[Payout, ...]) -> Flags:
    """Whether a name that had a bar has none since, for at most `EXIT_SESSIONS` sessions, and was not paid out."""
    row = np.arange(len(has))[:, None]
    last = np.maximum.accumulate(np.where(has, row, -1), axis=0)
    waits = ~has & (last >= 0) & (row - last <= EXIT_SESSIONS)
    for gone in payouts:
        waits[gone.effective :, gone.column] = False
    found: Flags = waits
    return found


def _ahead(panel: NDArray[Any], step: int, past_the_end: float) -> NDArray[Any]:
    """Row t + `step` at row t."""
    found = np.full(panel.shape, past_the_end, dtype=panel.dtype)
    if step < len(panel):
        found[:-step] = panel[step:]
    return found
