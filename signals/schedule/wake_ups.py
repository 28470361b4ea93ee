"""APScheduler as an alarm clock: one look every few seconds, and one date job for each window of the timetable ahead.

The scheduler decides when to look and never what runs: each of its jobs calls the same function, which asks `due`.

Invariants
----------
1. Looks never overlap: one thread runs them all, whichever job of the scheduler asked for them.
2. A date job is named after the job and session whose window opens; its grace time is the window's length. One that
   is later than that is dropped by the scheduler: the next regular look finds that the job was missed.
3. Nothing is stored: the jobs are rebuilt from calendar and ledger (`replace`), so that none outlives its reason.
"""

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import BaseScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from signals.schedule.job_windows import JobWindow
from signals.text.wording import utc_words

LOOK, TIMETABLE = "look", "timetable"


class WakeUps:
    """When to look.

    Parameters
    ----------
    every_seconds : float
        Between two regular looks.
    scheduler : BaseScheduler, optional
        Default: one with a thread of its own and another one for the looks.
    """

    def __init__(self, every_seconds: float, scheduler: BaseScheduler | None = None) -> None:
        self._every = every_seconds
        self._scheduler = scheduler or BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
        self._scheduler.add_jobstore(MemoryJobStore(), TIMETABLE)

    def start(self, look: Callable[[], None]) -> None:
        """Begin to call `look`, first after the regular wait."""
        self._look = look
        # never late: a look that could not be had at its second is had at the next one
        self._scheduler.add_job(look, self._regularly(), id=LOOK, coalesce=True, max_instances=1, misfire_grace_time=None)
        self._scheduler.start()

    def stop(self) -> None:
        """Call `look` no more; one that has begun goes on."""
        self._scheduler.shutdown(wait=False)

    def restart_looks(self) -> None:
        """Count the regular wait from now: after the wall clock was set back, the next look would be that far away."""
        self._scheduler.reschedule_job(LOOK, trigger=self._regularly())

    def replace(self, ahead: Collection[JobWindow]) -> bool:
        """Have a date job for each of these windows and no other; return whether that changed anything."""
        if {(_name(window), window.at) for window in ahead} == set(self.planned()):
            return False
        self._scheduler.remove_all_jobs(TIMETABLE)
        for window in ahead:
            self._scheduler.add_job(
                self._look,
                DateTrigger(window.at, timezone=UTC),
                id=f"{window.session} {window.job}",
                name=_name(window),
                jobstore=TIMETABLE,
                misfire_grace_time=max(1, int((window.deadline - window.at).total_seconds())),
            )
        return True

    def planned(self) -> tuple[tuple[str, datetime], ...]:
        """Return the name and the instant of each date job, earliest first."""
        return tuple((job.name, job.trigger.run_date) for job in self._scheduler.get_jobs(TIMETABLE))

    @property
    def words(self) -> tuple[str, ...]:
        """The date jobs for a person, earliest first."""
        return tuple(f"{name} at {utc_words(at)}" for name, at in self.planned())

    def _regularly(self) -> IntervalTrigger:
        return IntervalTrigger(seconds=self._every, timezone=UTC)


def _name(window: JobWindow) -> str:
    return f"{window.job} of {window.session}"
