"""Job after an auction or a step: records fills, follows up unfilled orders, and sends those that waited."""

from collections import Counter
from collections.abc import Sequence
from datetime import date

from appliance.context import Deps
from appliance.controls import pause
from appliance.controls.tripwires import Stage
from appliance.ledger import job_runs, plans
from appliance.ledger.intents import JournalEntry
from appliance.orders import OrderPath
from appliance.orders.batch import send_closings_first
from appliance.orders.recovery import recover
from appliance.orders.unfilled_orders import add_follow_ups, settle_live
from appliance.safety.enforce import enforce
from appliance.safety.tripwire_figures import order_figures
from appliance.schedule.job import JobReport, JobStatus
from appliance.schedule.timetable import TRADE
from execution.orders import TimeInForce


def confirm(session: date, deps: Deps) -> JobReport:
    """Resolve what is in doubt and take over the fills; then send what lowers risk, then what waited.

    Nothing is sent by a device that is halted or paused, nor after a `trade` that did not end well: one that was killed leaves
    orders that the broker has, one that was skipped for the broker's calendar must be followed by none.

    Raises
    ------
    HaltDevice
        An outcome cannot be proven, the account may not trade, or a tripwire halts.
    BrokerUnreachable
        A report could not be had; nothing more was sent.
    """
    plan = plans.load(deps.ledger, session)
    if plan is None:
        return JobReport("confirm", session, JobStatus.SKIPPED, "no plan was frozen: there is nothing to confirm")
    path = OrderPath.of(deps)
    recover(path)
    traded = job_runs.find(deps.ledger, session, TRADE)  # it has ended: the runner sees to that
    has_ended_well = traded is None or traded.status is JobStatus.DONE
    if has_ended_well and deps.latch.read().is_armed and not pause.sentence(deps.fs, deps.folder, session):
        add_follow_ups(path, session)
        send_closings_first(path, plan, _waits)
    entries = settle_live(path, session)
    enforce(deps, session, Stage.ORDERS, order_figures(deps, session))
    return _report(session, entries, "" if has_ended_well else "; nothing new was sent: trade did not end well")


def _waits(entry: JournalEntry) -> bool:
    """Whether the order follows an auction; the steps of a schedule have jobs of their own."""
    return entry.intent.time_in_force is TimeInForce.DAY and entry.intent.step == 0


def _report(session: date, entries: Sequence[JournalEntry], held_back: str) -> JobReport:
    counts = Counter(entry.state.value for entry in entries)
    summary = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no orders"
    return JobReport("confirm", session, JobStatus.DONE, summary + held_back, dict(sorted(counts.items())))
