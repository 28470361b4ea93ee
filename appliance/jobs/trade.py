"""Sends the plan's orders for an auction or for one step of the session, each exactly once."""

from datetime import date

from appliance.context import Deps
from appliance.controls import pause
from appliance.controls.tripwires import Stage
from appliance.ledger import intents, plans
from appliance.ledger.intents import IntentState, JournalEntry
from appliance.orders import OrderPath
from appliance.orders.batch import SentBatch, send, send_closings_first
from appliance.orders.pretrade_context import fetch_context
from appliance.orders.recovery import recover
from appliance.orders.unfilled_orders import renew
from appliance.safety.enforce import enforce
from appliance.safety.tripwire_figures import machine_figures, order_figures
from appliance.schedule.job import JobReport, JobStatus
from execution.orders import TimeInForce
from signals.errors import TripwireSkip

AUCTIONS = (TimeInForce.OPG, TimeInForce.CLS)


def trade(session: date, deps: Deps, step: int = 1) -> JobReport:
    """Send the orders of the frozen plan that leave now; what an earlier run left unfinished is resolved first.

    Parameters
    ----------
    step : int
        Of a schedule through the day. With the first one leave the auction orders of a plan that has such.

    Raises
    ------
    SkipSession
        A person paused it; what an earlier run left is resolved.
    TripwireSkip
        There is no plan, or the broker's calendar has no such session.
    HaltDevice
        The latch is closed, an outcome cannot be proven, the account may not trade, or a tripwire halts.
    BrokerUnreachable
        A report could not be had; nothing was sent.
    """
    plan = plans.load(deps.ledger, session)
    if plan is None:
        raise TripwireSkip("no plan was frozen for the session", where=str(session), fix="The next one plans again")
    path = OrderPath.of(deps)
    recover(path)
    enforce(deps, session, Stage.MACHINE, machine_figures(deps))
    pause.require_none(deps.fs, deps.folder, session)
    auction = [e for e in intents.of_session(deps.ledger, session) if step == 1 and e.intent.time_in_force in AUCTIONS]
    is_stepped = any(intent.step for intent in plan.intents)
    if is_stepped:
        renew(path, plan, step)
        sent = send_closings_first(path, plan, lambda entry: _leaves(entry, step))
    else:
        sent = send(path, fetch_context(path, plan), auction)
    enforce(deps, session, Stage.ORDERS, order_figures(deps, session))
    what = f"orders of step {step}" if is_stepped else "auction orders"
    return _report(session, sent, len(plan.intents) - len(sent.entries), what)


def _leaves(entry: JournalEntry, step: int) -> bool:
    """Whether the order belongs to this step, or is a new attempt of an earlier one; a missed step stays unsent."""
    own = entry.intent.step
    return own == step or (0 < own < step and entry.intent.key.attempt > 0)


def _report(session: date, sent: SentBatch, waiting: int, what: str) -> JobReport:
    counts = {
        "orders": len(sent.entries),
        "at_broker": sent.at_broker,
        "refused": sent.count(IntentState.REFUSED),
        "denied": sent.count(IntentState.DENIED),
        "lapsed": sent.count(IntentState.LAPSED),
        "resent": sum(entry.posts > 1 for entry in sent.entries),
        "waiting": waiting,
    }
    summary = f"{counts['at_broker']} of {counts['orders']} {what} are at the broker"
    dropped = {name: counts[name] for name in ("refused", "denied", "lapsed", "waiting") if counts[name]}
    if dropped:
        summary += ": " + ", ".join(f"{count} {name}" for name, count in dropped.items())
    return JobReport("trade", session, JobStatus.DONE, summary, counts)
