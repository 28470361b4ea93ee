"""After the open of D: what was filled, the rest of what was not, and the orders that waited for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

from appliance.deps import Deps
from appliance.job import JobReport, JobStatus
from appliance.ledger import intents, plans
from appliance.ledger.intents import JournalEntry
from appliance.ledger.states import UNSENT
from appliance.order_figures import order_figures
from appliance.orderpath import OrderPath
from appliance.orderpath.batch import send
from appliance.orderpath.desk import open_desk
from appliance.orderpath.leftovers import add_follow_ups, settle_live
from appliance.orderpath.recovery import recover
from appliance.orderpath.submission import deny
from appliance.recording import enforce
from appliance.tripwires import Stage
from execution.orders import Plan, TimeInForce
from execution.sending import is_filled


def confirm(session: date, deps: Deps) -> JobReport:
    """Take over the fills of the open, then send what lowers risk, then what waited; a halted device sends nothing.

    Raises
    ------
    HaltDevice
        An outcome cannot be proven, the account may not trade, or a tripwire halts.
    BrokerUnreachable
        A report could not be had; nothing more was sent.
    """
    plan = plans.load(deps.ledger, session)
    if plan is None:
        return JobReport("confirm", session, JobStatus.DONE, "no plan was frozen: there is nothing to confirm")
    path = OrderPath.of(deps)
    recover(path)
    if deps.latch.read().is_armed:
        add_follow_ups(path, session)
        _send_waiting(path, plan)
    entries = settle_live(path, session)
    enforce(deps, session, Stage.ORDERS, order_figures(deps, session))
    return _report(session, entries)


def _send_waiting(path: OrderPath, plan: Plan) -> None:
    """Send the session's `day` orders: closings, and once those are filled the openings."""
    waiting = _waiting(path, plan)
    if not waiting:
        return
    closings = [entry for entry in waiting if entry.intent.reduces]
    if closings:
        send(path, open_desk(path, plan), closings)
        settle_live(path, plan.session)
    openings = [entry for entry in _waiting(path, plan) if not entry.intent.reduces]
    ready = [entry for entry in openings if _may_follow(path, plan, entry)]
    if ready:
        send(path, open_desk(path, plan), ready)


def _waiting(path: OrderPath, plan: Plan) -> list[JournalEntry]:
    entries = intents.of_session(path.ledger, plan.session)
    return [e for e in entries if e.state in UNSENT and e.intent.time_in_force is TimeInForce.DAY]


def _may_follow(path: OrderPath, plan: Plan, entry: JournalEntry) -> bool:
    """Whether the order waits for nothing any more; an opening half whose closing half is not filled is denied."""
    leader = entry.intent.waits_for
    if leader is None:
        return True
    entries = intents.of_session(path.ledger, plan.session)
    if is_filled(plan, [(made.intent.key, made.filled_quantity) for made in entries], leader):
        return True
    deny(path, entry, "its closing half is not filled")
    return False


def _report(session: date, entries: Sequence[JournalEntry]) -> JobReport:
    counts = Counter(entry.state.value for entry in entries)
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no orders"
    return JobReport("confirm", session, JobStatus.DONE, told, dict(sorted(counts.items())))
