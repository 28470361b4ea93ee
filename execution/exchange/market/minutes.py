"""Minute bars of the exchange, readable only up to the current instant.

A bar's open is known from its beginning on, the rest of it from its END on. Only the matching engine may ask for the bar that
is in progress (`in_progress`): a venue knows how many shares cross.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np

from execution.orders import to_price
from signals.market.dataset import MinuteRows, SessionMinutes
from signals.market.sessions import Calendar, Session

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class MinuteBar:
    """One bar (start, end] with a trade or a price carried into it; USD and shares."""

    start: datetime
    end: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    half_spread: Decimal | None = None  # half of what was quoted when the bar began, as a share of the price


class MinuteMarket:
    """The minutes of a dataset by symbol, session and instant; of each symbol the session asked for last is kept."""

    def __init__(self, rows: MinuteRows) -> None:
        self.rows, self.length, self._span = rows, rows.length, rows.length * MINUTE
        self._kept: dict[str, tuple[date, SessionMinutes | None]] = {}

    def ends(self, session: Session) -> list[datetime]:
        """Return the END of every bar of a session; the last one is its close."""
        count = -(-(session.close - session.open) // self._span)
        return [self._end(session, number) for number in range(count)]

    def in_progress(self, symbol: str, session: Session, at: datetime) -> MinuteBar | None:
        """Return the bar that contains what happens at `at`, start <= at < end: for the matching engine only."""
        return self._bar(symbol, session, self._number(session, at))

    def ended(self, symbol: str, session: Session, at: datetime) -> MinuteBar | None:
        """Return the bar that ends at `at`, the END of one."""
        last = len(self.ends(session)) - 1
        return self._bar(symbol, session, last if at >= session.close else self._number(session, at) - 1)

    def last_price(self, symbol: str, session: Session, now: datetime) -> Decimal | None:
        """Newest price of the running session: the open of the bar in progress if it trades, else the last close before it."""
        found = self._session(symbol, session)
        if found is None:
            return None
        number = self._number(session, now)
        running = self._bar(symbol, session, number)
        if running is not None and running.volume > 0:
            return running.open
        before = int(np.searchsorted(found.ends, number * self.length, side="right")) - 1
        return _price(found.figures["close"][before]) if before >= 0 else None

    def history(self, symbol: str, first: date, last: date, calendar: Calendar, now: datetime) -> Iterator[tuple[date, list[MinuteBar]]]:
        """Yield the bars that have ended by `now`, session by session of [first, last]; sessions without any are left out."""
        for day, found in sorted(self.rows.sessions(symbol, first, last, calendar).items()):
            session = calendar.session(day)
            made = (self._made(session, found, row) for row in range(len(found.ends)))
            if bars := [bar for bar in made if bar.end <= now and bar.volume > 0]:
                yield day, bars

    def _number(self, session: Session, at: datetime) -> int:
        return (at - session.open) // self._span

    def _end(self, session: Session, number: int) -> datetime:
        return min(session.open + (number + 1) * self._span, session.close)

    def _session(self, symbol: str, session: Session) -> SessionMinutes | None:
        day, found = self._kept.get(symbol, (None, None))
        if day != session.day:
            calendar = Calendar("one session", (session,))
            found = self.rows.sessions(symbol, session.day, session.day, calendar).get(session.day)
            self._kept[symbol] = (session.day, found)
        return found

    def _bar(self, symbol: str, session: Session, number: int) -> MinuteBar | None:
        found = self._session(symbol, session) if number >= 0 else None
        if found is None:
            return None
        end = (self._end(session, number) - session.open) // MINUTE
        row = int(np.searchsorted(found.ends, end))
        return self._made(session, found, row) if row < len(found.ends) and found.ends[row] == end else None

    def _made(self, session: Session, found: SessionMinutes, row: int) -> MinuteBar:
        end = int(found.ends[row])
        start = (end - 1) // self.length * self.length
        o, h, l, c = (_price(found.figures[name][row]) for name in ("open", "high", "low", "close"))  # noqa: E741
        quoted = found.half_spread[row - 1] if row and found.ends[row - 1] == start else np.nan
        half = None if np.isnan(quoted) else Decimal(repr(float(quoted)))
        return MinuteBar(session.open + start * MINUTE, session.open + end * MINUTE, o, h, l, c, int(found.figures["volume"][row]), half)


def _price(value: float) -> Decimal:
    return to_price(Decimal(repr(float(value))))
