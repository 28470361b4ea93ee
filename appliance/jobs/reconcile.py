"""Morning and closing job of D: the ledger and the broker agree to the last share and cent, or the device halts."""

from datetime import date

from appliance.context import Deps
from appliance.ledger.figures import ReconcileFigures
from appliance.ledger.snapshots import Phase
from appliance.orders import OrderPath
from appliance.orders.reconciliation import agree
from appliance.orders.recovery import end_earlier, recover
from appliance.schedule.job import JobReport, JobStatus


def reconcile(session: date, deps: Deps) -> JobReport:
    """Resolve what is unfinished, then compare both books; it runs on a halted device too, and sends nothing.

    Raises
    ------
    ReconBreak
        Something differs and nothing explains it.
    UnknownOrder
        The outcome of an order cannot be proven.
    TryAgain
        An order of an earlier session works on at the broker, though it was asked to cancel it.
    BrokerUnreachable
        A report could not be had whole; nothing was recorded.
    """
    path = OrderPath.of(deps)
    phase = Phase.OPEN if deps.clock.now() < deps.calendar.session(session).open else Phase.CLOSE
    changed = recover(path)
    end_earlier(path, session)
    agreement = agree(path, session, phase)
    explained = len(agreement.notes)
    return JobReport(
        "reconcile",
        session,
        JobStatus.DONE,
        f"both books agree: {len(agreement.positions)} positions, cash {agreement.account.cash} USD"
        + (f", {explained} explained differences" if explained else ""),
        ReconcileFigures(
            positions=len(agreement.positions),
            cash=agreement.account.cash,
            equity=agreement.account.equity,
            notes=tuple(note.sentence() for note in agreement.notes),
            others={"phase": phase.value, "resolved": len(changed)},
        ),
    )
