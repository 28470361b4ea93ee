"""The daemon's look, with time in the test's hands: what closes the latch, what becomes of a job, what is told."""

from __future__ import annotations

import json
import time as real_time
from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from pathlib import Path

import pytest

from appliance.daemon.briefing import Briefing
from appliance.daemon.job_outcomes import MAX_CRASHES
from appliance.ledger import AccessMode, Ledger, alerts, job_runs
from appliance.schedule.job import JobReport, JobStatus
from appliance.schedule.timetable import JOBS, Entering
from appliance.system.ports import Alert, Severity
from appliance.system.state_folder import exclusive
from appliance.system.time_sync import Jump
from tests.fakes.supervisor import CALENDAR, SYNCHRONISED, D, SupervisorBench

Make = Callable[..., SupervisorBench]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[SupervisorBench] = []

    def build(**more: str | float) -> SupervisorBench:
        made.append(SupervisorBench(tmp_path, **more))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for bench in made:
        for daemon in bench.started:
            daemon.close()


@pytest.fixture
def bench(make: Make) -> SupervisorBench:
    return make()


@pytest.mark.parametrize(("sync", "skew"), [("the clock is not synchronised: chrony has no source", 0.0), (SYNCHRONISED, 90.0)])
def test_a_clock_that_cannot_be_believed_keeps_the_device_from_beginning_and_is_told(
    make: Make, tmp_path: Path, sync: str, skew: float
) -> None:
    """F60: no job starts, whatever the hour; after ten minutes a person is paged; it begins when the clock is right."""
    bench = make(sync=sync, skew=skew)
    bench.look(most=40)
    assert not bench.daemon.is_ready and bench.daemon.waits_for != ()
    bench.mono += 601.0
    bench.look(most=5)
    assert ("page", "the device cannot begin", "; ".join(bench.daemon.waits_for)) in bench.told()
    assert {(tmp_path / "run" / name).stat().st_mode & 0o777 for name in ("health.json", "metrics.prom")} == {0o640}
    facts = json.loads((tmp_path / "run" / "health.json").read_text())
    assert facts["verdict"] == "degraded" and facts["waits_for"] == list(bench.daemon.waits_for)
    assert all(bench.row(job) is None for job in JOBS)
    bench.sync, bench.skew = SYNCHRONISED, 0.0
    bench.ready()


@pytest.mark.parametrize("set_by", [90.0, -90.0, -3_600.0])
def test_a_clock_that_jumps_halts(bench: SupervisorBench, set_by: float) -> None:
    """F32: the daemon's half; the jobs measure the rest."""
    bench.ready()
    bench.daemon.clock_guard.add_jump(Jump(set_by, 0.0))
    bench.look(most=1)
    assert bench.standing.name == "CLOCK" and f"by {set_by:+.1f} s" in bench.standing.reason


def test_a_small_step_is_told_a_sleep_is_told_and_neither_halts(bench: SupervisorBench) -> None:
    bench.ready()
    bench.daemon.clock_guard.add_jump(Jump(3.0, 0.0))
    bench.daemon.clock_guard.add_jump(Jump(0.001, 7_200.0))
    bench.look(most=2)
    assert bench.standing.is_armed
    assert {(s, t) for s, t, _ in bench.told()} == {("warn", "the clock jumped"), ("warn", "the machine slept")}


def test_a_clock_that_is_stepped_before_the_device_began_does_not_halt(make: Make) -> None:
    bench = make(sync="not yet")
    bench.look(most=10)
    bench.daemon.clock_guard.add_jump(Jump(1e6, 0.0))
    bench.look(most=2)
    assert bench.standing.is_armed


@pytest.mark.parametrize(("skew", "halts"), [(3.0, False), (6.0, True)])
def test_the_broker_s_clock_is_asked_again_every_hour(bench: SupervisorBench, skew: float, halts: bool) -> None:
    bench.ends(*JOBS)  # nothing is due: no job is at work when it looks
    bench.ready()
    bench.skew = skew
    bench.look(most=3)
    assert bench.standing.is_armed and bench.told() == []
    bench.mono += 3_600.0
    bench.look(lambda: bench.told() != [])
    assert (bench.standing.name == "CLOCK") is halts
    assert [t for _, t, _ in bench.told()] == ["the clock is wrong"]


