"""Aggregates daily bars into hours, days, weeks and months, and minute bars into minutes and hours. Pure.

Without minute bars what trades within a session is known of two moments only, so an hour's bar is made of these: the opening print, one
share at the open, in the hour of the open; everything else in the hour that ends with the close. Both together are the
day again. Weeks are stamped at their Monday, months at their first day, as far as they have gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby

from execution.exchange.market.market import DayBar
from execution.exchange.market.minutes import MinuteBar
from signals.market.sessions import NEW_YORK, Session

FRAME = re.compile(r"([1-9]\d?)(T|Min|H|Hour|D|Day|W|Week|M|Month)")
AMOUNTS = {"T": range(1, 60), "H": range(1, 24), "D": (1,), "W": (1,), "M": (1, 2, 3, 4, 6, 12)}
TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Frame:
    """A time frame: so many minutes (T), hours (H), days (D), weeks (W) or months (M)."""

    amount: int
    unit: str

    @classmethod
    def read(cls, text: str) -> Frame | None:
        """Read `1Day`, `2H`, `5Min`; None for what is no time frame."""
        found = FRAME.fullmatch(text)
        frame = cls(int(found[1]), "T" if found[2] == "Min" else found[2][0]) if found else None
        return frame if frame is not None and frame.amount in AMOUNTS[frame.unit] else None

    def first_day(self, day: date) -> date:
        """Return the first day of the span that `day` belongs to."""
        if self.unit == "W":
            return day - timedelta(days=day.weekday())
        if self.unit == "M":
            return date(day.year, (day.month - 1) // self.amount * self.amount + 1, 1)
        return day

    def last_day(self, day: date) -> date:
        """Return a day that is not before the last day of the span of `day`, nor in the span after the next."""
        return day + timedelta(days={"W": 7, "M": 31 * self.amount}.get(self.unit, 0))

    @property
    def minutes(self) -> int:
        """Length of a span within a day; 0 for days and longer ones."""
        return self.amount * {"T": 1, "H": 60}.get(self.unit, 0)

    def beginning(self, at: datetime) -> datetime:
        """Return the beginning of the span of minutes or hours that `at` is in, counted from New York's midnight."""
        local = at.astimezone(NEW_YORK)
        hour, minute = divmod((local.hour * 60 + local.minute) // self.minutes * self.minutes, 60)
        return local.replace(hour=hour, minute=minute, second=0, microsecond=0)


@dataclass(frozen=True)
class Span:
    """One bar of any length, stamped with its beginning."""

    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int


def midnight(day: date) -> datetime:
    """Return New York's midnight at which `day` begins."""
    return datetime.combine(day, time(0), NEW_YORK)


def restated(bar: DayBar | MinuteBar, factor: Decimal) -> Span:
    """Return a bar with prices divided and volume multiplied by `factor`."""
    o, h, l, c = (price / factor for price in (bar.open, bar.high, bar.low, bar.close))  # noqa: E741
    return Span(midnight(bar.day) if isinstance(bar, DayBar) else bar.start, o, h, l, c, int(bar.volume * factor))


def merged(start: datetime, parts: list[Span]) -> Span:
    """Return the bar of several that follow each other."""
    return Span(
        start,
        parts[0].open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        parts[-1].close,
        sum(part.volume for part in parts),
    )


def longer(frame: Frame, days: list[Span]) -> Iterator[Span]:
    """Yield the weeks or months of `days`, oldest first."""
    for first, parts in groupby(days, key=lambda day: frame.first_day(day.start.date())):
        yield merged(midnight(first), list(parts))


def within(frame: Frame, minutes: list[Span], session: Session, now: datetime) -> Iterator[Span]:
    """Yield the spans of one session's minutes that are over, oldest first."""
    for start, parts in groupby(minutes, key=lambda minute: frame.beginning(minute.start)):
        if start + timedelta(minutes=frame.minutes) <= now or session.close <= now:
            yield merged(start, list(parts))


def hours(frame: Frame, days: list[Span], session: Callable[[date], Session]) -> Iterator[Span]:
    """Yield the bars of the two moments of each day on which shares were traded, oldest first."""
    for day in days:
        if day.volume <= 0:
            continue
        hours_of = session(day.start.date())
        first, last = frame.beginning(hours_of.open), frame.beginning(hours_of.close - TICK)
        if first == last or day.volume == 1:
            yield replace(day, start=last)
        else:
            yield print_at(first, day.open)
            yield replace(day, start=last, volume=day.volume - 1)


def print_at(start: datetime, price: Decimal) -> Span:
    """Return the bar of one share that was traded at `price`."""
    return Span(start, price, price, price, price, 1)
