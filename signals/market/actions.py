"""Corporate actions: splits, dividends, symbol changes and delistings as values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum

from signals.errors import InvariantBroken


class ActionKind(StrEnum):
    """Kind of corporate action, by its effect on a holder at the start of the effective session.

    CONFIRMED is a person's word that the session's return is data; curation reads it, and no dataset holds it.
    """

    SPLIT = "split"
    DIVIDEND = "dividend"
    SYMBOL_CHANGE = "symbol_change"
    DELISTING = "delisting"
    CONFIRMED = "confirmed"


@dataclass(frozen=True)
class Action:
    """One corporate action.

    Attributes
    ----------
    symbol : str
        The name before the action.
    effective : date
        Ex-date: the first session that trades with the action done.
    known_at : date
        First session whose evening batch may use it.
    ratio : Decimal or None
        SPLIT: new shares per old share (7 for 7:1, 0.1 for a 1:10 reverse split).
    cash : Decimal or None
        DIVIDEND: USD per share. DELISTING: USD paid out per share.
    new_symbol : str or None
        SYMBOL_CHANGE: the name from `effective` on.
    inferred : bool
        Deduced from adj_close / close rather than delivered by the vendor.
    """

    kind: ActionKind
    symbol: str
    effective: date
    known_at: date
    ratio: Decimal | None = None
    cash: Decimal | None = None
    new_symbol: str | None = None
    inferred: bool = False

    def __post_init__(self) -> None:
        needed = {
            ActionKind.SPLIT: self.ratio is not None and self.ratio > 0,
            ActionKind.DIVIDEND: self.cash is not None and self.cash > 0,
            ActionKind.SYMBOL_CHANGE: bool(self.new_symbol),
            ActionKind.DELISTING: self.cash is not None and self.cash >= 0,
            ActionKind.CONFIRMED: True,
        }
        if not needed[self.kind]:
            raise InvariantBroken(f"{self.kind} lacks its figure", where=f"{self.symbol} {self.effective}")


def new_names(actions: Sequence[Action]) -> dict[str, str]:
    """Name before -> name after, for the symbols that change."""
    return {a.symbol: a.new_symbol for a in actions if a.kind is ActionKind.SYMBOL_CHANGE and a.new_symbol}


def delisted(actions: Sequence[Action]) -> frozenset[str]:
    """Names that no longer trade afterwards."""
    return frozenset(a.symbol for a in actions if a.kind is ActionKind.DELISTING)