def test_a_clock_behind_the_ledger_halts_and_nothing_runs_until_it_has_caught_up(bench: SupervisorBench) -> None:
    bench.ends("pull", "score")
    bench.at -= timedelta(hours=1)
    bench.look(most=40)
    assert bench.standing.name == "CLOCK" and "the ledger already holds" in bench.standing.reason
    assert bench.row("reconcile_morning") is None and any("ledger already holds" in w for w in bench.daemon.waits_for)
    bench.at += timedelta(hours=1)
    bench.look(lambda: bench.daemon.waits_for == ())
    assert bench.daemon.waits_for == ()


def test_what_was_missed_is_explained_once_and_told_once(bench: SupervisorBench) -> None:
    bench.at = CALENDAR.session(D).at(time(11))
    bench.ends(*JOBS, session=date(2026, 3, 3))
    bench.ends("pull", "score")
    bench.look(lambda: bench.row("trade") is not None)
    for _ in range(3):
        bench.look(most=2)
    ends = {job: bench.row(job) for job in ("reconcile_morning", "plan", "trade")}
    assert {run.status for run in ends.values() if run} == {JobStatus.FAILED}
    assert ends["trade"] is not None
    assert ends["trade"].summary == "missed: the opening auction no longer takes orders"
    assert [t for _, t, _ in bench.told()] == [f"3 jobs of {D} were missed"]


def test_a_job_that_was_cut_off_and_is_too_late_says_so(bench: SupervisorBench) -> None:
    with Ledger(bench.folder.ledger, AccessMode.WRITE) as ledger:
        for job in ("pull", "score", "reconcile_morning", "plan"):
            job_runs.begin(ledger, D, job, bench.at)
            job_runs.finish(ledger, JobReport(job, D, JobStatus.DONE, "well"), bench.at)
        job_runs.begin(ledger, D, "trade", CALENDAR.session(D).at(time(9, 10)))
    bench.at = CALENDAR.session(D).at(time(9, 27))
    bench.look(lambda: (run := bench.row("trade")) is not None and run.status is not None)
    run = bench.row("trade")
    assert run is not None and "it began 2026-03-04 14:10:00 UTC and did not end" in run.summary


def test_away_for_too_long_halts_and_every_job_of_every_session_has_its_row(bench: SupervisorBench) -> None:
    bench.ends(*JOBS, session=D)
    back = date(2026, 3, 12)
    bench.at = CALENDAR.session(back).at(time(8, 30))
    bench.look(lambda: bench.row("prune", date(2026, 3, 11)) is not None)
    assert bench.standing.name == "ABSENT" and "nothing ran for 5 sessions" in bench.standing.reason
    for day in CALENDAR.between(date(2026, 3, 5), date(2026, 3, 11)):
        runs = [bench.row(job, day) for job in JOBS]
        assert {run.status for run in runs if run} == {JobStatus.FAILED} and None not in runs


def test_a_job_that_crashes_is_tried_again_ever_more_slowly_and_then_ends_in_words(bench: SupervisorBench) -> None:
    """F57."""
    bench.ends("pull", "score")
    bench.programs["reconcile_morning"] = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    bench.ready()
    starts = 0
    for crash in range(MAX_CRASHES):
        bench.look(lambda: bench.daemon.working_on.startswith("reconcile_morning"))
        starts += 1
        bench.look(lambda: not bench.daemon.working_on)
        bench.mono += 60.0 * 2**crash - 10.0
        assert bench.daemon.working_on == ""
        bench.mono += 11.0
    run = bench.row("reconcile_morning")
    assert run is not None and run.status is JobStatus.FAILED and starts == MAX_CRASHES
    assert run.summary.startswith("it was tried 5 times; the last time it was killed (SIGKILL)")
    assert ("page", f"reconcile_morning of {D} failed") in [(s, t) for s, t, _ in bench.told()]


