"""One symbol over time: its scores, what was held of it, its orders and fills, and the prices that were recorded."""

from datetime import date
from decimal import Decimal

from appliance.ledger import Ledger
from appliance.ledger.scores import SHADOW
from appliance.views.view import View, ViewRow, percent

COLUMNS = ("session", "price", "quantity", "weight", "z", "rank", "fill")
PHASES = "CASE phase WHEN 'close' THEN 3 WHEN 'confirm' THEN 2 ELSE 1 END"
WITHIN = "WHERE symbol = ? AND session BETWEEN ? AND ?"
HELD = f"SELECT session, quantity, current_price FROM positions {WITHIN}"
ORDERED = f"SELECT session, side, quantity, reference_price, state, client_order_id FROM intents {WITHIN} ORDER BY session"
AIMED = f"SELECT session, weight, sector FROM targets {WITHIN} ORDER BY session"
FILLED = f"SELECT session, side, quantity, price, at FROM fills {WITHIN} ORDER BY at"
SCORED = "SELECT asof, sleeve, z, rank FROM scores WHERE symbol = ? AND asof BETWEEN ? AND ? AND sleeve NOT LIKE ? ORDER BY asof"
FOUND = """
SELECT symbol, max(seen) FROM (
    SELECT symbol, max(asof) AS seen FROM scores GROUP BY symbol
    UNION ALL SELECT symbol, max(session) FROM positions GROUP BY symbol
    UNION ALL SELECT symbol, max(session) FROM fills GROUP BY symbol)
WHERE instr(upper(symbol), ?1) GROUP BY symbol ORDER BY instr(upper(symbol), ?1) > 1, symbol LIMIT ?2
"""


def symbol_history(ledger: Ledger, symbol: str, last: date, sessions: int) -> View:
    """Return a row a session up to D, the newest first: price, shares held at its last agreement, and what was scored before it.

    Prices are those of the holding at the broker; of a session without one, the reference price of its order. Facts hold
    `scores`, `fills` and `orders` of these sessions, and the name's `sector`.
    """
    days = ledger.read(date, "SELECT DISTINCT session FROM job_runs WHERE session <= ? ORDER BY session DESC LIMIT ?", (last, sessions))
    if not days:
        return View(COLUMNS, (), "no session has run yet", last)
    span = (symbol, days[-1], last)
    held = {
        day: (quantity, price)
        for day, quantity, price in ledger.read(tuple[date, Decimal, Decimal | None], f"{HELD} ORDER BY session, {PHASES}", span)
    }
    scored = ledger.read(tuple[date, str, float, int], SCORED, (*span, SHADOW))
    orders = ledger.read(tuple[date, str, Decimal, Decimal, str, str], ORDERED, span)
    aimed = ledger.read(tuple[date, float, str], AIMED, span)
    filled = ledger.read(tuple[date, str, Decimal, Decimal, str], FILLED, span)
    references, weights = {row[0]: row[3] for row in orders}, {day: weight for day, weight, _ in aimed}
    sent = {row[0]: row[5] for row in orders}
    facts = {
        "symbol": symbol,
        "sector": next((sector for _, _, sector in reversed(aimed) if sector), None),
        "scores": [{"asof": day.isoformat(), "sleeve": sleeve, "z": round(z, 3), "rank": rank} for day, sleeve, z, rank in scored],
        "fills": [dict(zip(("session", "side", "quantity", "price", "at"), map(str, row), strict=True)) for row in filled],
        "orders": [
            dict(zip(("session", "side", "quantity", "reference", "state", "client_order_id"), map(str, row), strict=True))
            for row in orders
        ],
    }
    latest = {day: (z, rank) for day, _, z, rank in scored}
    rows = tuple(
        {
            **_row(day, held.get(day), references.get(day), weights.get(day), _known(latest, day)),
            "fill": ", ".join(f"{side} {quantity} at {price}" for session, side, quantity, price, _ in filled if session == day),
            "client_order_id": sent.get(day),
        }
        for day in days
    )
    return View(COLUMNS, rows, "nothing is recorded of it", last, facts)


def search(ledger: Ledger, text: str, most: int) -> View:
    """Return the symbols that a text is found in, those that begin with it first."""
    found = ledger.read(tuple[str, date], FOUND, (text.strip().upper(), most))
    rows = tuple({"symbol": symbol, "seen": seen.isoformat()} for symbol, seen in found)
    return View(("symbol", "seen"), rows, "no symbol has this in it")


def _known(latest: dict[date, tuple[float, int]], day: date) -> tuple[float, int] | None:
    """The newest score before the session: what its plan was made on."""
    return next((latest[asof] for asof in sorted(latest, reverse=True) if asof < day), None)


def _row(
    day: date, held: tuple[Decimal, Decimal | None] | None, reference: Decimal | None, weight: float | None, score: tuple[float, int] | None
) -> ViewRow:
    price = held[1] if held and held[1] is not None else reference
    return {
        "session": day.isoformat(),
        "price": None if price is None else str(price),
        "quantity": str(held[0]) if held else "0",
        "weight": None if weight is None else percent(weight),
        "z": round(score[0], 3) if score else None,
        "rank": score[1] if score else None,
    }
