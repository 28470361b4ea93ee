"""The door to bars that nobody published: raw daily bars and corporate actions, asked of a vendor in the evening."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Protocol

from signals.sessions import Calendar

if TYPE_CHECKING:  # alpaca-py brings pandas: only the pull that asks loads it
    from execution.brokers.market_data import DailyBar, ToldAction


class BarSource(Protocol):
    """A vendor of raw daily bars; every call may raise `BrokerUnreachable` or `BadBars`."""

    def final(self, first: date, last: date, calendar: Calendar) -> list[date]:
        """Sessions in [first, last] whose bars may be asked for now, oldest first."""

    def bars(self, symbols: Sequence[str], first: date, last: date, calendar: Calendar) -> list[DailyBar]:
        """Return the bars of the final sessions in [first, last], as they traded."""

    def actions(self, symbols: Sequence[str], first: date, last: date) -> tuple[list[ToldAction], list[str]]:
        """Return the corporate actions effective in [first, last], and the names of those that we cannot represent."""
