r"""Attribution of a session's profit and loss to market, factors, selection, costs and execution, to the cent. Pure.

Entry points: `departures` (held against wanted, by cause), `attribute`, `selection_by_sleeve`.

For every name i, between two agreed closes, with q shares marked at p (0 before, 1 after), c its cash from fills and
activities, v its dividend, a the arrival price and s what its fills lost against a:

    move_i     = q1 p1 - q0 p0 + c_i + v_i - s_i                       what it made at arrival prices
    missed_i,x = M0_i,x r1_i + M_i,x r2_i                              for each cause x of holding not what was wanted
    wanted_i   = move_i - sum_x missed_i,x                             what the wanted book made in it
    market_i   = e1_i m1_i + e2_i m2_i,  sector and style likewise     e: the wanted exposure in each leg, USD
    selection_i = wanted_i - market_i - sector_i - style_i

r1, r2 are the returns of the two legs of `portfolio.factors`; M0 and M are the USD held beyond what was wanted, by
cause, at the last close and at arrival: a share that was refused yesterday still misses tonight's gap. The costs are s,
the modelled half spreads, impact, fees and borrow, and cash that belongs to no name.

Invariants
----------
1. The parts sum to the change of the real net asset value, exactly before rounding and to the cent after it.
2. held = wanted + rounding + refused + skipped, in shares, for every name with a reference price.
3. A session on which everything was filled in full has no part for refused orders and none for skips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import TypeVar

from execution.orders import CENT
from signals.errors import InvariantBroken

Name = TypeVar("Name")

NO_SLEEVE = "no sleeve"
ZERO = Decimal(0)
ONE_SHARE = Decimal(1)
EXACT = Decimal("0.000001")  # USD; Decimal arithmetic keeps 28 digits, a book of a billion dollars keeps 18 behind it


class PnlPart(StrEnum):
    """Components of a session's profit or loss, in the order of the report."""

    MARKET = "market"
    SECTOR = "sector"
    STYLE = "style"
    SELECTION = "selection"
    COSTS = "costs"
    ROUNDING = "rounding"
    REFUSED = "refused orders"
    SKIPS = "skips"


CAUSES = (PnlPart.ROUNDING, PnlPart.REFUSED, PnlPart.SKIPS)
ByCause = Mapping[PnlPart, Decimal]


@dataclass(frozen=True)
class IntendedOrder:
    """Intended holding of one name in a session, and the fill of its orders; signed shares.

    Attributes
    ----------
    wanted : Decimal or None
        Exact, with its fraction; None where it is unknown: no price, or nothing was ever wanted.
    held : Decimal
        Before the session's orders.
    planned : Decimal
        By the frozen orders.
    unsent : Decimal
        Planned on a session that sent no order at all.
    unfilled : Decimal
        Planned and not filled on any other session: refused, kept back by a check, or ended unfilled.
    is_refused : bool
        A check refused the name, or a part of it, when the plan was made.
    is_planned : bool
        Whether the session had a plan at all.
    """

    wanted: Decimal | None
    held: Decimal
    planned: Decimal = ZERO
    unsent: Decimal = ZERO
    unfilled: Decimal = ZERO
    is_refused: bool = False
    is_planned: bool = True


@dataclass(frozen=True)
class AttributedHolding:
    """One name between two agreed closes, in USD.

    Attributes
    ----------
    before, after : Decimal
        Signed market values at the two closes.
    cash : Decimal
        From its fills and other activities.
    dividend : Decimal
        Credited outside the paper account.
    slippage : Decimal
        Of its fills against the arrival price; negative where they were worse.
    invested : Decimal
        Signed value after the session's fills, at the arrival price.
    missing_before, missing : mapping of cause to Decimal
        Held beyond what was wanted, signed: at the last close by the session before, and at arrival by this one.
    """

    before: Decimal = ZERO
    after: Decimal = ZERO
    cash: Decimal = ZERO
    dividend: Decimal = ZERO
    slippage: Decimal = ZERO
    invested: Decimal = ZERO
    missing_before: ByCause = field(default_factory=dict)
    missing: ByCause = field(default_factory=dict)


