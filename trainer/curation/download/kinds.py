"""Kinds of assets, by the versioned table `kinds.yml`: its symbols first, then its rules for names; and their symbols over time.

A symbol means what it meant on its day: FB until 2022-06-09 is META after it, and META before it was a fund.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydantic import Field

from execution.brokers.reported import ReportedAction, ReportedAsset
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


@dataclass(frozen=True)
class SymbolHistory:
    """Owners of each symbol over time: the kind of every symbol of the vendor's list, as it is borne now or was last, and all changes."""

    kinds: Mapping[str, AssetKind]
    changes: Sequence[ReportedAction]

    def last_symbol(self, symbol: str, day: date) -> str:
        """Return the symbol that the bearer of `symbol` on `day` has now, or had at its end."""
        for change in sorted(self.changes, key=lambda change: change.effective):
            if change.symbol == symbol and change.effective > day and change.new_symbol:
                symbol, day = change.new_symbol, change.effective
        return symbol

    def kind(self, symbol: str, day: date) -> AssetKind:
        """Return what the bearer of `symbol` on `day` is; doubtful where the list does not have it."""
        return self.kinds.get(self.last_symbol(symbol, day), AssetKind.DOUBTFUL)

    def stretches(self, symbol: str) -> list[tuple[date, date]]:
        """Return the half-open stretches of time in which `symbol` has one bearer each, as far as changes say."""
        cuts = sorted({change.effective for change in self.changes if symbol in (change.symbol, change.new_symbol)})
        return list(zip([date.min, *cuts], [*cuts, date.max], strict=True))

    def of_kind(self, kind: AssetKind) -> tuple[str, ...]:
        """Return the symbols whose present or last bearer is of this kind, and those under which it traded before."""
        found = {symbol for symbol, one in self.kinds.items() if one is kind}
        return tuple(sorted(found | self._before(found)))

    def related(self, symbols: Iterable[str]) -> frozenset[str]:
        """Return these symbols and all that a change joins to them, in whichever direction."""
        found, size = set(symbols), -1
        while len(found) != size:
            size = len(found)
            found |= self._before(found) | {str(change.new_symbol) for change in self.changes if change.symbol in found}
        return frozenset(found)

    def _before(self, symbols: set[str]) -> set[str]:
        found, size = set(symbols), -1
        while len(found) != size:
            size = len(found)
            found |= {change.symbol for change in self.changes if change.new_symbol in found}
        return found
