"""A device beside an exchange of its own process, over real HTTP: the timer's view of a session."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from appliance.schedule.timetable import TIMETABLE
from signals.schedule.job_windows import windows
from tests.fakes import steering
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]


@pytest.fixture
def url(published: Published) -> Iterator[str]:
    """A served exchange whose clock stands just before the evening of asof."""
    day = published.sessions(1)[0]
    start = windows(day, published.manifest.calendar, TIMETABLE)[0].at
    command = [sys.executable, "-m", "execution.exchange", "serve", "--data", str(published.root / "data")]
    with subprocess.Popen(
        [*command, "--port", "0", "--at", start.isoformat()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield steering.told(server.stdout.readline())
        finally:
            server.terminate()


def test_the_timer_runs_each_job_once_at_its_hour_and_the_exchange_owns_the_time(make: Make, published: Published, url: str) -> None:
    day = published.sessions(1)[0]
    bench = make(published, "served", "--url", url)
    assert bench("arm", "--yes").code == 0
    ran = []
    for row in windows(day, published.manifest.calendar, TIMETABLE):
        steering.advance(url, row.at)
        done = bench("tick", "--json")
        assert done.code == 0, (done.out, done.err)
        ran += [(job["job"], job["status"]) for job in done.json["jobs"] if job["session"] == str(day)]
        assert bench("tick").out == "nothing is due\n"
    assert ran == [(row.job, "done") for row in windows(day, published.manifest.calendar, TIMETABLE)]
    following = published.manifest.calendar.next(day)
    shown = {row["fact"]: row["value"] for row in bench("overview", "--json").json["rows"]}
    assert (shown["sessions behind"], shown["job"]) == ("0", "pull")  # by the exchange's clock: ours is years ahead
    assert bench("timetable", "--json").json["session"] == str(following)
    assert bench.rows("SELECT DISTINCT state FROM intents") == [("filled",)]
    assert bench.rows("SELECT job, attempts FROM job_runs WHERE session = ? AND attempts <> 1", str(day)) == []


def test_a_device_switched_on_too_late_says_what_it_missed_and_trades_nothing(make: Make, published: Published, url: str) -> None:
    day = published.sessions(1)[0]
    bench = make(published, "late", "--url", url)
    assert bench("arm", "--yes").code == 0
    assert bench("tick").code == 0
    steering.advance(url, published.manifest.calendar.session(day).close)
    bench("tick")
    steering.advance(url, windows(day, published.manifest.calendar, TIMETABLE)[-1].at)
    bench("tick")
    ends = dict(bench.rows("SELECT job, status FROM job_runs WHERE session = ?", str(day)))
    assert ends == {
        "pull": "done",
        "score": "done",
        "reconcile_morning": "failed",
        "plan": "failed",
        "trade": "failed",
        "confirm": "failed",
        "reconcile_close": "done",
        "report": "done",
        "heartbeat": "done",
        "prune": "done",
        "backup": "done",
    }
    missed = bench.rows("SELECT title FROM alerts ORDER BY id")
    assert (f"trade of {day} was missed",) in missed
    assert bench.rows("SELECT count(*) FROM intents") == [(0,)]
    assert bench("status").code == 3  # driven by a timer: no daemon looks after it


def test_a_hosted_exchange_has_no_time_for_a_timer(make: Make, published: Published) -> None:
    done = make(published)("tick")
    assert done.code == 2 and "run-day" in done.err


def test_a_whole_session_in_virtual_time_is_refused_at_an_exchange_that_another_process_serves(
    make: Make, published: Published, url: str
) -> None:
    bench = make(published, "served", "--url", url)
    done = bench("run-day", "--session", str(published.sessions(1)[0]))
    assert done.code == 2 and "hosted exchange" in done.err
