"""Positions that the account held before this device: adopted, kept or flattened, by a person's typed word.

Invariants
----------
1. Nothing is sent here. What is flattened becomes the frozen plan of a session, whose jobs send it like any other.
2. A flattening plan holds closing orders only, one a name, of exactly what is held.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from appliance.context import Deps
from appliance.ledger import choices, plans, snapshots
from appliance.ledger.choices import Choice
from appliance.orders import OrderPath
from appliance.orders.reconciliation import undecided
from appliance.runtime.device import Device
from appliance.system.operator import confirm_typed, who
from execution.brokers.base import Account, Position
from execution.orders import BOOK, Intent, IntentKey, OrderType, Plan, Provenance, Side, TimeInForce
from execution.planning.plan import TIMES
from signals.errors import FixInput, TryAgain

WORDS = {
    Choice.ADOPTED: ("ADOPT", "let this device trade them to its target"),
    Choice.KEPT: ("KEEP", "leave them out of this device's book for good"),
    Choice.FLATTENED: ("FLATTEN", "close them with the first orders that this device sends"),
}
CENT = Decimal("0.01")
Show = Callable[[Sequence["Holding"], str], None]


@dataclass(frozen=True)
class Holding:
    """A position before the decision; `value` is what selling it brings, negative where it must be bought back."""

    symbol: str
    quantity: Decimal
    entry: Decimal
    price: Decimal
    value: Decimal


def open_holdings(device: Device) -> tuple[Holding, ...]:
    """Return what the account holds and nobody has decided about; raise `TryAgain` where the broker names no price."""
    with device.deps() as deps:
        return tuple(map(_priced, undecided(OrderPath.of(deps), deps.broker.positions())))


def decide(device: Device, choice: Choice, symbols: Sequence[str], *, session: date | None, yes: bool, show: Show) -> tuple[Holding, ...]:
    """Show positions, ask for the typed word and record the choice; return what it was about.

    Parameters
    ----------
    symbols : sequence of str
        Empty for every position that is to be decided about.
    session : date or None
        Of flattening: D, whose orders close them.
    yes : bool
        Do not ask.
    show : callable
        Shows a person the positions and a sentence about them.

    Raises
    ------
    FixInput
        Nothing is to be decided about a name, the book has begun, the plan of `session` is frozen, or the word was not typed.
    TryAgain
        The broker names no price of a position.
    """
    word, what = WORDS[choice]
    with device.deps() as deps:
        if choice is not Choice.KEPT and snapshots.latest(deps.ledger) is not None:
            raise FixInput(
                f"this device's book has begun; nothing is {choice.value} into it any more",
                fix="`appliance accept` takes what a break was about, `keep` leaves it out",
            )
        if session is not None:
            _require_no_plan(deps, session)
        open_ = {position.symbol: position for position in undecided(OrderPath.of(deps), deps.broker.positions())}
        chosen = tuple(_priced(open_[symbol]) for symbol in _named(symbols, open_))
        total = sum((holding.value for holding in chosen), Decimal(0))
        show(chosen, f"{len(chosen)} positions, {total:,.2f} USD to liquidate")
        confirm_typed(word, what, yes=yes)
        with deps.ledger.transaction():
            if session is not None:
                plans.save(deps.ledger, closing_plan(deps, session, deps.broker.account(), chosen), deps.clock.now())
            choices.decide(deps.ledger, [holding.symbol for holding in chosen], choice, who(), deps.clock.now())
    return chosen


def closing_plan(deps: Deps, session: date, account: Account, held: Sequence[Holding]) -> Plan:
    """Return the plan of `session` that closes each holding with one order and opens nothing (invariant 2)."""
    by = f"flattened by {who()}"
    intents = tuple(
        Intent(
            key=IntentKey(account.number, session, BOOK, one.symbol),
            side=Side.SELL if one.quantity > 0 else Side.BUY,
            quantity=abs(one.quantity),
            type=OrderType.MARKET,
            time_in_force=_time_in_force(deps, one.quantity),
            reference_price=one.price,
            reduces=True,
        )
        for one in sorted(held, key=lambda one: one.symbol)
    )
    return Plan(
        session=session,
        asof=deps.calendar.previous(session),
        account=account.number,
        equity=account.equity,
        intents=intents,
        provenance=Provenance(by, by, deps.config.decision_hash(), deps.code_version),
        references={one.symbol: one.price for one in held},
    )


def _time_in_force(deps: Deps, quantity: Decimal) -> TimeInForce:
    """Return the auction of the device's own entry; a fraction, which no auction takes, leaves during the day."""
    is_whole = quantity == quantity.to_integral_value()
    return TIMES.get(deps.config.execution.entry.kind, TimeInForce.DAY) if is_whole else TimeInForce.DAY


def _require_no_plan(deps: Deps, session: date) -> None:
    deps.calendar.index(session)
    if plans.load(deps.ledger, session) is not None:
        raise FixInput(
            f"the plan of {session} is frozen already; nothing is added to it",
            fix=f"Name a later session: --session {deps.calendar.next(session)}",
        )


def _named(symbols: Sequence[str], open_: dict[str, Position]) -> list[str]:
    if unknown := [symbol for symbol in symbols if symbol not in open_]:
        there = ", ".join(sorted(open_)) or "there is none"
        raise FixInput(
            "nothing is to be decided about a name",
            where=", ".join(unknown),
            fix=f"Name positions that the account holds and this device does not: {there}",
        )
    if not open_:
        raise FixInput("the account holds nothing that is to be decided about")
    return sorted(symbols or open_)


def _priced(position: Position) -> Holding:
    if position.current_price is None or position.current_price <= 0:
        raise TryAgain("the broker names no price of a position", where=position.symbol)
    value = (position.quantity * position.current_price).quantize(CENT)
    return Holding(position.symbol, position.quantity, position.average_entry_price, position.current_price, value)
