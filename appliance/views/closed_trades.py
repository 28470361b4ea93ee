"""Closed trades: what each holding realised from its opening to the fill that made it flat, by average cost.

    realised = sum over closing fills of  sign x quantity x (price - average entry price),   USD, before fees

A trade begins with the fill that leaves flat and ends with the one that makes it flat again; one that crosses zero ends
one trade and begins another. What was held before the first fill begins at the broker's average entry price. Where a
session's agreed holding is not what the fills come to (a split), the agreed one is taken and the trade says so.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from appliance.ledger import Ledger, fills, nav, snapshots
from appliance.ledger.fills import BookedFill
from appliance.views.positions import side_of
from appliance.views.view import View, ViewRow, percent

COLUMNS = ("symbol", "side", "opened", "closed", "sessions", "quantity", "entry", "realised", "return", "note")
RESTATED = "restated to what was agreed with the broker"
ZERO = Decimal(0)


@dataclass
class OpenTrade:
    """A holding that is not flat yet."""

    opened: date
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    largest: Decimal = ZERO
    invested: Decimal = ZERO
    realised: Decimal = ZERO
    note: str = ""

    def take(self, signed: Decimal, price: Decimal) -> None:
        """Open more, or close a part; never beyond flat."""
        if self.quantity * signed >= 0:
            worth = self.quantity * self.price + signed * price
            self.quantity += signed
            self.price = worth / self.quantity
            self.invested += abs(signed) * price
        else:
            self.realised -= signed * (price - self.price)
            self.quantity += signed
        if abs(self.quantity) > abs(self.largest):
            self.largest = self.quantity


def closed_trades(ledger: Ledger, last: date, sessions: int) -> View:
    """Return the trades that ended in the last `sessions` sessions up to D, the newest first; facts hold their totals.

    Facts: how many, `won`, `hit_rate`, `realised_usd`, the mean win and loss, and the fees of these sessions.
    """
    every = ledger.read(date, "SELECT DISTINCT session FROM job_runs WHERE session <= ? ORDER BY session", (last,))
    since = every[-sessions] if len(every) >= sessions else date.min
    rows = [_row(*trade, every) for trade in _ended(ledger, last) if trade[2] >= since]
    won = [row for row in rows if Decimal(row["realised"]) > 0]
    lost = [row for row in rows if Decimal(row["realised"]) < 0]
    facts = {
        "trades": len(rows),
        "won": len(won),
        "hit_rate": round(len(won) / len(rows), 4) if rows else None,
        "realised_usd": f"{_sum(rows):+.2f}",
        "mean_win_usd": f"{_sum(won) / len(won):+.2f}" if won else None,
        "mean_loss_usd": f"{_sum(lost) / len(lost):+.2f}" if lost else None,
        "fees_usd": f"{sum((row.fees for row in nav.history(ledger, last, sessions)), ZERO):+.2f}",
    }
    return View(COLUMNS, tuple(rows[::-1]), "no trade has been closed yet", last, facts)


def _sum(rows: list[ViewRow]) -> Decimal:
    return sum((Decimal(row["realised"]) for row in rows), ZERO)


def _ended(ledger: Ledger, last: date) -> Iterator[tuple[str, OpenTrade, date]]:
    """Every trade that ended, in the order of the fills that ended them."""
    held = _before(ledger)
    agreed = _agreed(ledger, last)
    day: date | None = None
    for booked in fills.since(ledger, date.min, last):
        if day is not None and booked.session != day:
            _restate(held, agreed, day, booked.session)
        day = booked.session
        yield from _filled(held, booked)


def _filled(held: dict[str, OpenTrade], booked: BookedFill) -> Iterator[tuple[str, OpenTrade, date]]:
    fill = booked.fill
    left = fill.side.sign * fill.quantity
    while left:
        trade = held.setdefault(fill.symbol, OpenTrade(booked.session))
        part = left if trade.quantity * left >= 0 else max(min(left, abs(trade.quantity)), -abs(trade.quantity))
        trade.take(part, fill.price)
        left -= part
        if not trade.quantity:
            yield fill.symbol, held.pop(fill.symbol), booked.session


def _before(ledger: Ledger) -> dict[str, OpenTrade]:
    """What was held when the ledger began."""
    first = snapshots.first(ledger)
    found: dict[str, OpenTrade] = {}
    for held in first.positions if first else ():
        found[held.symbol] = OpenTrade(first.session if first else date.min, note="held before the first order")
        found[held.symbol].take(held.quantity, held.average_entry_price)
    return found


def _agreed(ledger: Ledger, last: date) -> Mapping[date, Mapping[str, tuple[Decimal, Decimal]]]:
    query = "SELECT session, symbol, quantity, average_price FROM positions WHERE phase = 'close' AND session <= ?"
    found: dict[date, dict[str, tuple[Decimal, Decimal]]] = {
        day: {} for day in ledger.read(date, "SELECT session FROM accounts WHERE phase = 'close' AND session <= ?", (last,))
    }
    for day, symbol, quantity, price in ledger.read(tuple[date, str, Decimal, Decimal], query, (last,)):
        found.setdefault(day, {})[symbol] = (quantity, price)
    return found


def _restate(held: dict[str, OpenTrade], agreed: Mapping[date, Mapping[str, tuple[Decimal, Decimal]]], first: date, until: date) -> None:
    """Take the holdings of the newest close from `first` on and before `until` where the fills do not come to them."""
    days = [day for day in agreed if first <= day < until]
    if not days:
        return
    there = agreed[max(days)]
    for symbol in [name for name, trade in held.items() if there.get(name, (ZERO, ZERO))[0] != trade.quantity]:
        if symbol not in there:
            held.pop(symbol)  # gone without a fill: a merger's cash is no trade of ours
            continue
        held[symbol].quantity, held[symbol].price = there[symbol]
        held[symbol].note = RESTATED
    for symbol in set(there) - set(held):
        held[symbol] = OpenTrade(max(days), *there[symbol], note=RESTATED)


def _row(symbol: str, trade: OpenTrade, closed: date, every: Sequence[date]) -> ViewRow:
    return {
        "symbol": symbol,
        "side": side_of(trade.largest),
        "opened": trade.opened.isoformat(),
        "closed": closed.isoformat(),
        "sessions": bisect_left(every, closed) - bisect_left(every, trade.opened),
        "quantity": str(abs(trade.largest)),
        "entry": f"{trade.price:.4f}",
        "realised": f"{trade.realised:+.2f}",
        "return": percent(float(trade.realised / trade.invested)) if trade.invested else None,
        "note": trade.note,
    }
