"""Current positions as last agreed with the broker, with their targets."""

from datetime import date
from decimal import Decimal

from appliance.ledger import Ledger, snapshots, targets
from appliance.ledger.snapshots import AccountSnapshot, Phase
from appliance.ledger.targets import TargetRow
from appliance.views import blotter
from appliance.views.view import View, ViewRow, percent
from execution.brokers.base import Position

COLUMNS = ("symbol", "side", "quantity", "entry", "price", "value", "pnl", "weight", "target", "drift")
NOTHING_YET = "nothing has been agreed with the broker yet"


def positions(ledger: Ledger, session: date | None = None) -> View:
    """Return the holdings of the newest snapshot, or of the newest one of `session`, by symbol.

    `drift` is the weight held minus the weight aimed at, where that session has targets; names aimed at and not held
    are rows of quantity 0. `client_order_id` is the name's order of that session, None where there was none.
    """
    held = snapshots.latest(ledger) if session is None else _newest_of(ledger, session)
    if held is None:
        return View(COLUMNS, (), NOTHING_YET if session is None else f"no agreement with the broker on {session}")
    aimed = {row.symbol: row for row in targets.load(ledger, held.session)}
    by_symbol = {position.symbol: position for position in held.positions}
    names = sorted({*by_symbol, *(name for name, row in aimed.items() if row.weight)})
    sent = blotter.by_symbol(ledger, held.session)
    rows = tuple(
        {**_row(name, by_symbol.get(name), aimed.get(name), bool(aimed), held.equity), "client_order_id": sent.get(name)} for name in names
    )
    facts = {"phase": held.phase.value, "equity": str(held.equity), "cash": str(held.cash), "at": held.at.isoformat(timespec="seconds")}
    return View(COLUMNS, rows, f"nothing is held; cash {held.cash} USD", held.session, facts)


def side_of(quantity: Decimal) -> str:
    """LONG, SHORT or FLAT: a word, so that no colour has to say it."""
    return "LONG" if quantity > 0 else "SHORT" if quantity < 0 else "FLAT"


def _newest_of(ledger: Ledger, session: date) -> AccountSnapshot | None:
    for phase in (Phase.CLOSE, Phase.CONFIRM, Phase.OPEN):
        if found := snapshots.find(ledger, session, phase):
            return found
    return None


def _row(name: str, held: Position | None, aimed: TargetRow | None, has_targets: bool, equity: Decimal) -> ViewRow:
    quantity = held.quantity if held else Decimal(0)
    price = held.current_price if held else None
    value = None if price is None else quantity * price
    if held is None:
        value = Decimal(0)
    weight = None if value is None else float(value / equity) if equity else None
    target = aimed.weight if aimed else 0.0 if has_targets else None
    drift = None if weight is None or target is None else weight - target
    pnl = None if held is None or price is None else quantity * (price - held.average_entry_price)
    return {
        "symbol": name,
        "side": side_of(quantity),
        "quantity": str(quantity),
        "entry": str(held.average_entry_price) if held else None,
        "price": None if price is None else str(price),
        "value": None if value is None else f"{value:.2f}",
        "pnl": None if pnl is None else f"{pnl:+.2f}",
        "weight": None if weight is None else percent(weight),
        "target": None if target is None else percent(target),
        "drift": None if drift is None else percent(drift),
        "sector": aimed.sector if aimed else None,
    }