@dataclass(frozen=True)
class LegShare:
    """One name's fractions in one leg: its return, and the parts of it that are explained."""

    returns: Decimal = ZERO
    market: Decimal = ZERO
    sector: Decimal = ZERO
    style: Decimal = ZERO


FLAT = LegShare()


@dataclass(frozen=True)
class Charges:
    """Costs of a session that belong to no name, USD, credits positive; `other` is cash and marks without a name."""

    spread_and_impact: Decimal = ZERO
    fees: Decimal = ZERO
    borrow: Decimal = ZERO
    other: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """Sum of the parts."""
        return self.spread_and_impact + self.fees + self.borrow + self.other


@dataclass(frozen=True)
class Attribution:
    """A session's change of the real net asset value by part, in cents that sum to `total`.

    Attributes
    ----------
    parts : mapping of Part to Decimal
    costs : mapping of name to Decimal
        What the part `costs` is made of, in cents that sum to it.
    selection : mapping of symbol to Decimal
        Selection by name to the cent, each rounded by itself.
    universe : float
        What the universe returned, in equal parts; None where it is not known.
    """

    total: Decimal
    parts: Mapping[PnlPart, Decimal]
    costs: Mapping[str, Decimal]
    selection: Mapping[str, Decimal]
    universe: float | None = None


def departures(wish: IntendedOrder) -> dict[PnlPart, Decimal]:
    """Signed shares held beyond what was wanted after the session's orders, by cause (invariant 2).

    Examples
    --------
    >>> found = departures(IntendedOrder(Decimal("10.4"), held=Decimal(0), planned=Decimal(10), unfilled=Decimal(3)))
    >>> [str(found[cause]) for cause in CAUSES]
    ['-0.4', '-3', '0']
    """
    if wish.wanted is None:
        return dict.fromkeys(CAUSES, ZERO)
    if not wish.is_planned:
        return {PnlPart.ROUNDING: ZERO, PnlPart.REFUSED: ZERO, PnlPart.SKIPS: wish.held - wish.wanted}
    gap = wish.wanted - wish.held - wish.planned
    dropped = gap.quantize(ONE_SHARE, ROUND_DOWN) if wish.is_refused else ZERO
    return {PnlPart.ROUNDING: dropped - gap, PnlPart.REFUSED: -dropped - wish.unfilled, PnlPart.SKIPS: -wish.unsent}


def attribute(
    holdings: Mapping[str, AttributedHolding], legs: Mapping[str, tuple[LegShare, LegShare]], charges: Charges, total: Decimal
) -> Attribution:
    """Split `total` by the equations of the module's header.

    Parameters
    ----------
    holdings : mapping of symbol to Holding
        Every name held at either close, traded, or wanted.
    legs : mapping of symbol to (LegShare, LegShare)
        A name without an entry did not move.
    total : Decimal
        Change of the real net asset value, USD.

    Raises
    ------
    InvariantBroken
        The parts do not sum to `total`: what was handed in is not one account's session.
    """
    sums = dict.fromkeys(PnlPart, ZERO)
    selection: dict[str, Decimal] = {}
    slippage = ZERO
    for symbol, holding in sorted(holdings.items()):
        found = _parts_of(holding, *legs.get(symbol, (FLAT, FLAT)))
        slippage += holding.slippage
        for part, amount in found.items():
            sums[part] += amount
        selection[symbol] = found[PnlPart.SELECTION].quantize(CENT, ROUND_HALF_EVEN)
    sums[PnlPart.COSTS] = slippage + charges.total
    parts = in_cents(sums, total)
    lines = {
        "spread and impact": charges.spread_and_impact,
        "fees": charges.fees,
        "borrow": charges.borrow,
        "slippage": slippage,
        "other": charges.other,
    }
    costs = in_cents(lines, sums[PnlPart.COSTS], shown=parts[PnlPart.COSTS])
    return Attribution(sum(parts.values(), ZERO), parts, costs, selection)


