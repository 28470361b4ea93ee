"""The figures that tripwires judge of a session: the account, its orders against the frozen plan, and the machine."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from appliance.context import Deps
from appliance.controls.measures import loss, rejected_share
from appliance.controls.slippage import SLIPPAGE_SESSIONS, opens_of, sessions_in_a_row, slippage
from appliance.controls.tripwires import NOT_YET, Figure, TripwireAction, TripwireFigures
from appliance.ledger import fills, halts, intents, job_runs, nav, plans, snapshots, tripwires
from appliance.ledger.intents import IntentState, JournalEntry
from appliance.schedule.job import JobStatus
from appliance.system.time_sync import proven_skew_seconds
from execution.brokers.base import Account, Position
from execution.orders import Intent, IntentKey, Plan
from signals.errors import DataNotUsable

ACTIVE = "ACTIVE"
NAV_SESSIONS = 2520


def account_figures(deps: Deps, session: date, account: Account, positions: Sequence[Position]) -> TripwireFigures:
    """Measure exposure, losses and identity of the account on the morning of D.

    The daily loss is the worse of two: since the broker's last close, and over the whole of asof, so that a bad day is
    seen on the morning after it.
    """
    equity = float(account.equity)
    cost = _slippage(deps, session)
    limits = deps.config.tripwires
    asof = deps.calendar.previous(session)
    before = snapshots.find(deps.ledger, deps.calendar.previous(asof), snapshots.Phase.CLOSE)
    return TripwireFigures(
        held_gross=held_gross(positions, account.equity),
        daily_loss=_worse(loss(equity, float(account.last_equity)), loss(equity, float(before.equity) if before else None)),
        drawdown=loss(equity, _high_water(deps)),
        account_faults=account_faults(account, snapshots.accepted(deps.ledger)),
        recon_breaks=_recon_breaks(deps, session),
        slippage=cost,
        slippage_sessions=sessions_in_a_row(
            cost, limits.warn_slippage, tripwires.trips(deps.ledger, "SLIPPAGE", session, limits.max_slippage_sessions + 1)
        ),
    )


def machine_figures(deps: Deps) -> TripwireFigures:
    """Measure what the machine itself could get wrong."""
    broker, before = deps.broker, deps.clock.now()
    skew = proven_skew_seconds(before, broker.clock().now, deps.clock.now())
    seen = deps.machine.read(deps.state)
    return TripwireFigures(
        halt_requests=float(deps.fs.exists(deps.folder.halt_request)),
        clock_skew_seconds=skew,
        free_disk=seen.free_disk,
        temperature_celsius=seen.temperature_celsius,
        under_voltage=seen.under_voltage,
    )


def held_gross(positions: Sequence[Position], equity: Decimal) -> Figure:
    """Sum of absolute position values over equity; None when a holding has no price or equity is not positive."""
    if equity <= 0 or any(position.current_price is None for position in positions):
        return None
    return float(sum((abs(p.quantity * p.current_price) for p in positions if p.current_price), Decimal(0)) / equity)


def account_faults(account: Account, accepted: snapshots.AccountSnapshot | None) -> float:
    """Count faults of the account's identity and status; `accepted` is the account as a person began with it or accepted it."""
    faults = [account.status != ACTIVE, account.is_blocked, account.multiplier <= 0]
    if accepted is not None:
        faults += [account.id != accepted.account_id, account.multiplier != accepted.multiplier]
    return float(sum(faults))


def _worse(one: Figure, other: Figure) -> Figure:
    measured = [figure for figure in (one, other) if isinstance(figure, float)]
    return max(measured) if measured else one


def _high_water(deps: Deps) -> float | None:
    """Highest equity at a close since a person last armed the device or ended a REDUCE; None before the first close."""
    armed = deps.latch.read().at
    since = [datetime.fromisoformat(armed).astimezone(UTC)] if armed else []
    if cleared := halts.last_cleared(deps.ledger, TripwireAction.REDUCE.value):
        since.append(cleared)
    rows = nav.history(deps.ledger, date.max, NAV_SESSIONS)
    values = [float(row.paper_nav) for row in rows if all(row.at >= instant for instant in since)]
    return max(values, default=None)


def _slippage(deps: Deps, session: date) -> Figure:
    values = nav.history(deps.ledger, deps.calendar.previous(session), SLIPPAGE_SESSIONS)
    if len(values) < SLIPPAGE_SESSIONS:
        return NOT_YET
    first, asof = values[0].session, deps.calendar.previous(session)
    span = len(deps.calendar.between(first, asof))  # a session that has a value may have been struck since
    try:
        bars = deps.market.bars(asof, span)
    except DataNotUsable:  # the session is skipped for that very reason
        return NOT_YET
    return slippage(fills.since(deps.ledger, first, asof), opens_of(bars), values)


def _recon_breaks(deps: Deps, session: date) -> Figure:
    run = job_runs.find(deps.ledger, session, "reconcile_morning")
    return 0.0 if run is not None and run.status is JobStatus.DONE else None


REFUSED = (IntentState.REFUSED, IntentState.VENUE_REJECTED)


def order_figures(deps: Deps, session: date) -> TripwireFigures:
    """Measure the session's journal."""
    return figures_of(plans.load(deps.ledger, session), intents.of_session(deps.ledger, session))


def figures_of(plan: Plan | None, journal: Sequence[JournalEntry]) -> TripwireFigures:
    """Count what a plan did not ask for.

    A follow-up attempt of a planned intent is permitted, with the planned side and at most the planned quantity;
    anything else that was sent is an excess.
    """
    planned = {} if plan is None else {(i.key.symbol, i.key.slice): i for i in plan.intents}
    sent = [entry for entry in journal if entry.posts > 0]
    strangers = [entry for entry in sent if _place(entry.intent.key) not in planned]
    widened = [
        entry
        for entry in sent
        if (known := planned.get(_place(entry.intent.key))) is not None
        and (entry.intent.side is not known.side or entry.intent.quantity > known.quantity)
    ]
    overfilled = _overfilled(sent, planned)
    live = Counter(_place(e.intent.key) for e in sent if e.state.is_at_broker and not e.state.is_terminal)
    return TripwireFigures(
        excess_orders=float(len(strangers)),
        excess_plan=float(len(widened) + overfilled),
        duplicates=float(sum(count - 1 for count in live.values())),
        resends=float(sum(entry.posts - 1 for entry in sent)),
        rejected=rejected_share(sum(entry.state in REFUSED for entry in sent), len(sent)),
        unknown_orders=float(sum(entry.state.is_in_doubt for entry in journal)),
        oversized_orders=_refused_by("ORDER_NOTIONAL", plan, journal),
        collar_refusals=_refused_by("PRICE_COLLAR", plan, journal),
    )


def _refused_by(check: str, plan: Plan | None, journal: Sequence[JournalEntry]) -> float:
    """Count the orders that one pre-trade check kept back, when the plan was made and before they left."""
    planned = [] if plan is None else [name for _, name, _ in plan.refusals if name == check]
    kept = [e for e in journal if e.state is IntentState.DENIED and e.reason.startswith(f"{check}:")]
    return float(len(planned) + len(kept))


def _overfilled(sent: Sequence[JournalEntry], planned: Mapping[tuple[str, int], Intent]) -> int:
    filled: dict[tuple[str, int], Decimal] = {}
    for entry in sent:
        place = _place(entry.intent.key)
        filled[place] = filled.get(place, Decimal(0)) + entry.filled_quantity
    return sum(place in planned and quantity > planned[place].quantity for place, quantity in filled.items())


def _place(key: IntentKey) -> tuple[str, int]:
    return key.symbol, key.slice
