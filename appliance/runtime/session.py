"""Runs jobs in this process: everything that is due now (`run-due`), or one whole session (`run-day`)."""

from datetime import date

from appliance.jobs.runner import honour_halt_request
from appliance.ledger import job_runs
from appliance.runtime.device import Device
from appliance.safety.escalation import attend
from appliance.safety.halt import halt, warn
from appliance.schedule.job import JobReport, JobStatus
from appliance.schedule.timetable import ABSENT, absence
from signals.errors import DeviceHalted, FixInput
from signals.schedule.job_windows import Decision, DueJob, catch_up, first_session


def tick(device: Device) -> list[JobReport]:
    """Run every job that is due at the device's instant, in order, and record every one that was missed.

    A job that could not run now (`TryAgain`) ends the tick and stays due for the next one.

    Raises
    ------
    FixInput
        The exchange is hosted in this process: its time moves with `run-day` and `replay` only.
    """
    if device.config.venue.is_hosted:
        raise FixInput(
            "a hosted exchange has no time of its own",
            where="venue.url is empty",
            fix="Use `appliance run-day`, or serve the exchange with `paper-exchange serve`",
        )
    with device.deps() as deps:  # a request to halt and an undelivered page come before any job
        honour_halt_request(deps, None)
        attend(deps)
    done: list[JobReport] = []
    for _ in range(2 * len(device.table)):
        found = _due(device)
        if not found:
            break
        done += [_act(device, item) for item in found]
    return done


def _due(device: Device) -> tuple[DueJob, ...]:
    with device.deps() as deps:
        now = device.clock.now()
        since = first_session(job_runs.sessions(deps.ledger), now, device.calendar)
        found = catch_up(now, job_runs.ended(deps.ledger, since), device.calendar, since, device.table)
        if (reason := absence(found.unattended)) and deps.latch.read().is_armed:
            halt(deps, None, ABSENT, reason)
    return found.due


def _act(device: Device, item: DueJob) -> JobReport:
    if item.decision is Decision.MISSED:
        report = device.close(item.job, item.session, JobStatus.FAILED, f"missed: {item.reason}")
        with device.deps() as deps:
            warn(deps, f"missed-{item.session}-{item.job}", f"{item.job} of {item.session} was missed", item.reason)
        return report
    try:
        return device.run(item.job, item.session)
    except DeviceHalted as error:
        return device.close(item.job, item.session, JobStatus.HALTED, str(error))


def run_session(device: Device, session: date) -> list[JobReport]:
    """Run every job of the session D and return their reports.

    A latch that closes on the way ends what sends orders; the books are still reconciled and the report written.

    Raises
    ------
    NotASession
        D is none, or the hosted exchange has no bars of it.
    DeviceHalted
        The latch was closed before the session began.
    """
    device.require_held(session)
    device.latch.require_armed()
    reports: list[JobReport] = []
    for name in (slot.job for slot in device.table):
        try:
            reports.append(device.run(name, session))
        except DeviceHalted as error:
            reports.append(device.close(name, session, JobStatus.HALTED, str(error)))
    return reports