def selection_by_sleeve(selection: Mapping[str, Decimal], said: Mapping[str, Mapping[str, float]]) -> dict[str, Decimal]:
    """Split the selection of every name among the sleeves that spoke for it, in cents that sum to it.

    A name's amount goes to the sleeves whose part has the sign of all parts together, in proportion to their size; what no
    sleeve spoke for, a holding that is being closed, has a row of its own.

    Parameters
    ----------
    selection : mapping of symbol to USD
    said : mapping of sleeve to mapping of symbol to float
        What each sleeve said of the names of the session's plan.

    Examples
    --------
    >>> said = {"a": {"X": 0.9, "Y": -0.5}, "b": {"X": 0.3, "Y": 0.2}}
    >>> {k: str(v) for k, v in selection_by_sleeve({"X": Decimal("4.00"), "Y": Decimal("1.00"), "Z": Decimal("-2.00")}, said).items()}
    {'a': '4.00', 'b': '1.00', 'no sleeve': '-2.00'}
    """
    sums = dict.fromkeys((*said, NO_SLEEVE), ZERO)
    for symbol, amount in selection.items():
        parts = {sleeve: Decimal(repr(row[symbol])) for sleeve, row in said.items() if symbol in row}
        total = sum(parts.values(), ZERO)
        pulled = {sleeve: part for sleeve, part in parts.items() if part * total > 0}
        whole = sum(pulled.values(), ZERO)
        for sleeve, part in pulled.items():
            sums[sleeve] += amount * part / whole
        if not pulled:
            sums[NO_SLEEVE] += amount
    return in_cents(sums, sum(selection.values(), ZERO))


def in_cents(exact: Mapping[Name, Decimal], total: Decimal, *, shown: Decimal | None = None) -> dict[Name, Decimal]:
    """Round amounts to cents that still sum: the cents left over go to the largest remainders, the first of equals.

    Parameters
    ----------
    exact : mapping of name to Decimal
    total : Decimal
        What they sum to; `shown` is the cents that it is shown as, where something else rounded it.

    Raises
    ------
    InvariantBroken
        The amounts do not sum to `total`.

    Examples
    --------
    >>> third = Decimal(1) / 3
    >>> [str(cents) for cents in in_cents({"a": third, "b": third, "c": third}, Decimal(1)).values()]
    ['0.34', '0.33', '0.33']
    """
    summed = sum(exact.values(), ZERO)
    if abs(summed - total) > EXACT:
        raise InvariantBroken(f"the parts sum to {summed} USD, not to {total}")
    whole = total.quantize(CENT, ROUND_HALF_EVEN) if shown is None else shown
    floors = {name: amount.quantize(CENT, ROUND_FLOOR) for name, amount in exact.items()}
    order: Sequence[Name] = sorted(exact, key=lambda name: floors[name] - exact[name])
    left = int((whole - sum(floors.values(), ZERO)) / CENT)
    step = CENT if left >= 0 else -CENT
    for place in range(abs(left)):
        floors[order[place % len(order)]] += step
    return floors


def _parts_of(holding: AttributedHolding, first: LegShare, second: LegShare) -> dict[PnlPart, Decimal]:
    missed = {
        cause: holding.missing_before.get(cause, ZERO) * first.returns + holding.missing.get(cause, ZERO) * second.returns
        for cause in CAUSES
    }
    exposed = (holding.before - sum(holding.missing_before.values(), ZERO), holding.invested - sum(holding.missing.values(), ZERO))
    explained = {
        PnlPart.MARKET: exposed[0] * first.market + exposed[1] * second.market,
        PnlPart.SECTOR: exposed[0] * first.sector + exposed[1] * second.sector,
        PnlPart.STYLE: exposed[0] * first.style + exposed[1] * second.style,
    }
    move = holding.after - holding.before + holding.cash + holding.dividend - holding.slippage
    rest = move - sum(missed.values(), ZERO) - sum(explained.values(), ZERO)
    return {**explained, PnlPart.SELECTION: rest, **missed}
