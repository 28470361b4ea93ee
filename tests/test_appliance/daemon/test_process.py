"""The threads around the supervisor: a clock that is set back does not stop the looking (F32)."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from appliance.daemon.__main__ import Process
from appliance.daemon.attempts import Pace
from appliance.system.state_folder import StateFolder
from appliance.system.time_sync import instants
from signals.schedule.wake_ups import LOOK, WakeUps


class Looking:
    """A supervisor that counts its looks."""

    def __init__(self) -> None:
        self.looks, self.jumps = 0, []
        self.seen = threading.Event()

    def look(self) -> None:
        self.looks += 1
        self.seen.set()

    @property
    def clock_guard(self) -> Looking:
        return self

    def add_jump(self, jump: object) -> None:
        self.jumps.append(jump)


def test_a_clock_that_is_set_back_by_an_hour_does_not_stop_the_looking(tmp_path: Path) -> None:
    """The scheduler waits by the wall clock: after such a step the next look would be an hour away."""
    supervisor, scheduler = Looking(), BackgroundScheduler(timezone=UTC)
    wake_ups = WakeUps(0.05, scheduler)
    process = Process(supervisor, wake_ups, StateFolder(tmp_path), {}, Pace(look=0.05), structlog.get_logger())  # type: ignore[arg-type]
    wake_ups.start(supervisor.look)
    try:
        assert supervisor.seen.wait(60)
        scheduler.modify_job(LOOK, next_run_time=datetime.now(UTC) + timedelta(hours=1))  # what the step does to it
        for _ in range(100):  # looks that had begun
            supervisor.seen.clear()
            if not supervisor.seen.wait(0.3):
                break
        assert not supervisor.seen.is_set()
        before = instants()
        process._watch_time(replace(before, wall=before.wall + 3_600))
        assert supervisor.seen.wait(60)
        assert round(supervisor.jumps[-1].set_by) == -3_600
    finally:
        wake_ups.stop()
