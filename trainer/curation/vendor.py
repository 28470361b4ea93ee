"""What a source of bars offers to a backfill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

import pandas as pd

from signals.errors import BadBars
from signals.manifest import PriceBasis
from trainer.curation.reading import bars_of
from trainer.curation.vendors.mapping import Mapping


class BarVendor(Protocol):
    """A vendor that can be asked for some symbols and sessions."""

    @property
    def name(self) -> str:
        """What receipts call the vendor."""

    @property
    def basis(self) -> PriceBasis:
        """What its prices are adjusted for."""

    def bars(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return bars of the sessions [first, last] as `read_bars` does; no row for what the vendor does not have."""

    def actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return corporate actions effective in [first, last] in our own columns; empty where it tells none."""


class FileVendor:
    """A file on this machine, in any vendor's form.

    Parameters
    ----------
    path : Path
    mapping : Mapping
    basis : PriceBasis
    """

    def __init__(self, path: Path, mapping: Mapping, basis: PriceBasis) -> None:
        self.name, self.basis = path.name, basis
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BadBars(f"unreadable ({error.strerror})", where=str(path), mend="Check the path") from None
        self._frame = bars_of(content, mapping, where=path.name).frame.drop(columns="known_at", errors="ignore")

    def bars(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return the file's rows of these symbols and sessions."""
        frame = self._frame
        inside = (frame["date"] >= pd.Timestamp(first)) & (frame["date"] <= pd.Timestamp(last))
        return frame[inside & frame["symbol"].isin(list(symbols))].reset_index(drop=True)

    def actions(self, symbols: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return none: a file of bars tells no actions."""
        return pd.DataFrame()
