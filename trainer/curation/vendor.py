"""The vendor interface of a backfill."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

import pandas as pd

from signals.market.manifest import PriceBasis
from trainer.curation.curate import calendar_for
from trainer.curation.deliveries.reading import bars_of
from trainer.curation.vendors.mapping import Mapping
from trainer.curation.vendors.packing import pack
from trainer.curation.vendors.shifts import refuse_shifted


class BarVendor(Protocol):
    """A vendor that can be asked for some symbols and sessions."""

    @property
    def name(self) -> str:
        """Name of the vendor in receipts."""

    @property
    def basis(self) -> PriceBasis:
        """Adjustment of its prices."""

    def bars(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return bars of the sessions [first, last] as `read_bars` does; no row for what the vendor does not have."""

    def actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return corporate actions effective in [first, last] in our own columns; empty where it reports none."""


class FileVendor:
    """A file or a folder of files on this machine, in any vendor's form."""

    def __init__(self, path: Path, mapping: Mapping, basis: PriceBasis) -> None:
        self.basis = basis
        self.name, content = pack(path)
        self._frame = bars_of(content, mapping, where=self.name).frame.drop(columns="known_at", errors="ignore")
        days = self._frame["date"]
        refuse_shifted(self._frame["symbol"], days, calendar_for(self._frame), where=self.name, section="bars")

    def bars(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return the file's rows of these symbols and sessions."""
        frame = self._frame
        inside = (frame["date"] >= pd.Timestamp(first)) & (frame["date"] <= pd.Timestamp(last))
        return frame[inside & frame["symbol"].isin(list(symbols))].reset_index(drop=True)

    def actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return none: a file of bars holds no actions."""
        return pd.DataFrame()
