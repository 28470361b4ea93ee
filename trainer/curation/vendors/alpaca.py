"""Alpaca as a vendor of daily bars and corporate actions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd
from requests.adapters import BaseAdapter

from execution.brokers.market_data import DATA_URL, FEED, AlpacaData, Keys, read_keys
from execution.brokers.rate_limit import RateClock
from execution.brokers.reported import ReportedAction, ReportedBar
from signals.market.manifest import PriceBasis
from signals.market.sessions import xnys

__all__ = ["DATA_URL", "FEED", "AlpacaVendor", "Keys", "read_keys"]


class AlpacaVendor:
    """Bars and corporate actions as frames; the parameters and errors are those of `AlpacaData`."""

    name = AlpacaData.name
    basis = PriceBasis.RAW

    def __init__(self, url: str, keys: Keys, clock: RateClock, *, feed: str = FEED, adapter: BaseAdapter | None = None) -> None:
        self._data = AlpacaData(url, keys, clock, feed=feed, adapter=adapter)
        self.unsupported: list[str] = []

    def bars(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return raw daily bars of the closed sessions in [first, last]; no row for what Alpaca does not have."""
        calendar = xnys(first - timedelta(days=7), last + timedelta(days=7))
        frame = pd.DataFrame(self._data.bars(symbols, first, last, calendar), columns=list(ReportedBar._fields))
        frame = frame.rename(columns={"day": "date"})
        frame["date"] = pd.to_datetime(frame["date"]).astype("datetime64[s]")
        return frame.assign(kind="stock", sector="").sort_values(["symbol", "date"], kind="stable", ignore_index=True)

    def actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return the corporate actions effective in [first, last]; those that we cannot represent go to `untold`."""
        found, self.unsupported = self._data.actions(symbols, first, last)
        frame = pd.DataFrame(found, columns=list(ReportedAction._fields))
        return frame.sort_values(["effective", "symbol", "kind"], kind="stable", ignore_index=True)
