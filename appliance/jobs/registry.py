"""The table of all jobs by name: the function of each, and the jobs that must have ended before it, well or at all."""

from datetime import date
from importlib import import_module

from appliance.context import Deps
from appliance.jobs.runner import Job, JobSpec
from appliance.schedule.job import JobReport
from appliance.schedule.timetable import JOBS, step_job
from execution.planning.config import MAX_STEPS
from signals.errors import InvariantBroken


def _job(name: str, **given: int) -> Job:
    """Return the job that the module of its name holds, imported when it runs: a process loads the libraries of its own job alone."""

    def run(session: date, deps: Deps) -> JobReport:
        job: Job = getattr(import_module(f"appliance.jobs.{name}"), name)
        return job(session, deps, **given)

    return run


BASE = (
    JobSpec("pull", _job("pull")),
    JobSpec("score", _job("score"), after=("pull",)),
    JobSpec("reconcile_morning", _job("reconcile")),
    JobSpec("plan", _job("plan"), after=("score", "reconcile_morning")),
    JobSpec("trade", _job("trade"), after=("plan",), needs_armed=True),
    JobSpec("confirm", _job("confirm"), follows=("trade",)),
    JobSpec("reconcile_close", _job("reconcile"), is_repeatable=True),
    JobSpec("report", _job("report"), is_repeatable=True),
    JobSpec("heartbeat", _job("heartbeat")),
    JobSpec("prune", _job("prune")),
    JobSpec("backup", _job("backup")),
)
STEPS = tuple(JobSpec(step_job(step), _job("trade", step=step), after=("plan",), needs_armed=True) for step in range(2, MAX_STEPS + 1))
ENTRIES: dict[str, JobSpec] = {entry.name: entry for entry in (*BASE, *STEPS)}

if tuple(entry.name for entry in BASE) != JOBS:
    raise InvariantBroken("the table of jobs and the timetable differ", where=f"{BASE} and {JOBS}")
