"""One generated session of the demo device, recorded as real jobs would record it.

Its plan is generated too, with the outcome of each order, through every state.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

from appliance.controls.limits import TripwireLimits
from appliance.controls.tripwires import TRIPWIRES
from appliance.ledger import (
    Ledger,
    alerts,
    broker_orders,
    fills,
    halts,
    intents,
    job_runs,
    nav,
    plans,
    scores,
    snapshots,
    targets,
    tripwires,
)
from appliance.ledger.figures import FeatureFile, PlanFigures, PullFigures, ReconcileFigures, ScoreFigures
from appliance.ledger.fills import BookedFill
from appliance.ledger.intents import IntentState, OrderFacts
from appliance.ledger.snapshots import Phase
from appliance.schedule.job import JobReport, JobStatus
from appliance.schedule.timetable import TIMETABLE
from appliance.system.ports import Alert, Severity
from appliance.tui.demo.events import record_events
from appliance.tui.demo.model_history import DemoModelHistory, write_features
from appliance.tui.demo.simulated_account import CENT, DemoBook, DemoOrder
from appliance.tui.demo.state_files import DemoBundle
from execution.brokers.base import Account, Position
from execution.orders import BrokerOrder, Fill, Intent, IntentKey, OrderStatus, OrderType, Plan, Provenance, Side, TimeInForce
from signals.files import sha256_of
from signals.market.sessions import Calendar, SessionAudit, SessionStatus
from signals.schedule.job_windows import windows

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


ACCOUNT = "DEMO0001"
SLEEVE = "equities_xs"
# What the limits of planning and pre-trade checks are by default; their own modules would bring in numpy.
LIMITS = {
    "max_planned_gross": 1.02,
    "max_net": 0.04,
    "max_name": 0.06,
    "max_rounding": 0.25,
    "max_resends": 3.0,
    "max_collar_refusals": 3.0,
    "max_disputed_names": 0.05,
    "max_disputed_gross": 0.10,
    "max_unexplained_equity": 0.03,
}
BORROW, FEES, IMPACT = Decimal("0.0000016"), Decimal("0.000002"), Decimal("0.00012")


@dataclass
class DemoDevice:
    """State that lasts from session to session."""

    ledger: Ledger
    book: DemoBook
    table: Calendar
    bundle: DemoBundle
    shadow: DemoBundle
    snapshot_id: str
    features: Path
    rng: Random
    watched: DemoModelHistory
    real_nav: Decimal = Decimal(0)
    top: Decimal = Decimal(0)
    yesterday: Decimal = Decimal(0)


@dataclass(frozen=True)
class DemoDay:
    """Peculiarities of one session."""

    session: date
    asof: date
    audit: SessionAudit
    age_sessions: int
    orders: int
    is_halted: bool
    is_recent: bool
    is_last: bool


def simulate_session(life: DemoDevice, day: DemoDay) -> None:
    """Live one session: pull, score, reconcile, plan, trade, confirm, reconcile, report."""
    at = {row.job: row.at for row in windows(day.session, life.table, TIMETABLE)}
    book = life.book
    before = book.equity
    life.yesterday = before
    life.top = max(life.top, before)
    life.real_nav = life.real_nav or before
    pulled = PullFigures(
        day.asof,
        day.audit.status.value,
        tuple(day.audit.reasons),
        version=1,
        snapshot_id=life.snapshot_id,
        others={"bundle": life.bundle.name, "bundle_refusal": ""},
    )
    summary = f"1 sessions taken over, {day.asof} is {day.audit.status}; bundle {life.bundle.name}"
    _record(life, JobReport("pull", day.session, JobStatus.DONE, summary, pulled), at["pull"], 3)
    if day.audit.status is SessionStatus.RED:
        skipped = JobReport("score", day.session, JobStatus.SKIPPED, f"DATA_NOT_USABLE: {day.asof} is RED")
        _record(life, skipped, at["score"], 1)
        _alert(life, at["score"], Severity.WARN, f"{day.session} is skipped", f"the data of {day.asof} is RED")
    else:
        _score(life, day, at["score"])
    _snapshot(life, day, Phase.OPEN, at["reconcile_morning"])
    turnover, planned = 0.0, Decimal(0)
    if day.audit.status is not SessionStatus.RED:
        turnover, planned = _trading(life, day, at)
    book.close_prices()
    _snapshot(life, day, Phase.CLOSE, at["reconcile_close"])
    _nav(life, day, at["report"], before, planned)
    _checks(life, day, at["report"], turnover)
    if day.is_halted:
        _halt(life, day, at["confirm"])


def _score(life: DemoDevice, day: DemoDay, at: datetime) -> None:
    life.book.score()
    rows = [scores.ScoreRow(day.asof, n.symbol, SLEEVE, n.score, n.rank, n.z, life.bundle.sha256) for n in life.book.names]
    scores.save(life.ledger, day.asof, SLEEVE, rows)
    read: FeatureFile | None = None
    if day.is_recent:
        shadow_rows = [replace(row, sleeve=f"{SLEEVE} shadow", source=life.shadow.sha256) for row in rows]
        scores.save(life.ledger, day.asof, f"{SLEEVE} shadow", shadow_rows)
        read = write_features(life.features, day.asof, SLEEVE, life.book, life.bundle, life.snapshot_id)
    figures = ScoreFigures(
        asof=day.asof,
        names=len(rows),
        expected=len(rows),
        bundle_sha256=life.bundle.sha256,
        role="champion",
        bundle_age_sessions=day.age_sessions,
        features=read,
        shown=record_events(life.ledger, life.features, life.book.names, life.table, day.asof, at) if day.is_last else None,
    )
    _record(life, JobReport("score", day.session, JobStatus.DONE, f"{len(rows)} names scored at {day.asof}", figures), at, 4)


def _trading(life: DemoDevice, day: DemoDay, at: dict[str, datetime]) -> tuple[float, Decimal]:
    equity = life.book.equity
    wishes = life.book.plan(day.orders, 0.5)
    rows = [
        targets.TargetRow(
            day.session, n.symbol, life.book.targets.get(n.symbol, 0.0), n.quantity * float(n.price) / float(equity), n.z, n.sector
        )
        for n in life.book.names
        if n.quantity or n.symbol in life.book.targets
    ]
    targets.save(life.ledger, day.session, rows)
    worth = sum((abs(w.quantity) * w.reference for w in wishes), start=Decimal(0))
    gross = sum(abs(weight) for weight in life.book.targets.values())
    decisions = (
        ("scale", "0.9000 by gross target"),
        ("forecast volatility at gross 1", "0.0610"),
        ("target gross", f"{gross:.4f}"),
        ("step", "1/2 of the way"),
        ("turnover", f"{float(worth / equity) / 2:.4f}"),
    )
    morning = DemoMorning(
        day.session, day.asof, ACCOUNT, equity, life.bundle.sha256, life.snapshot_id, at["plan"], at["trade"], at["confirm"]
    )
    plan_of(life.ledger, morning, wishes)
    figures = PlanFigures(decisions, gross=gross, sleeves={SLEEVE: 1.0}, others={"orders": len(wishes)})
    summary = f"{len(wishes)} orders for {worth:,.0f} USD, 0 refused"
    _record(life, JobReport("plan", day.session, JobStatus.DONE, summary, figures), at["plan"], 6)
    opening = life.book.open_prices()
    outcome = trade(life.ledger, morning, life.book, wishes, opening, life.rng)
    summary = f"{len(wishes)} of {len(wishes)} auction orders are at the broker"
    _record(life, JobReport("trade", day.session, JobStatus.DONE, summary, {"orders": len(wishes)}), at["trade"], 20)
    _record(life, JobReport("confirm", day.session, JobStatus.DONE, outcome), at["confirm"], 9)
    return float(worth / equity) / 2, worth


def _snapshot(life: DemoDevice, day: DemoDay, phase: Phase, at: datetime) -> None:
    book = life.book
    held = [Position(n.symbol, Decimal(n.quantity), n.entry, n.price) for n in book.names if n.quantity]
    equity = book.equity
    account = Account(
        "demo-account", ACCOUNT, "ACTIVE", book.cash, equity, life.yesterday, equity * 2 - book.gross, Decimal(2), False, True
    )
    snapshots.save(life.ledger, day.session, phase, account, held, at)
    job = "reconcile_morning" if phase is Phase.OPEN else "reconcile_close"
    summary = f"both books agree: {len(held)} positions, cash {book.cash} USD"
    figures = ReconcileFigures(len(held), book.cash, equity, others={"phase": phase.value})
    _record(life, JobReport(job, day.session, JobStatus.DONE, summary, figures), at, 2)
    if day.is_last:
        last: dict[str, object] = {"session": day.session.isoformat(), "phase": phase.value, "at": at.isoformat(), "differences": []}
        life.ledger.write_meta("last_reconciliation", json.dumps(last))


def _nav(life: DemoDevice, day: DemoDay, at: datetime, before: Decimal, planned: Decimal) -> None:
    book = life.book
    equity = book.equity
    dividends = (book.gross * Decimal("0.00002")).quantize(CENT) if life.rng.random() < 0.3 else Decimal("0.00")
    borrow, fees = -(book.gross * BORROW).quantize(CENT), -(planned * FEES).quantize(CENT)
    impact = -(planned * IMPACT).quantize(CENT)
    life.real_nav += equity - before + dividends + borrow + fees + impact
    nav.save(
        life.ledger, nav.NavRow(day.session, equity, life.real_nav, book.cash, book.gross, book.net, at, dividends, borrow, fees, impact)
    )
    figures = life.watched.report(day.asof, day.session, equity - before, planned, book)
    summary = f"paper NAV {equity:,.2f} USD, real NAV {life.real_nav:,.2f} USD"
    _record(life, JobReport("report", day.session, JobStatus.DONE, summary, figures), at, 5)


def _checks(life: DemoDevice, day: DemoDay, at: datetime, turnover: float) -> None:
    equity = float(life.book.equity)
    figures: dict[str, float] = {
        "coverage": 1.0,
        "turnover": turnover,
        "planned_gross": float(life.book.gross) / equity,
        "planned_net": abs(float(life.book.net)) / equity,
        "held_gross": float(life.book.gross) / equity,
        "planned_name": max((abs(n.quantity) * float(n.price) / equity for n in life.book.names), default=0.0),
        "rounding": 0.004 + 0.002 * life.rng.random(),
        "score_drift": 0.2 + 0.3 * life.rng.random(),
        "feature_drift": 0.3 + 0.55 * life.rng.random(),
        "bundle_age": day.age_sessions / 70,
        "free_disk": 0.61,
        "evening_step": 0.31,
        "feature_relations": 0.18,
        "turnover_jump": 0.8 + 0.5 * life.rng.random(),
        "clock_skew_seconds": 0.02 + 0.1 * life.rng.random(),
        "daily_loss": max(0.0, 1 - equity / float(life.yesterday)),
        "drawdown": max(0.0, 1 - equity / float(life.top or 1)),
        "red_datasets": float(day.audit.status is SessionStatus.RED),
        "unknown_orders": float(day.is_halted),
    }
    limits = LIMITS | {name: float(value) for name, value in TripwireLimits().model_dump().items()}
    for row in TRIPWIRES:
        value = figures.get(row.measure, 0.0)
        limit = row.limit if isinstance(row.limit, float) else limits[row.limit]
        is_tripped = value < limit if row.trips_below else value > limit
        reason = f"{row.says}: {'past' if is_tripped else 'within'} the limit"
        tripwires.save(
            life.ledger,
            tripwires.TripwireRow(day.session, row.name, f"{value:.6g}", f"{limit:g}", row.action.value, is_tripped, reason, at),
        )


def _halt(life: DemoDevice, day: DemoDay, at: datetime) -> None:
    halt_id = "5f0c2d11"
    reason = "the outcome of one order could not be proven in time"
    halts.add(life.ledger, halts.HaltRow(halt_id, at, "UNKNOWN_ORDER", "unknown_orders", reason, "0", None, "halt"))
    _alert(life, at, Severity.PAGE, "HALTED by UNKNOWN_ORDER", reason)
    halts.rearm(life.ledger, halt_id, at + timedelta(hours=2), "ana", "the broker found and cancelled it; both books agree")


def _alert(life: DemoDevice, at: datetime, severity: Severity, title: str, body: str) -> None:
    alerts.add(life.ledger, Alert(severity, title, title, body, at), delivered=True)


def _record(life: DemoDevice, report: JobReport, at: datetime, seconds: int) -> None:
    job_runs.begin(life.ledger, report.session, report.job, at)
    job_runs.finish(life.ledger, report, at + timedelta(seconds=seconds))
