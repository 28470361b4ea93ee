"""Owners of each symbol over time, by the vendor's symbol changes, and their kind of asset.

A symbol means what it meant on its day: FB until 2022-06-09 is META after it, and META before it was a fund.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from execution.brokers.reported import ReportedAction
from trainer.curation.download.kinds import AssetKind


@dataclass(frozen=True)
class SymbolHistory:
    """Symbols of the list and the changes between them.

    Attributes
    ----------
    kinds : mapping
        Kind of every symbol of the vendor's list, as it is borne now or was borne last.
    changes : sequence of ReportedAction
        Changes of symbols.
    """

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
