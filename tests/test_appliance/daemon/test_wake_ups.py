"""When the daemon looks: a date job for each row of the timetable ahead, and `due` the only starter of jobs.

Time is the test's: APScheduler, the supervisor and the ledger's instants all follow one clock that is moved by hand.
"""

from __future__ import annotations

import threading
import time as real_time
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from appliance.ledger import job_runs
from appliance.schedule.job import JobStatus
from appliance.schedule.timetable import JOBS, TIMETABLE
from signals.market.sessions import NEW_YORK, xnys
from signals.schedule.job_windows import JobWindow, upcoming
from signals.schedule.wake_ups import LOOK, WakeUps
from signals.schedule.wake_ups import TIMETABLE as TIMETABLE_JOBS
from tests.fakes.alarm import SteppedScheduler, move_time
from tests.fakes.supervisor import CALENDAR, D, SupervisorBench

BEFORE, AFTER = CALENDAR.previous(D), CALENDAR.next(D)
YEAR = xnys(date(2026, 1, 2), date(2026, 12, 31))
NAMES = tuple(f"{job} of {D}" for job in JOBS)


def new_york(clock: str, day: date = D) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), NEW_YORK).astimezone(UTC)


class Alarm(SupervisorBench):
    """A supervisor that looks only when its scheduler wakes it; each start of a job leaves a mark."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.marks = self.root / "marks"
        self.programs |= {job: f"open({str(self.marks)!r}, 'a').write('{job} ')" for job in JOBS}
        self.ends(*JOBS, session=BEFORE)

    def at_once(self) -> None:
        """Let the process at work end, by looks of the test's own."""
        while self.daemon.working_on:
            real_time.sleep(0.02)
            self.daemon.look()

    def go_to(self, at: datetime) -> None:
        """Set the clock and have the scheduler process its jobs."""
        self.mono += max(0.0, (at - self.at).total_seconds())
        self.at = at
        self.scheduler.step()
        self.at_once()

    def only_date_jobs(self) -> None:
        self.scheduler.remove_job(LOOK)

    @property
    def starts(self) -> list[str]:
        return self.marks.read_text().split() if self.marks.exists() else []

    @property
    def planned(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.wake_ups.planned())


@pytest.fixture
def alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Alarm]:
    now = [new_york("18:00", BEFORE)]
    move_time(monkeypatch, lambda: now[0])
    made = Alarm(tmp_path, at=now[0])
    move_time(monkeypatch, made.now)
    made.ready()
    made.look(most=3)
    yield made
    for daemon in made.started:
        daemon.close()


@pytest.mark.parametrize(
    ("session", "hours", "pull_grace"),
    [
        pytest.param(D, "3T23:30 3T23:30 4T13:00 4T13:00 4T14:10 4T14:45 4T21:20 4T21:20 4T21:40 4T21:45 4T21:50", 53_400, id="ordinary"),
        pytest.param(
            date(2026, 3, 9),  # New York goes from UTC-5 to UTC-4 on Sunday the 8th
            "6T23:30 6T23:30 9T12:00 9T12:00 9T13:10 9T13:45 9T20:20 9T20:20 9T20:40 9T20:45 9T20:50",
            222_600,
            id="over the spring change",
        ),
        pytest.param(
            date(2026, 11, 27),
            "25T23:30 25T23:30 27T13:00 27T13:00 27T14:10 27T14:45 27T18:20 27T18:20 27T18:40 27T18:45 27T18:50",
            139_800,
            id="early close after a holiday",
        ),
    ],
)
def test_each_row_is_a_date_job_with_its_own_name_hour_and_grace(session: date, hours: str, pull_grace: int) -> None:
    """Hours are UTC, written out by hand; a job may be late for as long as its window is open."""
    scheduler = SteppedScheduler()
    wake_ups = WakeUps(5.0, scheduler)
    wake_ups.start(lambda: None)
    before = YEAR.session(YEAR.previous(session)).at(time(18))
    ended = {(YEAR.previous(session), job) for job in JOBS}
    assert wake_ups.replace(upcoming(before, ended, YEAR, TIMETABLE))
    assert sorted(wake_ups.planned(), key=lambda job: JOBS.index(job[0].split()[0])) == [
        (f"{job} of {session}", datetime.fromisoformat(f"{session:%Y-%m}-{hour.zfill(8)}:00+00:00"))
        for job, hour in zip(JOBS, hours.split(), strict=True)
    ]
    grace = {job.name.split()[0]: job.misfire_grace_time for job in scheduler.get_jobs(TIMETABLE_JOBS)}
    assert (grace["pull"], grace["trade"]) == (pull_grace, 16 * 60)
    assert not wake_ups.replace(upcoming(before, ended, YEAR, TIMETABLE)), "the same windows change nothing"
    assert wake_ups.replace(()) and wake_ups.planned() == ()


