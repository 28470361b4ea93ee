"""The price history that features are computed from: arrays that several of them share, derived once from a panel of bars.

`FeatureInputs.of(bars)` is every session of a panel, `FeatureInputs.newest(...)` the last session only. Growth and the counts of
valid observations are kept for every feature; of the other folds the one asked for last, so that features of one fold
cost little when they stand together in a table, and little memory whatever their order. Features receive a `FeatureInputs`
and return float64 of shape (`rows`, N).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from signals.features.windows import Fold, Observations, S, level_moments, peaks, price_moments, products
from signals.market.bars import CLASSIFIED, Bars, Days, Floats

RETURN_LIMIT = 0.5
"""Largest one-session return that enters, either way. Beyond it lies an event (a reorganisation, an unrecorded split,
a squeeze) that says nothing of the next sessions, while its square alone outweighs the window: one real bar of
+25,733 % lifts the forecast volatility of a neutral book of 379 names from 4 % to 136 % a year while it stays in."""


def limited(returns: Floats) -> Floats:
    """`returns` within +-`RETURN_LIMIT`; NaN stays."""
    return np.clip(returns, -RETURN_LIMIT, RETURN_LIMIT)


CHUNK_SESSIONS = 64


def market_return(total_return: Floats, eligible: NDArray[np.bool_]) -> Floats:
    """Mean total return of the names that are eligible and have one, m_t = sum_i r_{t,i} / n_t.

    Parameters
    ----------
    total_return : float64, shape (T, N)
    eligible : bool, shape (T, N)

    Returns
    -------
    float64, shape (T,)
        NaN where no eligible name has a return. Equal to the bit whatever the order of the symbols and however many
        ineligible ones are among them: each session is added up from its smallest return to its largest.
    """
    market = np.full(len(total_return), np.nan)
    for first in range(0, len(total_return), CHUNK_SESSIONS):
        chunk = slice(first, first + CHUNK_SESSIONS)
        counted = eligible[chunk] & np.isfinite(total_return[chunk])
        names = np.count_nonzero(counted, axis=1)
        running = np.cumsum(np.sort(np.where(counted, total_return[chunk], np.nan), axis=1), axis=1)
        some = np.flatnonzero(names)
        market[first + some] = running[some, names[some] - 1] / names[some]
    return market


def sector_return(total_return: Floats, eligible: NDArray[np.bool_], code: Floats) -> Floats:
    """Mean total return of the eligible names that are in each name's sector at the session, itself included.

    Parameters
    ----------
    total_return : float64, shape (T, N)
    eligible : bool, shape (T, N)
    code : float64, shape (T, N)
        Number of the sector as known at the session; NaN where unknown.

    Returns
    -------
    float64, shape (T, N)
        NaN without a sector, and where no eligible name of it has a return. Equal to the bit as in `market_return`.
    """
    found = np.full(total_return.shape, np.nan)
    for first in range(0, len(total_return), CHUNK_SESSIONS):
        chunk = slice(first, first + CHUNK_SESSIONS)
        session, column = np.nonzero(np.isfinite(code[chunk]))
        if not session.size:
            continue
        codes, own = np.unique(code[chunk][session, column], return_inverse=True)
        sector = session * len(codes) + own
        returns = total_return[chunk][session, column]
        counted = np.flatnonzero(eligible[chunk][session, column] & np.isfinite(returns))
        rising = counted[np.lexsort((returns[counted], sector[counted]))]
        total = np.bincount(sector[rising], returns[rising], sector.max() + 1)
        names = np.bincount(sector[rising], minlength=len(total))
        mean = total / np.where(names > 0, names, np.nan)
        found[first + session, column] = mean[sector]
    return found


SECTOR_RETURN = "sector_return"
PANELS = ("close", "volume", "total_return", "overnight_return", "market")


@dataclass(frozen=True, eq=False)
class FeatureInputs:
    """Columns of a panel of bars.

    Attributes
    ----------
    sessions : datetime64[D], shape (T,), or (1,) where only the newest session is wanted
        At which features are wanted.
    close, volume, total_return, overnight_return : float64, shape (T, N)
        As in `Bars`.
    market : float64, shape (T,)
        Equal-weight total return of the eligible universe; NaN where none is eligible.
    has_dollars : bool
        Whether close x volume is what was paid on the day; not so of prices that dividends have lowered since.
    newest_only : bool
        Features are wanted at the last session only.
    joined : mapping of name to float64, shape (T, N)
        As in `Bars`, and the return of each name's sector where it holds sectors.
    """

    sessions: Days
    close: Floats
    volume: Floats
    total_return: Floats
    overnight_return: Floats
    market: Floats
    has_dollars: bool = True
    newest_only: bool = False
    joined: Mapping[str, Floats] = field(default_factory=dict)
    _kept: dict[str, Fold[np.float64]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, bars: Bars) -> Self:
        """Every session and symbol of `bars`."""
        market = market_return(bars.total_return, bars.eligible)
        panels = (bars.close, bars.volume, bars.total_return, bars.overnight_return)
        return cls(bars.sessions, *panels, market, has_dollars=bars.has_dollars, joined=_joined(bars))

    @classmethod
    def newest(cls, bars: Bars, asof: date, lookback_sessions: int, market_sessions: int) -> Self:
        """The session `asof` only; no row after it, and none before its look-back, is read.

        The market is known at the last `market_sessions` only. Sessions that `bars` does not reach back to count as
        missing.
        """
        last = bars.index(asof) + 1
        kept = slice(max(0, last - lookback_sessions), last)
        absent = lookback_sessions - (last - kept.start)

        def padded(panel: Floats) -> Floats:
            return panel if absent == 0 else np.vstack([np.full((absent, panel.shape[1]), np.nan), panel])

        def rows(panel: Floats) -> Floats:
            return padded(panel[kept])

        recent = slice(max(kept.start, last - market_sessions), last)
        market = np.full(lookback_sessions, np.nan)
        market[lookback_sessions - (last - recent.start) :] = market_return(bars.total_return[recent], bars.eligible[recent])
        return cls(
            sessions=bars.sessions[last - 1 : last],
            close=rows(bars.close),
            volume=rows(bars.volume),
            total_return=rows(bars.total_return),
            overnight_return=rows(bars.overnight_return),
            market=market,
            has_dollars=bars.has_dollars,
            newest_only=True,
            joined={name: padded(panel) for name, panel in _joined(bars, kept).items()},
        )

    def columns(self, first: int, last: int) -> Self:
        """Return the history of the columns first <= n < last, contiguous in memory."""

        def cut(panel: Floats) -> Floats:
            return np.ascontiguousarray(panel[:, first:last])

        return replace(
            self,
            close=cut(self.close),
            volume=cut(self.volume),
            total_return=cut(self.total_return),
            overnight_return=cut(self.overnight_return),
            joined={name: cut(panel) for name, panel in self.joined.items()},
        )

    def current(self, panel: NDArray[S]) -> NDArray[S]:
        """Rows of `panel` at which features are wanted."""
        return panel[-1:] if self.newest_only else panel

    def ago(self, sessions: int, formula: Callable[[Self], Floats]) -> Floats:
        """Values of `formula` as they stood `sessions` earlier; NaN where that is before the first row."""
        if self.newest_only:
            earlier = {name: getattr(self, name)[:-sessions] for name in PANELS}
            return formula(replace(self, **earlier))
        values = formula(self)
        past = np.full_like(values, np.nan)
        past[sessions:] = values[:-sessions]
        return past

    @cached_property
    def has_bar(self) -> NDArray[np.bool_]:
        """Which names have a bar at the sessions wanted."""
        return np.isfinite(self.current(self.close))

    @cached_property
    def returns(self) -> Observations:
        """Which total returns are valid."""
        return Observations(np.isfinite(self.total_return), newest_only=self.newest_only)

    def _latest(self, name: str, make: Callable[[], Fold[np.float64]]) -> Fold[np.float64]:
        """Fold `name`, made unless it was the last one asked for: the others' arrays are let go."""
        if name not in self._kept:
            self._kept.clear()
            self._kept[name] = make()
        return self._kept[name]

    @property
    def return_moments(self) -> Fold[np.float64]:
        """(mean r, M2 r, mean m, M2 m, C) of the total returns r and the market's m at the same sessions."""
        market = np.nan_to_num(self.market, posinf=0.0, neginf=0.0)[:, None]
        return self._latest("return_moments", lambda: self.returns.joint_moments(self.total_return, market))

    def where_current(self, values: Floats) -> Floats:
        """`values` where the session itself has a total return: a feature about today's level needs today's level."""
        return np.where(self.current(self.returns.valid), values, np.nan)

    def policed_by_market(self, values: Floats, sessions: int) -> Floats:
        """`values` by the NaN policy of returns, and NaN where the window uses a session without a market."""
        values = self.returns.policed(values, sessions)
        unknown = self.returns.valid & ~np.isfinite(self.market)[:, None]
        if not unknown.any():
            return values
        return np.where(Observations(unknown, newest_only=self.newest_only).count(sessions) == 0, values, np.nan)

    @property
    def squares(self) -> Fold[np.float64]:
        """Sum of the squared total returns, each return limited to +-50 %."""
        return self._latest("squares", lambda: self.returns.sums(limited(self.total_return) ** 2))

    @property
    def loss_squares(self) -> Fold[np.float64]:
        """Sum of the squared losses, each limited to 50 %."""
        return self._latest("loss_squares", lambda: self.returns.sums(limited(np.minimum(self.total_return, 0.0)) ** 2))

    @cached_property
    def growth(self) -> Fold[np.float64]:
        """Compounded growth of a dollar over the valid total returns."""
        return products(self.returns, 1.0 + self.total_return)

    @property
    def price_moments(self) -> Fold[np.float64]:
        """(mean, M2) of the price relative inside the window."""
        return self._latest("price_moments", lambda: price_moments(self.returns, self.growth))

    @property
    def peaks(self) -> Fold[np.float64]:
        """Highest price relative inside the window."""
        return self._latest("peaks", lambda: peaks(self.returns, self.growth))

    @property
    def level_moments(self) -> Fold[np.float64]:
        """(sum, mean, M2) of the log price level inside the window."""
        return self._latest("levels", lambda: level_moments(self.returns, np.log(1.0 + self.total_return)))

    @cached_property
    def overnight(self) -> Observations:
        """Which overnight returns are valid; the same object as `returns` where they agree, to share its windows."""
        valid = np.isfinite(self.overnight_return)
        agrees = np.array_equal(valid, self.returns.valid)
        return self.returns if agrees else Observations(valid, newest_only=self.newest_only)

    @property
    def overnight_moments(self) -> Fold[np.float64]:
        """(mean, M2) of the overnight returns."""
        return self._latest("overnight", lambda: self.overnight.moments(self.overnight_return))

    @cached_property
    def traded(self) -> Observations:
        """Which sessions have a bar."""
        return Observations(np.isfinite(self.close), newest_only=self.newest_only)

    @property
    def dollar_volume(self) -> Fold[np.float64]:
        """Sum of close x volume, USD; NaN where prices do not hold the dollars that were paid."""
        scale = 1.0 if self.has_dollars else np.nan
        return self._latest("dollar_volume", lambda: self.traded.sums(self.close * self.volume * scale))


def _joined(bars: Bars, kept: slice = slice(None)) -> dict[str, Floats]:
    """Figures of other datasets at the rows `kept`, and the return of each name's sector where they hold sectors."""
    found = {name: panel[kept] for name, panel in bars.joined.items()}
    if (sector := CLASSIFIED[0]) in found:
        found[SECTOR_RETURN] = sector_return(bars.total_return[kept], bars.eligible[kept], found[sector])
    return found


def joined(history: FeatureInputs, name: str) -> Floats:
    """Return the figure `name` of every session and name; NaN where there is none."""
    return history.current(history.joined[name])
