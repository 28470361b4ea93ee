"""Market data of the exchange, readable only up to the current instant.

Invariants
----------
1. The open of a session is known from its open on; its close, high, low and volume from its close on.
2. A corporate action changes a level from 04:00 New York of its effective session on, never earlier.
3. A price is restated for splits between its session and `now` on raw bars only: other bases already are.

Only the matching engine may ask whether a name will trade in the session that has just opened (`trades_on`): a venue
knows whether it crossed an order.

A session that was struck from the calendar (`closed_on`) neither opens nor closes and has no bar; its business day
still begins at 04:00, so that corporate actions happen once, on their day.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import numpy as np

from execution.exchange.market.minutes import MinuteBar, MinuteMarket
from execution.orders import to_price
from signals.errors import BadBars, BadDataset, InvariantBroken, NotASession
from signals.market.actions import Action, ActionKind
from signals.market.bars import FORMER, Bars
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import Calendar, Session
from signals.text.wording import utc_words


@dataclass(frozen=True)
class Tenure:
    """One column bore `symbol` in the half-open interval [first, until)."""

    column: int
    symbol: str
    first: date
    until: date


def tenures(symbols: tuple[str, ...], spans: tuple[tuple[date, date] | None, ...], actions: tuple[Action, ...]) -> list[Tenure]:
    """Trace every column's names back from the one it bears at the panel's end.

    Parameters
    ----------
    symbols : tuple of str
        The columns' names at the panel's end; of a symbol that another security bears since, `<symbol>@<its last day>`.
    spans : tuple of (date, date) or None
        Sessions of each column's first and last bar; a column without any was never listed.
    actions : tuple of Action
        Of any kind; symbol changes are read, delistings end a tenure on their effective session.
    """
    changes = [action for action in actions if action.kind is ActionKind.SYMBOL_CHANGE]
    ends = [(action.symbol, action.effective) for action in actions if action.kind is ActionKind.DELISTING]
    rows, bore = list[Tenure](), [FORMER.sub("", symbol) for symbol in symbols]
    for column, (name, span) in enumerate(zip(bore, spans, strict=True)):
        if span is None:
            continue
        first, last = span
        alive = last if bore.count(name) > 1 else first  # of several bearers each ended after its own bars
        until = min((day for gone, day in ends if gone == name and day > alive), default=date.max)
        while True:
            earlier = [c for c in changes if c.new_symbol == name and first < c.effective < until]
            if not earlier:
                break
            change = max(earlier, key=lambda c: c.effective)
            rows.append(Tenure(column, name, change.effective, until))
            name, until = change.symbol, change.effective
        rows.append(Tenure(column, name, first, until))
    return rows


def directory(rows: list[Tenure], day: date) -> dict[str, int]:
    """Symbol -> column on `day`; of two claims the younger listing wins, as symbols are reused."""
    held = sorted((row for row in rows if row.first <= day < row.until), key=lambda row: row.first)
    return {row.symbol: row.column for row in held}


USUAL_SESSIONS = 20
ACTIONS_AT = time(4, 0)  # New York; every action of a session is done well before 08:00


@dataclass(frozen=True)
class DayBar:
    """One closed daily bar as Decimals; USD and shares in the dataset's basis."""

    day: date
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


def minutes_beside(folder: Path, daily: Manifest) -> MinuteMarket:
    """Open the minutes that lie in the folder of the daily bars.

    Raises
    ------
    BadDataset
        There are none, or they are of another calendar or basis.
    """
    from signals.market.dataset import FOLDER, MinuteRows

    rows = MinuteRows.of(folder / FOLDER)
    ours, theirs = ((one.calendar.name, one.basis.value) for one in (daily, rows.manifest))
    if ours != theirs:
        raise BadDataset(
            f"minutes of {' '.join(theirs)} beside daily bars of {' '.join(ours)}", where=str(folder / FOLDER), fix="Ingest them alike"
        )
    return MinuteMarket(rows)