def test_tonight_is_planned_at_the_start_and_the_next_session_once_this_one_has_ended(alarm: Alarm) -> None:
    assert set(alarm.planned) == set(NAMES)
    assert alarm.wake_ups.words[0].endswith(f"of {D} at 2026-03-03 23:30:00 UTC")
    assert alarm.daemon.vitals().scheduled == tuple(alarm.wake_ups.words)
    alarm.ends(*JOBS)
    alarm.go_to(new_york("16:51"))
    assert set(alarm.planned) == {f"{job} of {AFTER}" for job in JOBS}


def test_a_job_starts_at_its_hour_to_the_second_and_not_before(alarm: Alarm) -> None:
    alarm.only_date_jobs()
    alarm.go_to(new_york("18:29:59", BEFORE))
    assert alarm.starts == [] and alarm.scheduler.ran == []
    alarm.go_to(new_york("18:30", BEFORE))
    assert alarm.starts == ["pull"] and set(alarm.scheduler.ran) == {f"{D} pull", f"{D} score"}


def test_wake_ups_that_come_twice_start_nothing_twice(alarm: Alarm) -> None:
    """Two rows have the same hour, the regular look comes too, and each of them is repeated."""
    alarm.go_to(new_york("18:30", BEFORE))
    assert set(alarm.scheduler.ran) >= {LOOK, f"{D} pull", f"{D} score"}
    again = [JobWindow(job, D, alarm.at, alarm.at + timedelta(hours=1), "") for job in (*JOBS, "pull again")]
    assert alarm.wake_ups.replace(again)
    alarm.scheduler.ran.clear()
    alarm.scheduler.step()
    assert len(alarm.scheduler.ran) == len(again)
    alarm.at_once()
    assert alarm.starts == ["pull"]
    alarm.ends("pull")
    for _ in range(5):
        alarm.wake_ups.replace(again)
        alarm.scheduler.step()
        alarm.wake_ups.replace(())
    alarm.at_once()
    assert alarm.starts == ["pull", "score"]


@pytest.mark.parametrize("awake", ["09:20", "09:26:00"])
def test_a_job_whose_hour_passed_in_sleep_runs_late_while_its_window_is_open(alarm: Alarm, awake: str) -> None:
    alarm.ends(*JOBS[: JOBS.index("trade")])
    alarm.go_to(new_york("09:05"))
    alarm.only_date_jobs()
    alarm.go_to(new_york(awake))
    assert alarm.starts == ["trade"] and alarm.scheduler.missed == []


def test_a_job_whose_window_passed_in_sleep_is_dropped_by_the_scheduler_and_recorded_as_missed_by_due(alarm: Alarm) -> None:
    alarm.ends(*JOBS[: JOBS.index("trade")])
    alarm.go_to(new_york("09:05"))
    alarm.only_date_jobs()
    alarm.go_to(new_york("09:26:01"))
    assert alarm.scheduler.missed == [f"{D} trade"] and alarm.row("trade") is None
    alarm.look(lambda: alarm.row("trade") is not None)
    run = alarm.row("trade")
    assert isinstance(run, job_runs.JobRun) and run.status is JobStatus.FAILED
    assert run.summary == "missed: the opening auction no longer takes orders" and alarm.starts == []


