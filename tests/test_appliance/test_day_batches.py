"""Orders that fill the moment they arrive: each counts for the next, though the positions were asked before."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from appliance.jobs.confirm import confirm
from appliance.jobs.trade import trade
from appliance.ledger import intents
from appliance.ledger.intents import IntentState, JournalEntry
from appliance.orders import OrderPath
from appliance.system.clock import VirtualClock
from tests.fakes.broker import FakeBroker, Fault
from tests.fakes.rehearsal import CALENDAR, D, Rehearsal, at


def attempt(path: OrderPath, symbol: str, number: int) -> JournalEntry:
    found = intents.of_symbol(path.ledger, D, symbol)
    return next(entry for entry in found if entry.intent.key.attempt == number)


def flat(root: Path, weights: dict[str, float], refused: int | None = None) -> Rehearsal:
    """A device without holdings whose plan went to the auction, which filled nothing, and was followed up."""
    clock = VirtualClock(at("08:00"))
    life = Rehearsal(root, FakeBroker(clock, CALENDAR, {name: Decimal(100) for name in "ABC"}), clock)
    life.broker.fault = lambda number: Fault.REFUSE if number == refused else Fault.NONE
    life.start()
    life.freeze(weights)
    life.to("09:10")
    life.run(trade, [], at("09:26"))
    life.to("09:30")
    life.broker.auction(lambda order: Decimal(0))
    life.to("09:45")
    life.run(confirm, [], at("15:45"))
    return life


def test_what_has_just_filled_counts_for_the_next_order_though_the_positions_were_asked_before(tmp_path: Path) -> None:
    """A long of 3 % fills, the short beside it is refused: a second long of 3 % would be 6 % net of 4 allowed."""
    life = flat(tmp_path, {"A": 0.03, "B": -0.03, "C": 0.03}, refused=4)
    deps = life.open()
    path = OrderPath.of(deps)
    assert [attempt(path, symbol, 1).state for symbol in "AB"] == [IntentState.FILLED, IntentState.REFUSED]
    denied = attempt(path, "C", 1)
    assert denied.state is IntentState.DENIED and denied.reason.startswith("NET: 0.0")
    deps.close()


def test_what_has_just_filled_balances_the_next_order(tmp_path: Path) -> None:
    """A long of 3.5 % and a short of 3.5 % fill one after the other; the third, 2 % short, finds a book of 0 %."""
    life = flat(tmp_path, {"A": 0.035, "B": -0.035, "C": -0.02})
    deps = life.open()
    found = [e.state for e in intents.of_session(deps.ledger, D) if e.intent.key.attempt == 1]
    assert found == [IntentState.FILLED] * 3
    deps.close()