class MarketData:
    """Bars, actions and the calendar, read only through an instant.

    Parameters
    ----------
    calendar : Calendar
        As it was scheduled.
    closures : frozenset of date
        Sessions of `calendar` on which the exchange does not open.
    minutes : MinuteMarket, optional
        Minute bars of the same names and basis: within a session those of them that it has are what is known.
    """

    def __init__(
        self,
        bars: Bars,
        calendar: Calendar,
        actions: Iterable[Action] = (),
        *,
        basis: PriceBasis = PriceBasis.RAW,
        closures: frozenset[date] = frozenset(),
        minutes: MinuteMarket | None = None,
    ) -> None:
        self.scheduled, self.closures, self.basis, self.minutes = calendar, closures, PriceBasis(basis), minutes
        self._starts = [session.at(ACTIONS_AT) for session in calendar.sessions]
        if closures:
            calendar = Calendar(calendar.name, tuple(s for s in calendar.sessions if s.day not in closures))
            bars = bars.without(closures)
        self.calendar = calendar
        self.actions = tuple(sorted(actions, key=lambda a: (a.effective, a.symbol, a.kind)))
        self._bars = bars
        days: list[date] = bars.sessions.astype(object).tolist()
        strangers = [day for day in days if not calendar.is_session(day)]
        if strangers:
            raise BadBars("bars on a day that is no session of the calendar", where=str(strangers[0]))
        self._days = days
        self._row = {day: row for row, day in enumerate(days)}
        self._opens = [calendar.session(day).open for day in days]
        self._closes = [calendar.session(day).close for day in days]
        self._session_opens = [session.open for session in calendar.sessions]
        self._session_closes = [session.close for session in calendar.sessions]
        present = ~np.isnan(bars.close)
        rows = np.arange(len(days), dtype=np.int32)[:, None]
        self._last_valid = np.maximum.accumulate(np.where(present, rows, -1), axis=0)
        ends = (
            (int(np.argmax(present[:, c])), int(self._last_valid[-1, c])) if present[:, c].any() else None for c in range(present.shape[1])
        )
        self._tenures = tenures(bars.symbols, tuple(end and (days[end[0]], days[end[1]]) for end in ends), self.actions)
        self._directory: tuple[date, dict[str, int]] = (date.min, {})
        self._epoch = (-2, -2, date.min, -1)
        self._usual: tuple[date, dict[str, tuple[float, float]]] = (date.min, {})
        self._last_prices: dict[str, Decimal | None] = {}
        self._splits = self._splits_by_column()

    @classmethod
    def from_dataset(cls, folder: Path, *, minutes: bool = False) -> MarketData:
        """Read the whole current version of a curated dataset, with the minutes beside it where they are asked for."""
        from signals.market.dataset import load_actions, load_bars, read_manifest

        manifest = read_manifest(folder)
        bars = load_bars(folder, manifest, manifest.first, manifest.last)
        within = minutes_beside(folder, manifest) if minutes else None
        return cls(bars, manifest.calendar, load_actions(folder, manifest), basis=manifest.basis, minutes=within)

    def closed_on(self, closures: frozenset[date]) -> MarketData:
        """Return the same market without the sessions `closures`, in addition to those it has lost already."""
        every = self.closures | closures
        return MarketData(self._bars, self.scheduled, self.actions, basis=self.basis, closures=every, minutes=self.minutes)

    @property
    def is_raw(self) -> bool:
        """Whether splits change quantities: only where prices are raw."""
        return self.basis is PriceBasis.RAW

    # -- time ---------------------------------------------------------------------------------------------------

    def trading_day(self, now: datetime) -> date:
        """Return the scheduled session whose business day has begun (04:00 New York) most recently."""
        position = bisect_right(self._starts, now) - 1
        return self.scheduled.days[max(position, 0)]

    def session_now(self, now: datetime) -> Session | None:
        """Return the session that is open at `now`, or None."""
        position = bisect_right(self._session_opens, now) - 1
        session = self.calendar.sessions[max(position, 0)]
        return session if session.open <= now < session.close else None

    def next_session(self, now: datetime) -> Session:
        """Return the first session that opens after `now`."""
        position = bisect_right(self._session_opens, now)
        if position == len(self._session_opens):
            raise NotASession("past the end of the exchange's calendar", where=utc_words(now), fix="Publish new data")
        return self.calendar.sessions[position]

    def ends(self) -> datetime:
        """Last instant that the bars know."""
        return self._closes[-1]

    def begins(self) -> datetime:
        """First instant that the bars know."""
        return self._opens[0]

    # -- names --------------------------------------------------------------------------------------------------

    def listed(self, now: datetime) -> dict[str, int]:
        """Symbol -> column of every name listed at `now`."""
        return self._names(self.trading_day(now))

    def column(self, symbol: str, now: datetime) -> int | None:
        """Column of `symbol` at `now`, or None when no listed name bears it."""
        return self.listed(now).get(symbol)

    def ever_listed(self, now: datetime) -> tuple[str, ...]:
        """Every symbol that has been listed by `now`, sorted; those delisted or renamed since included."""
        today = self.trading_day(now)
        return tuple(sorted({tenure.symbol for tenure in self._tenures if tenure.first <= today}))

    def was_listed(self, symbol: str, now: datetime) -> bool:
        """Whether `symbol` has been listed by `now`."""
        today = self.trading_day(now)
        return any(tenure.symbol == symbol and tenure.first <= today for tenure in self._tenures)

    def _names(self, day: date) -> dict[str, int]:
        if self._directory[0] != day:
            self._directory = (day, directory(self._tenures, day))
        return self._directory[1]

    def actions_between(self, after: date, until: date) -> tuple[Action, ...]:
        """Actions effective after `after` and by `until`, oldest first: for the account's own bookings."""
        return tuple(action for action in self.actions if after < action.effective <= until)

    def announced(self, now: datetime) -> tuple[Action, ...]:
        """Actions that are public at `now`: from the close of the session of `known_at`, or once they are effective."""
        today, closed = self.trading_day(now), self._last_closed_day(now)
        return tuple(a for a in self.actions if a.effective <= today or a.known_at <= closed)

    def _last_closed_day(self, now: datetime) -> date:
        position = bisect_right(self._session_closes, now) - 1
        return self.calendar.days[position] if position >= 0 else date.min

    # -- prices -------------------------------------------------------------------------------------------------

    def last_price(self, symbol: str, now: datetime) -> Decimal | None:
        """Newest price of `symbol`: of the running session its minutes' or its open, else the last close, restated for splits."""
        closed, opened = bisect_right(self._closes, now) - 1, bisect_right(self._opens, now) - 1
        minute = int(now.timestamp()) // 60 if self.minutes is not None else 0
        epoch = (closed, opened, self.trading_day(now), minute)
        if epoch != self._epoch:
            self._epoch, self._last_prices = epoch, {}
        if symbol not in self._last_prices:
            self._last_prices[symbol] = self._newest(symbol, closed, opened, now)
        return self._last_prices[symbol]

    def _newest(self, symbol: str, closed: int, opened: int, now: datetime) -> Decimal | None:
        column = self.column(symbol, now)
        if column is None:
            return None
        session = self.session_now(now)
        if self.minutes is not None and session is not None and (price := self.minutes.last_price(symbol, session, now)) is not None:
            return price
        if opened > closed and self._traded(opened, column):
            return self._price(self._bars.open[opened, column])
        return self._close_at(closed, column, now)

    def previous_close(self, symbol: str, now: datetime) -> Decimal | None:
        """Close of `symbol` in the last session before the trading day of `now`, restated for splits."""
        column = self.column(symbol, now)
        before = bisect_right(self._days, self.trading_day(now)) - 1
        if before >= 0 and self._days[before] == self.trading_day(now):
            before -= 1
        return None if column is None else self._close_at(before, column, now)

    def trades_on(self, symbol: str, day: date) -> bool:
        """Whether `symbol` has a bar with volume on `day`: for the matching engine only."""
        column = self._names(day).get(symbol)
        return column is not None and day in self._row and self._traded(self._row[day], column)

    def opening(self, symbol: str, day: date, now: datetime) -> Decimal | None:
        """Open of `symbol` on `day`; None when it does not trade that day."""
        if now < self.calendar.session(day).open:
            raise InvariantBroken("the open was asked for before the open", where=f"{symbol} {day}")
        if not self.trades_on(symbol, day):
            return None
        return self._price(self._bars.open[self._row[day], self._names(day)[symbol]])

    def day_bar(self, symbol: str, day: date, now: datetime) -> DayBar | None:
        """Return the bar of `day`; None when the name does not trade that day."""
        if now < self.calendar.session(day).close:
            raise InvariantBroken("a bar was asked for before its close", where=f"{symbol} {day}")
        if not self.trades_on(symbol, day):
            return None
        return self._bar(self._row[day], self._names(day)[symbol])

    def history(
        self,
        symbol: str,
        between: tuple[date, date],
        now: datetime,
        *,
        asof: date | None = None,
        mapped: bool = True,
        together: Callable[[date], object] | None = None,
    ) -> list[DayBar]:
        """Closed bars of the security that bore `symbol` at `asof` (today), sessions in [first, last], oldest first.

        Unmapped, or when nobody bore the symbol then, the bars are those traded under that very symbol. Days that follow each other
        and of which `together` says the same are one bar, of the first of them: ten years of months are served in a moment.
        """
        (first, last), days = between, self._days
        until = min(bisect_right(self._closes, now), bisect_right(days, last))
        found = []
        for column, since, before in self._stretches(symbol, min(asof or date.max, self.trading_day(now)), mapped):
            start, end = bisect_left(days, max(first, since)), min(until, bisect_left(days, before))
            rows = (start + np.flatnonzero(~np.isnan(self._bars.close[start:end, column]))).tolist()
            if together is None:
                found += [self._bar(row, column) for row in rows]
            else:
                spans = groupby(rows, key=lambda row: together(days[row]))
                found += [self._merged(list(span), column) for _, span in spans]
        return found

    def minute_history(
        self, symbol: str, between: tuple[date, date], now: datetime, *, asof: date | None = None, mapped: bool = True
    ) -> dict[date, list[MinuteBar]]:
        """Minutes that have ended by `now`, by session, as `history` maps names; empty without minute bars."""
        found: dict[date, list[MinuteBar]] = {}
        if self.minutes is not None:
            for column, since, before in self._stretches(symbol, min(asof or date.max, self.trading_day(now)), mapped):
                for tenure in (t for t in self._tenures if t.column == column and t.first < before and t.until > since):
                    begin, end = max(between[0], since, tenure.first), min(between[1], before, tenure.until)
                    for day, bars in self.minutes.history(tenure.symbol, begin, end, self.calendar, now):
                        if day < min(before, tenure.until):
                            found[day] = bars
        return found

    def usual(self, symbol: str, now: datetime) -> tuple[float, float]:
        """Daily volatility (fraction) and mean dollar volume of the sessions before the trading day; NaN where unknown."""
        today = self.trading_day(now)
        if self._usual[0] != today:
            self._usual = (today, {})
        if symbol not in self._usual[1]:
            until, column = bisect_left(self._days, today), self.column(symbol, now)
            self._usual[1][symbol] = (float("nan"),) * 2 if column is None else self._typical(until, column)
        return self._usual[1][symbol]

    def _typical(self, until: int, column: int) -> tuple[float, float]:
        rows = slice(max(0, until - USUAL_SESSIONS), until)
        returns, dollars = self._bars.total_return[rows, column], self._bars.close[rows, column] * self._bars.volume[rows, column]
        returns, dollars = returns[np.isfinite(returns)], dollars[np.isfinite(dollars)]
        return float(returns.std(ddof=1)) if returns.size > 1 else float("nan"), float(dollars.mean()) if dollars.size else float("nan")

    def latest(self, symbol: str, now: datetime, count: int) -> list[DayBar]:
        """Return the last `count` closed daily bars of the name that bears `symbol` now, oldest first."""
        column, row = self.column(symbol, now), bisect_right(self._closes, now) - 1
        found: list[DayBar] = []
        while column is not None and row >= 0 and len(found) < count:
            row = int(self._last_valid[row, column])
            if row >= 0:
                found.append(self._bar(row, column))
            row -= 1
        return found[::-1]

    def _stretches(self, symbol: str, asof: date, mapped: bool) -> list[tuple[int, date, date]]:
        column = self._names(asof).get(symbol) if mapped else None
        if column is not None:
            return [(column, date.min, date.max)]
        held = (t for t in self._tenures if t.symbol == symbol)
        return [(t.column, t.first, t.until) for t in sorted(held, key=lambda t: t.first)]

    def split_factor(self, symbol: str, day: date, now: datetime) -> Decimal:
        """Shares of today per share of `day`: the product of splits effective after `day` and by `now`."""
        column = self.column(symbol, now)
        return Decimal(1) if column is None else self._factor(column, day, now)

    def standing_price(self, action: Action, now: datetime) -> Decimal | None:
        """Last close of the security that `action` is about, restated for splits effective by `now`."""
        column = self.holder(action)
        return None if column is None else self._close_at(bisect_right(self._closes, now) - 1, column, now)

    # -- inside the gate ----------------------------------------------------------------------------------------

    def _close_at(self, row: int, column: int, now: datetime) -> Decimal | None:
        valid = int(self._last_valid[row, column]) if row >= 0 else -1
        if valid < 0:
            return None
        price = self._price(self._bars.close[valid, column])
        factor = self._factor(column, self._days[valid], now)
        return price if factor == 1 else to_price(price / factor)

    def _factor(self, column: int, day: date, now: datetime) -> Decimal:
        factor = Decimal(1)
        if self.is_raw and column in self._splits:
            today = self.trading_day(now)
            for effective, ratio in self._splits[column]:
                if day < effective <= today:
                    factor *= ratio
        return factor

    def _splits_by_column(self) -> dict[int, list[tuple[date, Decimal]]]:
        splits: dict[int, list[tuple[date, Decimal]]] = {}
        for action in self.actions:
            if action.kind is ActionKind.SPLIT and action.ratio is not None:
                column = self.holder(action)
                if column is not None:
                    splits.setdefault(column, []).append((action.effective, action.ratio))
        return splits

    def holder(self, action: Action) -> int | None:
        """Column of the security that an action is about: the bearer of its symbol just before it."""
        held = [t for t in self._tenures if t.symbol == action.symbol and t.first <= action.effective <= t.until]
        return min(held, key=lambda t: t.first).column if held else None

    def _traded(self, row: int, column: int) -> bool:
        return bool(self._bars.volume[row, column] > 0)  # NaN compares false

    def _bar(self, row: int, column: int) -> DayBar:
        panel = self._bars
        o, h, l, c = (self._price(getattr(panel, name)[row, column]) for name in ("open", "high", "low", "close"))  # noqa: E741
        return DayBar(self._days[row], o, h, l, c, int(panel.volume[row, column]))

    def _merged(self, rows: list[int], column: int) -> DayBar:
        panel, price = self._bars, self._price
        high, low = panel.high[rows, column].max(), panel.low[rows, column].min()
        volume = int(np.trunc(panel.volume[rows, column]).sum())
        opened, closed = panel.open[rows[0], column], panel.close[rows[-1], column]
        return DayBar(self._days[rows[0]], price(opened), price(high), price(low), price(closed), volume)

    @staticmethod
    def _price(value: float) -> Decimal:
        return to_price(Decimal(repr(float(value))))
