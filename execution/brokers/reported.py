"""Bars, corporate actions and assets as a vendor reported them; without its libraries, so that a reader need not load these."""

from datetime import date
from typing import NamedTuple


class ReportedBar(NamedTuple):
    """One raw daily bar: USD and shares; NaN where the vendor gave no finite figure."""

    day: date
    symbol: str
    open: float
    high: float
    low: float
    close: float
    volume: float


class ReportedAction(NamedTuple):
    """One corporate action; `kind` is a value of `ActionKind`, and what a kind does not have is None."""

    kind: str
    symbol: str
    effective: date
    ratio: float | None = None
    cash: float | None = None
    new_symbol: str | None = None


class ReportedAsset(NamedTuple):
    """One asset of the venue's list; the name is the company's and its security's, in the venue's words."""

    symbol: str
    name: str
    exchange: str
    is_active: bool
