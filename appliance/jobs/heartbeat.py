"""Job after the report: pings the external watcher with success or failure of the day's invariants."""

from datetime import date

from appliance.context import Deps
from appliance.ledger import alerts, intents, job_runs, reports, snapshots
from appliance.ledger.intents import IntentState
from appliance.safety.halt import notify
from appliance.schedule.job import JobReport, JobStatus
from appliance.schedule.timetable import table_of
from appliance.system.ports import HeartbeatSignal, Severity
from signals.market.sessions import NEW_YORK
from signals.schedule.job_windows import windows

HEARTBEAT = "heartbeat"
RECENT_ALERTS = 50


def heartbeat(session: date, deps: Deps) -> JobReport:
    """Say success when nothing is broken, else `/fail` with what is; a watcher that does not answer is notified, no more."""
    found = broken(session, deps)
    figures = {"broken": list(found), "watched": deps.heartbeat.is_set}
    if not deps.heartbeat.is_set:
        outcome = "nobody outside watches"
    elif deps.heartbeat.beat(
        HeartbeatSignal.FAIL if found else HeartbeatSignal.SUCCESS, "; ".join(found) or f"{session} went as it should"
    ):
        outcome = "a failure was reported to the watcher" if found else "success was reported to the watcher"
    else:
        outcome = "the watcher did not answer"
        # a check that was never pinged pages nobody: what is wrong with its address shows here alone
        notify(
            deps,
            Severity.WARN,
            f"watcher-{session}",
            "the watcher outside did not answer",
            "It would not notice if this device fell silent",
        )
    if deps.config.daily_message and not found:
        notify(deps, Severity.INFO, f"all-well-{session}", all_well(session, deps), f"Every invariant of {session} holds")
    summary = f"{outcome}; {'; '.join(found) or 'every invariant of the day holds'}"
    return JobReport(HEARTBEAT, session, JobStatus.DONE, summary, figures)


def all_well(session: date, deps: Deps) -> str:
    """Return one line of the session: equity, orders and the next action, which a person has asked to be sent."""
    held = snapshots.latest(deps.ledger)
    equity = f"equity {held.equity:,.2f} USD, " if held else ""
    orders = intents.of_session(deps.ledger, session)
    filled = sum(one.state is IntentState.FILLED for one in orders)
    following = next((row for row in windows(deps.calendar.next(session), deps.calendar, table_of(deps.config.entering))), None)
    after = f"; next: {following.job} at {following.at.astimezone(NEW_YORK):%a %H:%M} New York" if following else ""
    return f"all well on {session}: {equity}{filled} of {len(orders)} orders filled{after}"


def broken(session: date, deps: Deps) -> tuple[str, ...]:
    """Return which invariants of the session do not hold, in words without figures; empty when all do.

    They are: every job before this one ended well, the latch is open, no order is unfinished, the report is written
    and every alert reached somebody.
    """
    found = []
    jobs = [slot.job for slot in table_of(deps.config.entering)]
    for job in jobs[: jobs.index(HEARTBEAT)]:
        run = job_runs.find(deps.ledger, session, job)
        if run is None or run.status is None:
            found.append(f"{job} has not ended")
        elif run.status is not JobStatus.DONE:
            found.append(f"{job} {run.status.value}")
    latch = deps.latch.read()
    if not latch.is_armed:
        found.append("not armed" if latch.is_fresh else f"halted by {latch.name}")
    if intents.unfinished(deps.ledger):
        found.append("an order has not ended")
    if reports.find(deps.ledger, session) is None:
        found.append("there is no report")
    if any(not row.delivered for row in alerts.newest(deps.ledger, RECENT_ALERTS)):
        found.append("an alert reached nobody")
    return tuple(found)