def test_whatever_the_scheduler_is_asked_to_do_due_decides(alarm: Alarm) -> None:
    """A date job of the wrong hour, or for a session of another year, wakes the daemon and starts nothing."""
    wrong = [
        JobWindow("trade", D, alarm.at, alarm.at + timedelta(hours=1), ""),
        JobWindow("plan", date(2025, 1, 2), alarm.at, alarm.at, ""),
    ]
    assert alarm.wake_ups.replace(wrong)
    alarm.scheduler.step()
    assert len(alarm.scheduler.ran) == 2 and alarm.starts == [] and not alarm.daemon.working_on
    assert set(alarm.planned) == set(NAMES), "the look has put the timetable right"


def test_a_clock_that_is_set_back_has_its_date_jobs_again_and_starts_nothing_twice(alarm: Alarm) -> None:
    alarm.ends("pull", "score")
    alarm.go_to(new_york("07:59"))
    alarm.go_to(new_york("08:00:01"))
    assert alarm.starts == ["reconcile_morning"] and f"plan of {D}" not in alarm.planned
    alarm.at = new_york("07:30")
    alarm.wake_ups.restart_looks()  # as the process does when it notices the step
    alarm.go_to(new_york("07:30:06"))
    assert alarm.starts == ["reconcile_morning"]
    assert {f"reconcile_morning of {D}", f"plan of {D}"} <= set(alarm.planned)
    alarm.ends("reconcile_morning")
    alarm.go_to(new_york("08:00"))
    assert alarm.starts == ["reconcile_morning", "plan"]


def test_a_clock_behind_the_ledger_starts_nothing_at_any_hour(alarm: Alarm) -> None:
    alarm.go_to(new_york("08:30"))
    before = alarm.starts
    alarm.ends("pull", "score")
    alarm.at = new_york("07:00")
    alarm.wake_ups.restart_looks()
    for clock in ("07:00:06", "08:00", "08:10"):
        alarm.go_to(new_york(clock))
    assert alarm.standing.name == "CLOCK" and alarm.starts == before


def test_a_served_exchange_owns_its_time_only_looking_finds_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.daemon.supervisor.ExchangeTime.now", lambda self: new_york("18:00", BEFORE))
    made = Alarm(tmp_path, at=new_york("18:00", BEFORE), exchange="http://127.0.0.1:1")
    try:
        made.ready()
        made.look(most=3)
        assert made.planned == () and made.daemon.waits_for == ()
        assert [job.id for job in made.scheduler.get_jobs()] == [LOOK]
    finally:
        made.daemon.close()


def test_looks_never_overlap_however_many_wake_ups_come_at_once() -> None:
    """With the scheduler's real threads: 21 date jobs of one instant and a look every 20 ms."""
    busy, overlaps, looks = threading.Lock(), [], []

    def look() -> None:
        if not busy.acquire(blocking=False):
            overlaps.append(1)
            return
        real_time.sleep(0.005)
        looks.append(1)
        busy.release()

    wake_ups = WakeUps(0.02)
    wake_ups.start(look)
    try:
        soon = datetime.now(UTC) + timedelta(seconds=0.3)
        wake_ups.replace([JobWindow(f"job_{n}", D, soon, soon + timedelta(hours=1), "") for n in range(21)])
        until = real_time.monotonic() + 20
        while wake_ups.planned() and real_time.monotonic() < until:
            real_time.sleep(0.02)
        while len(looks) < 22 and real_time.monotonic() < until:
            real_time.sleep(0.02)
    finally:
        wake_ups.stop()
    assert wake_ups.planned() == () and overlaps == [] and len(looks) >= 22