def test_a_job_that_asks_for_another_attempt_is_tried_until_its_deadline_and_its_words_are_kept(bench: SupervisorBench) -> None:
    bench.ends("pull", "score")
    bench.programs["reconcile_morning"] = "import sys; sys.stderr.write('no answer\\n'); sys.exit(5)"
    bench.ready()
    for _ in range(MAX_CRASHES + 2):
        bench.look(lambda: bench.daemon.working_on.startswith("reconcile_morning"))
        bench.look(lambda: not bench.daemon.working_on)
        assert bench.row("reconcile_morning") is None
        assert [text.split(":")[0] for text in bench.daemon.tries_again] == [f"reconcile_morning of {D} is tried again"]
        bench.look(most=3)
        assert bench.daemon.working_on == ""  # not before a minute has passed
        bench.mono += 61.0
    bench.at = CALENDAR.session(D).at(time(9, 21))
    bench.look(lambda: bench.row("reconcile_morning") is not None)
    run = bench.row("reconcile_morning")
    assert run is not None and run.status is JobStatus.FAILED
    assert run.summary == ("missed: not reconciled in time: nothing is traded; the last attempt said: it ended with exit code 5: no answer")
    assert bench.daemon.tries_again == ()


def test_a_job_that_finds_the_latch_closed_ends_as_halted(bench: SupervisorBench) -> None:
    bench.ends(*JOBS[: JOBS.index("trade")])
    bench.at = CALENDAR.session(D).at(time(9, 12))
    bench.programs["trade"] = "import sys; sys.stderr.write('HALTED by X\\n'); sys.exit(4)"
    bench.latch.halt("X", "a test", bench.at)
    bench.look(lambda: bench.row("trade") is not None)
    run = bench.row("trade")
    assert run is not None and (run.status, run.summary) == (JobStatus.HALTED, "HALTED by X")


def test_a_row_is_not_closed_under_a_person_s_hands(bench: SupervisorBench) -> None:
    bench.ends("pull", "score")
    bench.at = CALENDAR.session(D).at(time(11))
    with exclusive(bench.folder):
        bench.look(most=40)
        assert bench.row("trade") is None and bench.daemon.waits_for == ()
    bench.look(lambda: bench.row("trade") is not None)


def test_a_restart_says_that_the_one_before_did_not_end_and_an_orderly_one_says_nothing(bench: SupervisorBench) -> None:
    bench.daemon.note_start("boot 1", 10)
    bench.start().note_start("boot 1", 11)
    bench.start().note_start("boot 2", 12)
    bench.daemon.note_end("boot 2", 12)
    bench.start().note_start("boot 3", 13)
    titles = [t for _, t, _ in bench.told()]
    assert titles == ["the daemon began again: its process was restarted", "the daemon began again: the machine was restarted"]


def test_without_a_briefing_it_asks_again_and_one_that_was_kept_serves(bench: SupervisorBench) -> None:
    bench.programs["brief"] = "import sys; sys.stderr.write('no store\\n'); sys.exit(5)"
    bench.ready()
    bench.folder.briefing.unlink()
    bench.daemon = bench.start()
    bench.look(most=40)
    assert bench.daemon.waits_for == ("it ended with exit code 5: no store",)


def test_settings_that_were_edited_in_the_night_move_the_orders_of_the_plan_made_by_them(bench: SupervisorBench) -> None:
    """From the opening auction to steps: at 09:10 nothing could leave, and nobody would send the steps."""
    traded = bench.root / "traded"
    bench.programs["trade"] = f"open({str(traded)!r}, 'a').write('x')"
    bench.ends("pull", "score")
    bench.ready()
    edited = Briefing("", "http://broker", 5.0, CALENDAR, Entering("twap"))
    bench.folder.briefing.write_bytes(edited.to_bytes())  # as the next child writes it
    bench.look(lambda: bench.daemon.working_on.startswith("reconcile_morning"))
    bench.look(lambda: not bench.daemon.working_on)
    bench.ends("reconcile_morning", "plan")
    bench.at = CALENDAR.session(D).at(time(9, 12))
    bench.look(most=5)
    assert not traded.exists()
    bench.at = CALENDAR.session(D).at(time(9, 45))
    bench.look(traded.exists)


