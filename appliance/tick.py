"""What a timer does every few minutes: honour a kill, repeat an unheard page, run what is due, tell what was missed."""

from __future__ import annotations

from datetime import date, timedelta

from appliance.device import Device
from appliance.halting import tell
from appliance.job import JobReport, JobStatus
from appliance.jobs.running import honour_halt_request
from appliance.ledger import job_runs
from appliance.paging import repeat
from appliance.schedule import JOBS, Decision, due
from appliance.seams import Severity
from signals.errors import DeviceHalted, FixInput

LOOK_BACK = timedelta(days=14)


def tick(device: Device) -> list[JobReport]:
    """Run every job that is due at the device's instant, in order, and record every one that was missed.

    A job that could not run now (`TryAgain`) ends the tick and stays due for the next one.

    Raises
    ------
    FixInput
        The exchange is hosted in this process: its time moves with `run-day` and `replay` alone.
    """
    if device.config.venue.is_hosted:
        raise FixInput(
            "a hosted exchange has no time of its own", where="venue.url is empty",
            mend="Use `appliance run-day`, or serve the exchange with `paper-exchange serve`",
        )  # fmt: skip
    with device.deps() as deps:  # a kill and an unheard page come before any job
        honour_halt_request(deps, None)
        repeat(deps)
    done: list[JobReport] = []
    first = _first_session(device)
    for _ in range(2 * len(JOBS)):
        found = [item for item in due(device.clock.now(), _ended(device), device.calendar) if item.session >= first]
        if not found:
            break
        done += [_act(device, item.job, item.session, item.decision, item.reason) for item in found]
    return done


def _act(device: Device, job: str, session: date, decision: Decision, reason: str) -> JobReport:
    if decision is Decision.MISSED:
        report = device.close(job, session, JobStatus.FAILED, f"missed: {reason}")
        with device.deps() as deps:
            tell(deps, Severity.WARN, f"missed-{session}-{job}", f"{job} of {session} was missed", reason)
        return report
    try:
        return device.run(job, session)
    except DeviceHalted as error:
        return device.close(job, session, JobStatus.HALTED, str(error))


def _first_session(device: Device) -> date:
    """The first session that this device has anything to do with: on a fresh one, the session that is ahead."""
    with device.deps() as deps:
        runs = job_runs.since(deps.ledger, date.min)
    ahead = device.calendar.next(device.calendar.last_closed(device.clock.now()))
    return min((run.session for run in runs), default=ahead)


def _ended(device: Device) -> set[tuple[date, str]]:
    with device.deps() as deps:
        runs = job_runs.since(deps.ledger, device.clock.now().date() - LOOK_BACK)
    return {(run.session, run.job) for run in runs if run.status is not None}
