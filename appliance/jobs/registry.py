"""The table of all jobs by name: the function of each, and the jobs that must have ended before it."""

from functools import partial

from appliance.jobs.backup import backup
from appliance.jobs.confirm import confirm
from appliance.jobs.heartbeat import heartbeat
from appliance.jobs.plan import plan
from appliance.jobs.prune import prune
from appliance.jobs.pull import pull
from appliance.jobs.reconcile import reconcile
from appliance.jobs.report import report
from appliance.jobs.runner import JobSpec
from appliance.jobs.score import score
from appliance.jobs.trade import trade
from appliance.schedule.timetable import JOBS, step_job
from execution.planning.entries import MAX_STEPS
from signals.errors import InvariantBroken

BASE = (
    JobSpec("pull", pull),
    JobSpec("score", score, after=("pull",)),
    JobSpec("reconcile_morning", reconcile),
    JobSpec("plan", plan, after=("score", "reconcile_morning")),
    JobSpec("trade", trade, after=("plan",), needs_armed=True),
    JobSpec("confirm", confirm, after=("trade",)),
    JobSpec("reconcile_close", reconcile),
    JobSpec("report", report, after=()),
    JobSpec("heartbeat", heartbeat),
    JobSpec("prune", prune),
    JobSpec("backup", backup),
)
STEPS = tuple(JobSpec(step_job(step), partial(trade, step=step), after=("plan",), needs_armed=True) for step in range(2, MAX_STEPS + 1))
ENTRIES: dict[str, JobSpec] = {entry.name: entry for entry in (*BASE, *STEPS)}

if tuple(entry.name for entry in BASE) != JOBS:
    raise InvariantBroken("the table of jobs and the timetable differ", where=f"{BASE} and {JOBS}")
