"""Rounding to tradable lots along an unrounded position path, and the book's distance from its target. Pure.

A lot is one share, or `PATH_STEP` of one where fractions are traded. A step moves the *unrounded path* of a name, in shares
with their fraction; the position is the nearest whole number of lots to it. The path is frozen with the plan and the next
step begins there: what one step could not express the next ones add up, instead of cutting it off each time.

Invariants
----------
1. With its orders filled, a position is within half a lot of its path; at exactly half, nothing is traded for it.
2. The path is between where it began and the target. So a position is between the nearest whole shares of the two:
   rounding never carries it past the target's own, nor across zero, nor up past the largest weight of a name.
3. A path is followed only while it is less than a share from what is held; if not (an order that did not fill, a
   corporate action that only the broker knows, a ledger begun again) it begins again at what is held.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_DOWN, Decimal

from execution.orders import Rounding
from signals.market.actions import Action, ActionKind, delisted, new_names

ZERO = Decimal(0)
ONE_SHARE = Decimal(1)
PATH_STEP = Decimal("0.000001")  # shares; as kept in the ledger


@dataclass(frozen=True)
class Exact:
    """The path of one name since it was planned.

    Attributes
    ----------
    shares : Decimal
        Signed, with their fraction.
    share : Decimal
        What one share of that time has become: the ratios of its splits, multiplied.
    """

    shares: Decimal
    share: Decimal = ONE_SHARE


def restated(path: Mapping[str, Decimal], days: Iterable[Sequence[Action]]) -> dict[str, Exact]:
    """Lead a path through the corporate actions of the sessions since: splits, changes of name, delistings.

    Parameters
    ----------
    path : mapping of symbol to signed shares
        Of the last plan.
    days : iterable of sequence of Action
        Effective on each session after it, oldest first.
    """
    found = {symbol: Exact(shares) for symbol, shares in path.items()}
    for actions in days:
        for action in actions:
            known = found.get(action.symbol)
            if known is not None and action.kind is ActionKind.SPLIT and action.ratio:
                found[action.symbol] = Exact(known.shares * action.ratio, known.share * action.ratio)
        renamed, gone = new_names(actions), delisted(actions)
        found = {renamed.get(symbol, symbol): exact for symbol, exact in found.items() if symbol not in gone}
    return found


def followed(path: Mapping[str, Exact], held: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Signed shares at which each name's next step begins: its path while invariant 3 holds, else what is held."""
    found = dict(held)
    for symbol, exact in path.items():
        if abs(held.get(symbol, ZERO) - exact.shares) < max(ONE_SHARE, exact.share):
            found[symbol] = exact.shares
    return found


def nearest(exact: Decimal, held: Decimal, most: Decimal, lot: Decimal = ONE_SHARE) -> Decimal:
    """Whole lots to trade so that what is held comes nearest to `exact` (invariants 1 and 2).

    Parameters
    ----------
    exact, held : Decimal
        Signed shares.
    most : Decimal
        Shares beyond which nothing is rounded up.
    lot : Decimal
        Shares of the smallest trade. Where that is a fraction, a position that is to end is sold to its last digit.

    Examples
    --------
    >>> [str(nearest(Decimal(exact), Decimal(0), Decimal(9))) for exact in ("7.5", "7.6", "-7.6", "9.7")]
    ['7', '8', '-8', '9']
    """
    if exact == 0 and lot < ONE_SHARE:
        return -held
    trade = (exact - held).quantize(lot, ROUND_HALF_DOWN)
    after = held + trade
    is_past_limit = abs(after) > max(abs(exact), most)
    is_across_zero = after * (exact or held) < 0
    return trade - lot.copy_sign(after) if is_past_limit or is_across_zero else trade


def of_target(
    aim: Mapping[str, Decimal], prices: Mapping[str, Decimal], equity: Decimal, max_name: Decimal, lots: Mapping[str, Decimal] | None = None
) -> Rounding:
    """Measure what whole lots make of a target book.

    Parameters
    ----------
    aim : mapping of symbol to signed fraction of equity
        The target book, names with a price.
    prices : mapping of symbol to USD
    equity : Decimal
        USD.
    max_name : Decimal
        Largest weight of a name.
    lots : mapping of symbol to shares, optional
        Smallest trades; one share where a name has none.
    """
    lots = lots or {}
    exact = {symbol: weight * equity / prices[symbol] for symbol, weight in aim.items()}
    whole = {s: nearest(shares, ZERO, max_name * equity / prices[s], lots.get(s, ONE_SHARE)) for s, shares in exact.items()}
    return Rounding(
        target_gross=float(sum(map(abs, aim.values()), ZERO)),
        nearest_l1=_distance(whole, exact, prices, equity),
        never_held=tuple(s for s in sorted(exact) if exact[s] != 0 and whole[s] == 0),
    )


def with_plan(
    rounding: Rounding, planned: Mapping[str, Decimal], aim: Mapping[str, Decimal], prices: Mapping[str, Decimal], equity: Decimal
) -> Rounding:
    """Add how far the planned positions (signed shares, every order filled) are from the target book."""
    held = {symbol: shares for symbol, shares in planned.items() if symbol in prices}
    exact = {symbol: weight * equity / prices[symbol] for symbol, weight in aim.items()}
    return replace(rounding, planned_l1=_distance(held, exact, prices, equity), planned_gross=_distance(held, {}, prices, equity))


def _distance(shares: Mapping[str, Decimal], others: Mapping[str, Decimal], prices: Mapping[str, Decimal], equity: Decimal) -> float:
    """Sum over names of the difference of two books, as a fraction of equity."""
    names = sorted({*shares, *others})
    return float(sum((abs(shares.get(s, ZERO) - others.get(s, ZERO)) * prices[s] for s in names), ZERO) / equity)
