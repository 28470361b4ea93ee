"""The blotter: the orders of a session, their outcome and average fill price."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from appliance.ledger import Ledger, fills, intents, job_runs, nav, plans, scores
from appliance.ledger.figures import PlanFigures
from appliance.ledger.intents import JournalEntry
from appliance.views.view import View, ViewRow

HISTORY_COLUMNS = ("session", "symbol", "side", "quantity", "filled", "price", "against_bps", "filled_at", "state", "reason")
COLUMNS = ("symbol", "side", "quantity", "when", "reference", "filled", "price", "filled_at", "state", "reason")
BPS = 10_000


def blotter(ledger: Ledger, session: date) -> View:
    """Return the orders of the session D, the largest first, with their average fill prices and their provenance."""
    prices, times = average_prices(ledger, session), _last_fills(ledger, session)
    entries = _largest_first(ledger, session)
    plan = plans.load(ledger, session)
    facts = {
        "provenance": vars(plan.provenance) if plan else {},
        "refusals": [{"symbol": s, "check": c, "reason": r} for s, c, r in plan.refusals] if plan else [],
    }
    run = job_runs.find(ledger, session, "plan")
    planned = run.read(PlanFigures) if run else PlanFigures()
    said = scores.probabilities(ledger, plan.asof) if plan else {}
    rows = tuple(
        {
            **_row(entry, prices.get(entry.client_order_id), planned.parts_of(entry.intent.key.symbol)),
            "filled_at": times.get(entry.client_order_id),
            **({"probability": _shares(said[entry.intent.key.symbol])} if entry.intent.key.symbol in said else {}),
        }
        for entry in entries
    )
    columns = (*COLUMNS, *(("sleeves",) if planned.parts is not None else ()), *(("probability",) if said else ()))
    return View(columns, rows, f"no orders for {session}", session, facts)


def history(ledger: Ledger, last: date, sessions: int, search: str = "") -> View:
    """Return the orders of the last `sessions` sessions up to D, the newest first, of those that a text is found in.

    It is looked for in symbol, side, state, reason and session, whatever its case. Facts hold the totals of what is shown:
    `bought_usd`, `sold_usd`, the mean distance from the reference price weighted by what was traded (`against_bps`), and
    the fees of these sessions.
    """
    wanted = search.strip().casefold()
    rows: list[ViewRow] = []
    bought, sold, against = Decimal(0), Decimal(0), Decimal(0)
    days = ledger.read(date, "SELECT DISTINCT session FROM intents WHERE session <= ? ORDER BY session DESC LIMIT ?", (last, sessions))
    for day in days:
        prices, times = average_prices(ledger, day), _last_fills(ledger, day)
        for entry in _largest_first(ledger, day):
            price = prices.get(entry.client_order_id)
            row = {"session": day.isoformat(), **_row(entry, price, {}), "filled_at": times.get(entry.client_order_id)}
            if wanted and not any(wanted in str(row[key]).casefold() for key in ("symbol", "side", "state", "reason", "session")):
                continue
            rows.append(row)
            if price is not None:
                worth = entry.filled_quantity * price
                bought, sold = (bought + worth, sold) if entry.intent.side.sign > 0 else (bought, sold + worth)
                against += entry.intent.side.sign * entry.filled_quantity * (price - entry.intent.reference_price)
    traded = bought + sold
    fees = sum((row.fees for row in nav.history(ledger, last, sessions) if days and row.session >= days[-1]), Decimal(0))
    facts = {
        "orders": len(rows),
        "filled": sum(row["price"] is not None for row in rows),
        "bought_usd": f"{bought:.2f}",
        "sold_usd": f"{sold:.2f}",
        "against_bps": f"{against / traded * BPS:+.1f}" if traded else None,
        "fees_usd": f"{fees:+.2f}",
    }
    return View(HISTORY_COLUMNS, tuple(rows), "no order is found", last, facts)


def _shares(said: Mapping[str, float]) -> str:
    """What each sleeve's map says; of one sleeve without its name."""
    return ", ".join(f"{sleeve} {share:.1%}" if len(said) > 1 else f"{share:.1%}" for sleeve, share in said.items())


def _last_fills(ledger: Ledger, session: date) -> dict[str, str]:
    return {booked.client_order_id: booked.fill.at.isoformat(timespec="seconds") for booked in fills.of_session(ledger, session)}


def by_symbol(ledger: Ledger, session: date) -> dict[str, str]:
    """Client order id of each symbol's order of the session D; of several that symbol's largest."""
    found: dict[str, str] = {}
    for entry in _largest_first(ledger, session):
        found.setdefault(entry.intent.key.symbol, entry.client_order_id)
    return found


def average_prices(ledger: Ledger, session: date) -> dict[str, Decimal]:
    """Average fill price in USD by client order id."""
    booked = fills.of_session(ledger, session)
    return fills.average_prices((one.client_order_id, one.fill.quantity, one.fill.price) for one in booked)


def _largest_first(ledger: Ledger, session: date) -> list[JournalEntry]:
    return sorted(intents.of_session(ledger, session), key=lambda e: (-abs(e.intent.notional), e.client_order_id))


def _row(entry: JournalEntry, price: Decimal | None, parts: Mapping[str, float]) -> ViewRow:
    intent = entry.intent
    against = None if price is None else intent.side.sign * (price / intent.reference_price - 1) * BPS
    return {
        "symbol": intent.key.symbol,
        "side": intent.side.value,
        "quantity": str(intent.quantity),
        "when": intent.time_in_force.value,
        "reference": str(intent.reference_price),
        "filled": str(entry.filled_quantity),
        "price": None if price is None else f"{price:.4f}",
        "against_bps": None if against is None else f"{against:+.1f}",
        "notional_usd": f"{intent.notional:+.2f}",
        "state": entry.state.value,
        "reason": "" if entry.reason == entry.state.value else entry.reason,
        "client_order_id": entry.client_order_id,
        **({"sleeves": ", ".join(f"{sleeve} {z:+.2f}" for sleeve, z in parts.items())} if parts else {}),
    }
