"""Runs a job: once per session, after the jobs it depends on, with exactly one recorded outcome.

Invariants
----------
1. A job that has ended for a session is not run again; asking for it answers what happened.
2. A job whose predecessor did not end well is skipped, unless it has to look at what that one left; one whose predecessor has
   not ended does not start.
3. `SkipSession` ends the job as skipped and notifies a person; `HaltDevice` closes the latch before anything else; a
   fault that may pass (`TryAgain`), a mistake of the caller (`FixInput`) and a crash leave the job open.
4. A run by hand of a job that says how the session ended, before its time in the timetable, does not end the job.
5. A person's request to halt, a file named HALT in the state folder, is honoured before any job.
6. Before any job the disk is looked at: a filling one loses its caches, a full one halts the device.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

from appliance.context import Deps
from appliance.controls import halt_file
from appliance.jobs.prune import free_disk_space
from appliance.ledger import job_runs, snapshots
from appliance.ledger.job_runs import JobRun
from appliance.safety.halt import halt, halt_name, warn
from appliance.schedule.job import JobReport, JobStatus
from appliance.schedule.timetable import table_of
from signals.errors import FixInput, HaltDevice, OutcomeUnknown, Paused, SkipSession
from signals.schedule.job_windows import windows

PLAN = "plan"
KEPT = "halt_file"  # names the file HALT that was carried out and could not be removed
Job = Callable[[date, Deps], JobReport]


@dataclass(frozen=True)
class JobSpec:
    """One row of the table of jobs.

    Attributes
    ----------
    name : str
        As in the timetable and the ledger.
    after : tuple of str
        Jobs of the same session that must have ended well.
    follows : tuple of str
        Jobs of the same session that must have ended, however: this one settles what they left.
    needs_armed : bool
        Whether it sends orders.
    is_repeatable : bool
        Whether a run before its time leaves it open: what it says then is not how the session ended.
    """

    name: str
    job: Job
    after: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    needs_armed: bool = False
    is_repeatable: bool = False


def run_job(entry: JobSpec, session: date, deps: Deps) -> JobReport:
    """Run one job of the session D to its recorded end and return its report.

    Raises
    ------
    DeviceHalted
        The job sends orders and the latch is closed.
    FixInput
        A predecessor has not ended, or the input needs a person.
    TryAgain
        Nothing was changed; the job stays open.
    """
    earlier = job_runs.find(deps.ledger, session, entry.name)
    if earlier is not None and earlier.status is not None:
        return JobReport(entry.name, session, earlier.status, _again(earlier), dict(earlier.figures))
    honour_halt_request(deps, session)
    free_disk_space(deps, session)
    if entry.is_repeatable and _is_early(entry, session, deps):
        report = _outcome(entry, session, deps)
        return replace(report, summary=f"{report.summary} (before its time: it runs again after the close)")
    blocker = _blocker(entry, session, deps)
    if blocker is None and entry.needs_armed:
        deps.latch.require_armed()
    job_runs.begin(deps.ledger, session, entry.name, deps.clock.now())
    report = _skipped_by(entry, session, blocker) if blocker else _outcome(entry, session, deps)
    job_runs.finish(deps.ledger, report, deps.clock.now())
    if entry.name == PLAN and report.status is JobStatus.SKIPPED:
        _count_skips(session, deps)
    return report


def honour_halt_request(deps: Deps, session: date | None) -> None:
    """Close the latch when the file HALT is in the state folder, then remove the file: the latch remembers.

    One that cannot be removed is carried out once, and a person is asked to remove it.
    """
    if not halt_file.is_requested(deps.fs, deps.folder):
        return
    deps.latch.close()
    if (kept := deps.ledger.read_meta(KEPT)) and kept == halt_file.identity(deps.folder):
        halt_file.remove(deps.fs, deps.folder)
        return
    words = halt_file.stated_reason(deps.fs, deps.folder)
    halt(deps, session, "MANUAL", f"the file HALT was found: {words}", measure="halt_requests")
    take_halt_file_away(deps)


def take_halt_file_away(deps: Deps) -> None:
    """Remove the file HALT once it was carried out, or ask a person to, and remember that it was."""
    if not halt_file.remove(deps.fs, deps.folder):
        deps.ledger.write_meta(KEPT, halt_file.identity(deps.folder))
        warn(deps, "halt-file", "the file HALT cannot be removed", f"Remove {deps.folder.halt_request} yourself before you re-arm")


def _outcome(entry: JobSpec, session: date, deps: Deps) -> JobReport:
    try:
        return replace(entry.job(session, deps), job=entry.name, session=session)
    except SkipSession as error:
        warn(deps, f"skip-{session}", f"{session} is skipped", f"{error}. No new orders; {_exposure(deps)}.")
        return JobReport(entry.name, session, JobStatus.SKIPPED, str(error), {"error": type(error).__name__})
    except (HaltDevice, OutcomeUnknown) as error:
        record = halt(deps, session, halt_name(error), str(error))
        figures = {"error": type(error).__name__, "halt_id": record.halt_id}
        return JobReport(entry.name, session, JobStatus.HALTED, str(error), figures)


def _is_early(entry: JobSpec, session: date, deps: Deps) -> bool:
    table = table_of(deps.config.entering)
    return any(deps.clock.now() < row.at for row in windows(session, deps.calendar, table) if row.job == entry.name)


def _blocker(entry: JobSpec, session: date, deps: Deps) -> JobRun | None:
    for name in (*entry.after, *entry.follows):
        run = job_runs.find(deps.ledger, session, name)
        if run is None or run.status is None:
            raise FixInput(
                f"{entry.name} comes after {name}, which has not ended for {session}",
                fix=f"Run `appliance {name.removesuffix('_morning').removesuffix('_close')} --session {session}`",
            )
        if name in entry.after and run.status is not JobStatus.DONE:
            return run
    return None


def _skipped_by(entry: JobSpec, session: date, blocker: JobRun) -> JobReport:
    status = blocker.status.value if blocker.status else "open"
    return JobReport(entry.name, session, JobStatus.SKIPPED, f"{blocker.job} was {status}: {blocker.summary}", {"because_of": blocker.job})


def _count_skips(session: date, deps: Deps) -> None:
    limit = deps.config.tripwires.skips_that_halt
    day, skipped = session, 0
    while skipped < limit:
        run = job_runs.find(deps.ledger, day, PLAN)
        if run is None or run.status is not JobStatus.SKIPPED:
            return
        skipped += run.figures.get("error") != Paused.__name__  # what a person asked for neither counts nor ends the count
        if deps.calendar.days[0] == day:
            break
        day = deps.calendar.previous(day)
    if skipped >= limit:
        halt(deps, session, "SKIPS_IN_A_ROW", f"{limit} sessions in a row were skipped", measure="skipped sessions")


def _exposure(deps: Deps) -> str:
    held = snapshots.latest(deps.ledger)
    return f"{len(held.positions)} positions stay held" if held else "nothing is recorded as held"


def _again(run: JobRun) -> str:
    status = run.status.value if run.status else "open"
    return f"{run.summary} (already {status}; nothing was changed)"
