"""APScheduler without threads and without the machine's clock: it looks at its jobs when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any

import pytest
from apscheduler.events import EVENT_JOB_EXECUTED, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.schedulers.base import BaseScheduler

ASKS_THE_TIME = ("apscheduler.schedulers.base", "apscheduler.executors.base", "apscheduler.triggers.interval")


class Queue(BaseExecutor):
    """Keeps what is to run until the scheduler has let go of its lock, as another thread would have to."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[tuple[Any, list[datetime]]] = []

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        self._waiting.append((job, run_times))

    def run(self) -> None:
        while self._waiting:
            job, run_times = self._waiting.pop(0)
            self._run_job_success(job.id, run_job(job, job._jobstore_alias, run_times, self._logger.name))


class SteppedScheduler(BaseScheduler):
    """A scheduler that processes its jobs once at each `step`; `ran` and `missed` are ids of jobs."""

    def __init__(self) -> None:
        self.queue = Queue()
        super().__init__(timezone=UTC, executors={"default": self.queue})
        self.ran: list[str] = []
        self.missed: list[str] = []
        self.add_listener(self._note, EVENT_JOB_EXECUTED | EVENT_JOB_MISSED)

    def _note(self, event: JobExecutionEvent) -> None:
        (self.ran if event.code == EVENT_JOB_EXECUTED else self.missed).append(event.job_id)

    def wakeup(self) -> None:
        """Nobody sleeps."""

    def shutdown(self, wait: bool = True) -> None:
        super().shutdown(wait)

    def step(self) -> None:
        self._process_jobs()
        self.queue.run()


def move_time(monkeypatch: pytest.MonkeyPatch, now: Callable[[], datetime]) -> None:
    """Have APScheduler ask `now` for the time."""

    class Moved(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return now().astimezone(tz)

    for module in ASKS_THE_TIME:
        monkeypatch.setattr(f"{module}.datetime", Moved)
