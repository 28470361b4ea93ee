"""The doors to a vendor's market data: bars and actions that nobody published, and prices to compare ours with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from signals.market.sessions import Calendar

if TYPE_CHECKING:  # alpaca-py brings pandas: only a job that asks loads it
    from execution.brokers.market_data import DailyBar, ToldAction


class BarSource(Protocol):
    """A vendor of raw daily bars; every call may raise `BrokerUnreachable` or `BadBars`."""

    def final(self, first: date, last: date, calendar: Calendar) -> list[date]:
        """Sessions in [first, last] whose bars may be asked for now, oldest first."""

    def bars(self, symbols: Sequence[str], first: date, last: date, calendar: Calendar) -> list[DailyBar]:
        """Return the bars of the final sessions in [first, last], as they traded."""

    def actions(self, symbols: Sequence[str], first: date, last: date) -> tuple[list[ToldAction], list[str]]:
        """Return the corporate actions effective in [first, last], and the names of those that we cannot represent."""


class PriceSource(Protocol):
    """What the broker's market data say of a few names; every call may raise `BrokerUnreachable` or `BadBars`."""

    def closes(self, symbols: Sequence[str], day: date, calendar: Calendar) -> dict[str, Decimal]:
        """Return the closes of `day` in shares of now; a symbol without a bar is absent."""

    def latest(self, symbols: Sequence[str]) -> dict[str, Decimal]:
        """Return the newest prices that may be seen; a symbol without one is absent."""

    def actions(self, symbols: Sequence[str], first: date, last: date) -> tuple[list[ToldAction], list[str]]:
        """Return the corporate actions effective in [first, last], and the names of those that we cannot represent."""


class MarketData(BarSource, PriceSource, Protocol):
    """Both doors in one, as a venue opens them."""
