"""One whole session of a device, job by job, in the timetable's order."""

from __future__ import annotations

from datetime import date

from appliance.runtime.device import Device
from appliance.schedule.job import JobReport, JobStatus
from signals.errors import DeviceHalted


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
