"""Kinds of assets, by the versioned table `kinds.yml`: its symbols first, then its rules for names, else doubtful."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydantic import Field

from execution.brokers.reported import ReportedAsset
from signals.config import Config, load

TABLE = Path(__file__).with_name("kinds.yml")


class AssetKind(StrEnum):
    """Kind of an asset. A doubtful one is never a member, and is listed."""

    STOCK = "stock"  # common stock, class shares and shares of real estate trusts
    ETF = "etf"
    OTHER = "other"  # depositary receipts, preferred stock, warrants, units, notes, closed funds, partnerships
    DOUBTFUL = "doubtful"


class KindRule(Config):
    """One row: the kind of what both expressions fit."""

    kind: AssetKind
    symbol: str = ""
    name: str = ""

    def fits(self, asset: ReportedAsset) -> bool:
        """Whether the row speaks of this asset."""
        return bool(_expression(self.symbol).search(asset.symbol) and _expression(self.name).search(asset.name))


class KindTable(Config):
    """The table.

    Attributes
    ----------
    symbols : mapping
        Kind to symbols, whatever their names say.
    rules : tuple of KindRule
        The first that fits decides.
    """

    version: int = Field(ge=1)
    symbols: dict[AssetKind, tuple[str, ...]]
    rules: tuple[KindRule, ...]

    def kind(self, asset: ReportedAsset) -> AssetKind:
        """Return what one asset is."""
        by_symbol = (kind for kind, names in self.symbols.items() if asset.symbol in names)
        return next(by_symbol, next((rule.kind for rule in self.rules if rule.fits(asset)), AssetKind.DOUBTFUL))

    def kinds(self, assets: Iterable[ReportedAsset]) -> Mapping[str, AssetKind]:
        """Return the kind of each symbol; one that assets of several kinds bear, now or before, is doubtful."""
        found: dict[str, set[AssetKind]] = {}
        for asset in assets:
            found.setdefault(asset.symbol, set()).add(self.kind(asset))
        return {symbol: kinds.pop() if len(kinds) == 1 else AssetKind.DOUBTFUL for symbol, kinds in found.items()}


@cache
def _expression(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


def kind_table() -> KindTable:
    """Return the table that this version ships."""
    return load(TABLE, KindTable)
