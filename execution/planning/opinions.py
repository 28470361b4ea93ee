"""Second opinions on prices, corporate actions, holdings and equity: comparison of our values with the broker's.

Entry points: `in_shares_of_d` (the broker's closes as the plan states its own), `disputed` (names on which the two differ),
`contradicted` (an extreme return that the broker's closes do not show), `moved` and `unexplained` (the account of now against the one that
the morning's reconcile agreed on).

Invariants
----------
1. A name is believed when the dataset and the broker name the same price within the collar, and the same corporate
   actions; no answer is a disagreement.
2. Both sides are restated for D by the same function, but for splits: the broker's price is in shares of D already, so
   that a split which only one side knows shows as a price that is off by its ratio.
3. A price that the plan's own does not bear out explains no equity.

All functions are pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from math import isfinite, prod
from typing import TYPE_CHECKING

from execution.brokers.base import Activity, Position
from execution.planning.config import OpinionConfig
from execution.planning.restating import reference_prices
from execution.reconcile import SHARE_KINDS, share_change
from signals.market.actions import Action, ActionKind
from signals.market.manifest import PriceBasis

if TYPE_CHECKING:
    from signals.audit.extremes import WaitingReturn

ZERO, ONE = Decimal(0), Decimal(1)


def in_shares_of_d(closes: Mapping[str, Decimal], actions: Sequence[Action], basis: PriceBasis) -> dict[str, Decimal]:
    """Restate the broker's closes, which know the splits of D, for its dividends and new names (invariant 2)."""
    others = [action for action in actions if action.kind is not ActionKind.SPLIT]
    return reference_prices(closes, others, basis)


def disputed(prices: Mapping[str, Decimal], theirs: Mapping[str, Decimal], config: OpinionConfig) -> dict[str, str]:
    """Return why each name whose two prices do not agree is not believed.

    Parameters
    ----------
    prices : mapping of symbol at D to USD
        The plan's, of every name that it may hold.
    theirs : mapping of symbol at D to USD
        The broker's; a name without one has no second opinion.
    """
    reasons = {symbol: _difference(price, theirs.get(symbol), config) for symbol, price in prices.items()}
    return {symbol: reason for symbol, reason in reasons.items() if reason}


def _difference(ours: Decimal, theirs: Decimal | None, config: OpinionConfig) -> str:
    if theirs is None or not theirs.is_finite() or theirs <= 0:
        return "the broker has no close of it"
    limit = config.cheap_collar if theirs < config.cheap_below_usd else config.collar
    distance = abs(ours / theirs - 1)
    return "" if distance <= limit else f"its close is {ours} by the data and {theirs} by the broker"


def contradicted(one: WaitingReturn, before: Decimal | None, after: Decimal | None, config: OpinionConfig) -> str:
    """Return why the broker's closes do not bear out an extreme return; "" where they do.

    Parameters
    ----------
    one : WaitingReturn
        By the dataset.
    before, after : Decimal or None
        The broker's closes of its two sessions, both in shares of now; None where it has none.
    """
    if before is None or not before.is_finite() or before <= 0 or not isfinite(one.move):
        return "the broker has no close before it"
    reason = _difference(before * (1 + Decimal(repr(one.move))), after, config)
    return reason and f"{one.move:+.0%} by the data; {_moved(before, after)}"


def _moved(before: Decimal, after: Decimal | None) -> str:
    return "the broker has no close of it" if not after or not after.is_finite() else f"{after / before - 1:+.0%} by the broker's closes"


def unlike_actions(actions: Sequence[Action], reported: Sequence[Action], config: OpinionConfig) -> dict[str, str]:
    """Return why names whose splits, new names or ends on D the dataset and the broker do not state alike are left out.

    Dividends show in the price where they are large; small ones change no size.
    """
    found: dict[str, str] = {}
    for symbol in sorted({action.symbol for action in (*actions, *reported)}):
        ours, theirs = (_ratio(symbol, rows) for rows in (actions, reported))
        if abs(ours / theirs - 1) > config.collar:
            found[symbol] = f"the broker's data name a split of {theirs.normalize():f}, ours one of {ours.normalize():f}"
    known = {(action.kind, action.symbol) for action in actions}
    for row in reported:
        if row.kind in (ActionKind.SYMBOL_CHANGE, ActionKind.DELISTING) and (row.kind, row.symbol) not in known:
            found[row.symbol] = f"the broker's data name a {row.kind.value.replace('_', ' ')} that ours do not have"
    return found


def _ratio(symbol: str, rows: Iterable[Action]) -> Decimal:
    ratios = [row.ratio for row in rows if row.symbol == symbol and row.kind is ActionKind.SPLIT and row.ratio]
    return prod(ratios, start=ONE)


def unexplained_shares(booked: Iterable[Activity], actions: Sequence[Action]) -> dict[str, str]:
    """Return the names whose shares the broker changed without a trade while the dataset has no action of them."""
    known = {name for action in actions for name in (action.symbol, action.new_symbol)}
    changes: dict[str, Decimal] = {}
    for activity in booked:
        if activity.kind in SHARE_KINDS and activity.symbol not in known:
            changes[activity.symbol] = changes.get(activity.symbol, ZERO) + share_change(activity)
    return {
        symbol: f"the broker changed it by {change.normalize():f} shares and our data name no corporate action"
        for symbol, change in changes.items()
        if change != 0
    }


def moved(agreed: Sequence[Position], now: Sequence[Position]) -> tuple[str, ...]:
    """Names of which another quantity is held now than was agreed, sorted."""
    before, after = ({p.symbol: p.quantity for p in held if p.quantity != 0} for held in (agreed, now))
    return tuple(sorted(symbol for symbol in {*before, *after} if before.get(symbol) != after.get(symbol)))


def unexplained(
    cash: Decimal, agreed: Sequence[Position], now: Sequence[Position], equity: Decimal, prices: Mapping[str, Decimal], gap: Decimal
) -> float | None:
    """Share of the equity that cash and holdings as agreed do not explain; None where nothing was agreed to be worth.

    A holding is worth the broker's price of now where that is within `gap` of the plan's, else the plan's
    (invariant 3); where the broker has no price it counts nothing there either.
    """
    marks = {position.symbol: position.current_price for position in now}
    worth = cash + sum((p.quantity * _credible(marks.get(p.symbol), prices.get(p.symbol), gap) for p in agreed), ZERO)
    return None if worth <= 0 or not equity.is_finite() else abs(float(equity / worth) - 1.0)


def _credible(mark: Decimal | None, price: Decimal | None, gap: Decimal) -> Decimal:
    if mark is None or price is None:
        return mark or ZERO
    return mark if abs(mark / price - 1) <= gap else price


def shares_disputed(left_out: Collection[str], compared: int, exposure: Mapping[str, float]) -> tuple[float | None, float]:
    """Share of the compared names and of the gross exposure that is disputed; None where nothing was compared."""
    gross = sum(exposure.values())
    lost = sum(weight for symbol, weight in exposure.items() if symbol in left_out)
    return len(left_out) / compared if compared else None, lost / gross if gross > 0 else 0.0
