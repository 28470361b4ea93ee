"""The blotter: the orders of a session, their outcome and average fill price."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal

from appliance.ledger import Ledger, fills, intents, job_runs, plans
from appliance.ledger.figures import PlanFigures
from appliance.ledger.intents import JournalEntry
from appliance.views.view import View, ViewRow

COLUMNS = ("symbol", "side", "quantity", "when", "reference", "filled", "price", "state", "reason")
BPS = 10_000


def blotter(ledger: Ledger, session: date) -> View:
    """Return the orders of the session D, the largest first, with their average fill prices and their provenance."""
    prices = average_prices(ledger, session)
    entries = _largest_first(ledger, session)
    plan = plans.load(ledger, session)
    facts = {
        "provenance": vars(plan.provenance) if plan else {},
        "refusals": [{"symbol": s, "check": c, "reason": r} for s, c, r in plan.refusals] if plan else [],
    }
    run = job_runs.find(ledger, session, "plan")
    planned = run.read(PlanFigures) if run else PlanFigures()
    rows = tuple(_row(entry, prices.get(entry.client_order_id), planned.parts_of(entry.intent.key.symbol)) for entry in entries)
    columns = COLUMNS if planned.parts is None else (*COLUMNS, "sleeves")
    return View(columns, rows, f"no orders for {session}", session, facts)


def by_symbol(ledger: Ledger, session: date) -> dict[str, str]:
    """Client order id of each symbol's order of the session D; of several that symbol's largest."""
    found: dict[str, str] = {}
    for entry in _largest_first(ledger, session):
        found.setdefault(entry.intent.key.symbol, entry.client_order_id)
    return found


def average_prices(ledger: Ledger, session: date) -> dict[str, Decimal]:
    """Average fill price in USD by client order id."""
    found: dict[str, tuple[Decimal, Decimal]] = {}
    for booked in fills.of_session(ledger, session):
        quantity, value = found.get(booked.client_order_id, (Decimal(0), Decimal(0)))
        fill = booked.fill
        found[booked.client_order_id] = (quantity + fill.quantity, value + fill.quantity * fill.price)
    return {key: value / quantity for key, (quantity, value) in found.items() if quantity}


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