def test_a_disk_that_fills_between_two_jobs_is_attended_to_and_again_ten_minutes_later(
    bench: SupervisorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D8: the idle daemon measures at every look; what it starts makes room or halts."""
    marks = bench.root / "marks"
    bench.programs["attend"] = f"open({str(marks)!r}, 'a').write('x')"
    bench.ends(*JOBS[: JOBS.index("trade")])
    bench.ready()
    bench.look(most=5)
    assert not marks.exists()
    monkeypatch.setattr("appliance.status.vitals._free", lambda folder: 0.099)
    bench.look(lambda: marks.exists() and not bench.daemon.working_on)
    bench.look(most=20)
    assert marks.read_text() == "x"
    bench.mono += 600.0
    bench.look(lambda: marks.read_text() == "xx")
    assert marks.read_text() == "xx"


DAMAGE: dict[str, Callable[[Path], object]] = {
    "written over": lambda path: path.write_bytes(b"not a database" * 1000),
    "gone": lambda path: path.unlink(),
    "exchanged": lambda path: path.write_bytes(path.unlink() or b"SQLite format 3\0" + bytes(4080)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_ledger_that_is_damaged_under_the_daemon_halts_and_is_told(make: Make, kind: str) -> None:
    """An attendance cancels and tells, once an hour, and no job begins any more."""
    bench = make()
    bench.ready()
    attended = bench.root / "attended"
    bench.programs["attend"] = f"open({str(attended)!r}, 'a').write('x')"
    bench.look(most=5)
    DAMAGE[kind](bench.folder.ledger)
    attended.unlink(missing_ok=True)
    bench.look(attended.exists)
    bench.look(most=20)
    assert (bench.standing.name, bench.standing.is_armed) == ("LEDGER_DAMAGED", False)
    assert attended.read_text() == "x"
    assert any("ledger" in words for words in bench.daemon.waits_for)
    assert bench.daemon.liveness.is_alive(bench.mono)
    bench.mono += 3_600
    bench.look(lambda: attended.read_text() == "xx")


def test_a_job_that_finds_the_ledger_damaged_where_the_daemon_has_not_looked_halts(make: Make) -> None:
    """The file's head is whole; the check that a job makes of all of it fails."""
    bench = make()
    bench.ready()
    with Ledger(bench.folder.ledger) as ledger, ledger.transaction():
        for number in range(300):
            alerts.add(ledger, Alert(Severity.INFO, f"{number}", "t", "b" * 200, bench.at), delivered=True)
    content = bytearray(bench.folder.ledger.read_bytes())
    content[4096 * 30 : 4096 * 36] = bytes(4096 * 6)
    with bench.folder.ledger.open("r+b") as stream:
        stream.write(content)
    bench.programs |= dict.fromkeys(("attend", *JOBS), "raise SystemExit(4)")
    bench.look(lambda: not bench.standing.is_armed)
    assert bench.standing.name == "LEDGER_DAMAGED"


@pytest.mark.parametrize("make_file", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_whatever_bears_the_name_halt_closes_the_latch_at_the_next_look(make: Make, make_file: Callable[[Path], object]) -> None:
    bench = make()
    bench.ready()
    make_file(bench.folder.halt_request)
    bench.daemon.look()
    assert bench.standing.name == "CLOSED"


def test_attendances_that_fail_come_ever_more_seldom(make: Make) -> None:
    """Each may have told a person; one that only found the folder locked does not count."""
    bench = make()
    bench.ready()
    count = bench.root / "count"
    bench.programs["attend"] = f"open({str(count)!r}, 'a').write('x'); raise SystemExit(1)"
    bench.folder.halt_request.touch()
    bench.ends(*JOBS)
    for _ in range(65):
        bench.mono += 60.0
        bench.daemon.look()
        while bench.daemon.working_on:
            real_time.sleep(0.02)
            bench.daemon.look()
    assert 4 <= len(count.read_text()) <= 8, "within an hour"


def test_a_deaf_control_socket_is_no_ok(make: Make) -> None:
    bench = make()
    bench.ready()
    bench.look(most=3)
    assert not any("socket" in reason for reason in bench.daemon.vitals().reasons)
    bench.daemon.socket_trouble = "the control socket cannot be opened: Too many open files"
    facts = bench.daemon.vitals()
    assert facts.verdict != "ok" and bench.daemon.socket_trouble in facts.reasons
