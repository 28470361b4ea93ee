"""Every job of a session by its name in the timetable: what it runs, and what must have ended before it."""

from __future__ import annotations

from functools import partial

from appliance.jobs.backup import backup
from appliance.jobs.confirm import confirm
from appliance.jobs.heartbeat import heartbeat
from appliance.jobs.plan import plan
from appliance.jobs.prune import prune
from appliance.jobs.pull import pull
from appliance.jobs.reconcile import reconcile
from appliance.jobs.report import report
from appliance.jobs.runner import Entry
from appliance.jobs.score import score
from appliance.jobs.trade import trade
from appliance.schedule.timetable import JOBS, step_job
from execution.planning.entries import MAX_STEPS
from signals.errors import InvariantBroken

BASE = (
    Entry("pull", pull),
    Entry("score", score, after=("pull",)),
    Entry("reconcile_morning", reconcile),
    Entry("plan", plan, after=("score", "reconcile_morning")),
    Entry("trade", trade, after=("plan",), needs_armed=True),
    Entry("confirm", confirm, after=("trade",)),
    Entry("reconcile_close", reconcile),
    Entry("report", report, after=()),
    Entry("heartbeat", heartbeat),
    Entry("prune", prune),
    Entry("backup", backup),
)
STEPS = tuple(Entry(step_job(step), partial(trade, step=step), after=("plan",), needs_armed=True) for step in range(2, MAX_STEPS + 1))
ENTRIES: dict[str, Entry] = {entry.name: entry for entry in (*BASE, *STEPS)}

if tuple(entry.name for entry in BASE) != JOBS:
    raise InvariantBroken("the table of jobs and the timetable differ", where=f"{BASE} and {JOBS}")
