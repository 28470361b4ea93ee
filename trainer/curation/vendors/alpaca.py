"""Alpaca as a vendor of daily bars and corporate actions."""

from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd
from requests.adapters import BaseAdapter

from execution.brokers.base import PAPER_URL
from execution.brokers.listings import AlpacaListings
from execution.brokers.market_data import DATA_URL, FEED, AlpacaData, Keys, read_keys
from execution.brokers.rate_limit import RateClock
from execution.brokers.reported import ReportedAction, ReportedAsset, ReportedBar
from execution.brokers.retrying import PATIENCE
from signals.errors import NotASession
from signals.market.manifest import PriceBasis
from signals.market.sessions import Calendar, xnys

__all__ = ["DATA_URL", "FEED", "AlpacaVendor", "Keys", "read_keys"]


class AlpacaVendor:
    """Bars and corporate actions as frames; the parameters and errors are those of `AlpacaData`."""

    name = AlpacaData.name
    basis = PriceBasis.RAW

    def __init__(self, url: str, keys: Keys, clock: RateClock, *, feed: str = FEED, adapter: BaseAdapter | None = None) -> None:
        self._data = AlpacaData(url, keys, clock, feed=feed, adapter=adapter, patience=PATIENCE)
        self._listings = AlpacaListings(PAPER_URL if url.rstrip("/") == DATA_URL else url, keys, clock, adapter=adapter)
        self.unsupported: list[str] = []

    def newest(self, last: date) -> date:
        """Return the newest session by `last` whose bars may be asked for now; raise `NotASession` where there is none."""
        calendar = xnys(last - timedelta(days=14), last + timedelta(days=7))
        if not (found := self._data.final(calendar.days[0], last, calendar)):
            raise NotASession("no session had closed by then", where=str(last), fix="Give a later --end")
        return found[-1]

    def assets(self) -> tuple[ReportedAsset, ...]:
        """Return every asset of Alpaca's list, active and inactive."""
        return self._listings.assets()

    def name_changes(self, first: date, last: date) -> list[ReportedAction]:
        """Return every change of a symbol in [first, last], of every name."""
        return self._data.name_changes(first, last)

    def months(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return raw monthly bars, each dated the first day of its month."""
        return self._framed(self._data.months(symbols, first, last, _around(first.replace(day=1), last)))

    def bars(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return raw daily bars of the closed sessions in [first, last]; no row for what Alpaca does not have."""
        return self._framed(self._data.bars(symbols, first, last, _around(first, last)))

    @staticmethod
    def _framed(rows: Sequence[ReportedBar]) -> pd.DataFrame:
        frame = pd.DataFrame(rows, columns=list(ReportedBar._fields)).rename(columns={"day": "date"})
        frame["date"] = pd.to_datetime(frame["date"]).astype("datetime64[s]")
        return frame.assign(kind="stock", sector="").sort_values(["symbol", "date"], kind="stable", ignore_index=True)

    def actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return the corporate actions effective in [first, last]; those that we cannot represent go to `untold`."""
        found, self.unsupported = self._data.actions(symbols, first, last)
        frame = pd.DataFrame(found, columns=list(ReportedAction._fields))
        return frame.sort_values(["effective", "symbol", "kind"], kind="stable", ignore_index=True)


def _around(first: date, last: date) -> Calendar:
    return xnys(first - timedelta(days=7), last + timedelta(days=7))
