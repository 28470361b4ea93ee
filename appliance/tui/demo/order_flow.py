"""Generated plans of the demo device and the outcome of each order, through every state."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random

from appliance.ledger import Ledger, broker_orders, fills, intents, plans
from appliance.ledger.fills import BookedFill
from appliance.ledger.intents import OrderFacts
from appliance.ledger.states import IntentState
from appliance.tui.demo.simulated_account import DemoBook, DemoOrder
from execution.fills import Fill
from execution.orders import BrokerOrder, Intent, IntentKey, OrderStatus, OrderType, Plan, Provenance, Side, TimeInForce
from signals.files import sha256_of

EXPIRES = 0.03  # share of orders that the opening auction leaves


@dataclass(frozen=True)
class DemoMorning:
    """The inputs of a session's plan, and when it is acted on."""

    session: date
    asof: date
    account: str
    equity: Decimal
    bundle_sha256: str
    snapshot_id: str
    planned_at: datetime
    sent_at: datetime
    confirmed_at: datetime


def plan_of(ledger: Ledger, morning: DemoMorning, wishes: Sequence[DemoOrder]) -> Plan:
    """Freeze the wishes as the session's plan."""
    source = Provenance(morning.bundle_sha256, morning.snapshot_id, sha256_of(b"demo settings"), "0.1.0+demo")
    made = Plan(
        morning.session,
        morning.asof,
        morning.account,
        morning.equity,
        tuple(sorted((_intent(morning, wish) for wish in wishes), key=lambda i: i.key)),
        source,
    )
    return plans.save(ledger, made, morning.planned_at)


def trade(
    ledger: Ledger, morning: DemoMorning, book: DemoBook, wishes: Sequence[DemoOrder], opening: Mapping[str, Decimal], rng: Random
) -> str:
    """Send and fill the orders at the opening prices; return what the confirming job says."""
    outcomes: Counter[str] = Counter()
    booked: list[BookedFill] = []
    for i, wish in enumerate(wishes):
        intent = _intent(morning, wish)
        sent = morning.sent_at + timedelta(milliseconds=400 * i)
        order_id = _identity(intent.key.client_order_id)
        for state, reason in ((IntentState.JOURNALED, ""), (IntentState.SENDING, ""), (IntentState.ACKED, "acknowledged")):
            intents.move(ledger, intent.key.client_order_id, state, sent, reason, OrderFacts(order_id))
        is_filled = rng.random() >= EXPIRES
        ended = IntentState.FILLED if is_filled else IntentState.EXPIRED
        done = intent.quantity if is_filled else Decimal(0)
        why = "" if is_filled else "the auction did not take it"
        intents.move(ledger, intent.key.client_order_id, ended, morning.confirmed_at, why, OrderFacts(filled_quantity=done))
        price = opening[wish.name.symbol]
        broker_orders.save(
            ledger,
            BrokerOrder(
                order_id,
                intent.key.client_order_id,
                wish.name.symbol,
                intent.side,
                OrderType.MARKET,
                TimeInForce.OPG,
                OrderStatus.FILLED if is_filled else OrderStatus.EXPIRED,
                ended.value,
                intent.quantity,
                done,
                price if is_filled else None,
                sent,
                morning.confirmed_at,
            ),
            morning.confirmed_at,
        )
        outcomes[ended.value] += 1
        if is_filled:
            book.fill(wish.name, wish.quantity, price)
            at = morning.confirmed_at - timedelta(minutes=15) + timedelta(microseconds=i)
            fill = Fill(f"fill-{order_id}", order_id, wish.name.symbol, intent.side, intent.quantity, price, at)
            booked.append(BookedFill(fill, morning.session, intent.key.client_order_id))
    fills.add(ledger, booked)
    return ", ".join(f"{count} {state}" for state, count in sorted(outcomes.items(), reverse=True)) or "no orders"


def _intent(morning: DemoMorning, wish: DemoOrder) -> Intent:
    side = Side.BUY if wish.quantity > 0 else Side.SELL
    return Intent(
        IntentKey(morning.account, morning.session, "main", wish.name.symbol),
        side,
        Decimal(abs(wish.quantity)),
        OrderType.MARKET,
        TimeInForce.OPG,
        wish.reference,
        reduces=wish.name.quantity * wish.quantity < 0,
    )


def _identity(text: str) -> str:
    digest = sha256_of(text.encode())
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
