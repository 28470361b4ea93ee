"""Before the open of D: the plan's orders for the opening auction, each sent exactly once."""

from __future__ import annotations

from datetime import date

from appliance.account import machine_figures
from appliance.deps import Deps
from appliance.job import JobReport, JobStatus
from appliance.ledger import intents, plans
from appliance.ledger.states import IntentState
from appliance.order_figures import order_figures
from appliance.orderpath import OrderPath
from appliance.orderpath.batch import Sent, send
from appliance.orderpath.desk import open_desk
from appliance.orderpath.recovery import recover
from appliance.recording import enforce
from appliance.tripwires import Stage
from execution.orders import TimeInForce
from signals.errors import TripwireSkip


def trade(session: date, deps: Deps) -> JobReport:
    """Send the auction orders of the frozen plan; what an earlier run left unfinished is resolved first.

    Raises
    ------
    TripwireSkip
        There is no plan, or the broker's calendar has no such session.
    HaltDevice
        The latch is closed, an outcome cannot be proven, the account may not trade, or a tripwire halts.
    BrokerUnreachable
        A report could not be had; nothing was sent.
    """
    plan = plans.load(deps.ledger, session)
    if plan is None:
        raise TripwireSkip("no plan was frozen for the session", where=str(session), mend="The next one plans again")
    path = OrderPath.of(deps)
    recover(path)
    enforce(deps, session, Stage.MACHINE, machine_figures(deps))
    desk = open_desk(path, plan)
    batch = [e for e in intents.of_session(deps.ledger, session) if e.intent.time_in_force is TimeInForce.OPG]
    sent = send(path, desk, batch)
    enforce(deps, session, Stage.ORDERS, order_figures(deps, session))
    return _report(session, sent, len(plan.intents) - len(batch))


def _report(session: date, sent: Sent, waiting: int) -> JobReport:
    counts = {
        "orders": len(sent.entries),
        "at_broker": sent.at_broker,
        "refused": sent.count(IntentState.REFUSED),
        "denied": sent.count(IntentState.DENIED),
        "lapsed": sent.count(IntentState.LAPSED),
        "resent": sum(entry.posts > 1 for entry in sent.entries),
        "waiting": waiting,
    }
    summary = f"{counts['at_broker']} of {counts['orders']} auction orders are at the broker"
    dropped = {name: counts[name] for name in ("refused", "denied", "lapsed", "waiting") if counts[name]}
    if dropped:
        summary += ": " + ", ".join(f"{count} {name}" for name, count in dropped.items())
    return JobReport("trade", session, JobStatus.DONE, summary, counts)
