"""Down from any minute, back at any later one: what becomes of each job, against a plain table (D3, F52, F54)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.schedule.timetable import ABSENT_SESSIONS, JOBS, TIMETABLE, absence
from signals.market.sessions import NEW_YORK, xnys
from signals.schedule import job_windows
from signals.schedule.job_windows import Decision, catch_up, first_session, windows

CALENDAR = xnys(date(2026, 1, 2), date(2026, 12, 31))

# The oracle: New York wall clock, written out by hand for three kinds of day. Job: when it runs, until when it may.
ORDINARY = {
    "pull": ("2026-03-03 18:30", "2026-03-04 09:20"),
    "score": ("2026-03-03 18:30", "2026-03-04 09:20"),
    "reconcile_morning": ("2026-03-04 08:00", "2026-03-04 09:20"),
    "plan": ("2026-03-04 08:00", "2026-03-04 09:20"),
    "trade": ("2026-03-04 09:10", "2026-03-04 09:26"),
    "confirm": ("2026-03-04 09:45", "2026-03-04 15:45"),
    "reconcile_close": ("2026-03-04 16:20", "2026-03-05 00:00"),
    "report": ("2026-03-04 16:20", "2026-03-05 00:00"),
    "heartbeat": ("2026-03-04 16:40", "2026-03-05 00:00"),
    "prune": ("2026-03-04 16:45", "2026-03-05 00:00"),
    "backup": ("2026-03-04 16:50", "2026-03-05 00:00"),
}
EARLY_CLOSE = {
    "pull": ("2026-11-25 18:30", "2026-11-27 09:20"),  # over Thanksgiving
    "score": ("2026-11-25 18:30", "2026-11-27 09:20"),
    "reconcile_morning": ("2026-11-27 08:00", "2026-11-27 09:20"),
    "plan": ("2026-11-27 08:00", "2026-11-27 09:20"),
    "trade": ("2026-11-27 09:10", "2026-11-27 09:26"),
    "confirm": ("2026-11-27 09:45", "2026-11-27 12:45"),
    "reconcile_close": ("2026-11-27 13:20", "2026-11-27 21:00"),
    "report": ("2026-11-27 13:20", "2026-11-27 21:00"),
    "heartbeat": ("2026-11-27 13:40", "2026-11-27 21:00"),
    "prune": ("2026-11-27 13:45", "2026-11-27 21:00"),
    "backup": ("2026-11-27 13:50", "2026-11-27 21:00"),
}
OVER_THE_FOLD = {  # 2026-11-01, a Sunday, has 01:00 to 02:00 twice
    "pull": ("2026-10-30 18:30", "2026-11-02 09:20"),
    "score": ("2026-10-30 18:30", "2026-11-02 09:20"),
    "reconcile_morning": ("2026-11-02 08:00", "2026-11-02 09:20"),
    "plan": ("2026-11-02 08:00", "2026-11-02 09:20"),
    "trade": ("2026-11-02 09:10", "2026-11-02 09:26"),
    "confirm": ("2026-11-02 09:45", "2026-11-02 15:45"),
    "reconcile_close": ("2026-11-02 16:20", "2026-11-03 00:00"),
    "report": ("2026-11-02 16:20", "2026-11-03 00:00"),
    "heartbeat": ("2026-11-02 16:40", "2026-11-03 00:00"),
    "prune": ("2026-11-02 16:45", "2026-11-03 00:00"),
    "backup": ("2026-11-02 16:50", "2026-11-03 00:00"),
}
DAYS = [
    pytest.param(date(2026, 3, 4), ORDINARY, id="ordinary"),
    pytest.param(date(2026, 11, 27), EARLY_CLOSE, id="early close"),
    pytest.param(date(2026, 11, 2), OVER_THE_FOLD, id="over the autumn change"),
]
MINUTE = timedelta(minutes=1)


@cache
def at(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=NEW_YORK).astimezone(UTC)


def oracle(table: dict[str, tuple[str, str]], down: datetime, back: datetime) -> dict[str, str]:
    """What should have become of each job when the device looks at `back`, having been off since `down`."""
    found = {}
    for job, (start, end) in table.items():
        if at(start) < down:
            found[job] = "ran before"
        elif back < at(start):
            found[job] = "not yet"
        elif back > at(end):
            found[job] = "missed"
        else:
            found[job] = "run" if back - at(start) <= 10 * MINUTE else "run late"
    return found


def back_on(session: date, ran: frozenset[str], back: datetime) -> dict[str, str]:
    """Act on every answer until there is none, as the daemon does; each job must be named at most once."""
    earlier = {(CALENDAR.previous(session), job) for job in JOBS}
    ended = {(session, job) for job in ran} | earlier
    found = dict.fromkeys(JOBS, "not yet") | dict.fromkeys(ran, "ran before")
    while due := [i for i in catch_up(back, ended, CALENDAR, session, TIMETABLE).due if i.session == session]:
        for item in due:
            assert found[item.job] == "not yet", f"{item.job} was named twice"
            found[item.job] = item.decision.value
            ended.add((session, item.job))
            if item.decision is not Decision.MISSED:
                break
    return found


@pytest.mark.parametrize(("session", "table"), DAYS)
def test_down_from_any_minute_and_back_at_any_later_one(
    session: date, table: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pairs of minutes: what ran before the device went off is all that `down` can change, so equal sets are
    looked at once; every minute of coming back is."""
    resolved = cache(lambda session: windows(session, CALENDAR, TIMETABLE))
    monkeypatch.setattr(job_windows, "windows", lambda session, *_: resolved(session))  # half of the time goes into them
    assert tuple(table) == JOBS, "a row was added to the timetable: write down here what its hours are"
    first, last = at(table["pull"][0]) - 5 * MINUTE, max(at(end) for _, end in table.values()) + 5 * MINUTE
    minutes = [first + step * MINUTE for step in range(int((last - first) / MINUTE) + 1)]
    ran_by = {down: frozenset(job for job in JOBS if at(table[job][0]) < down) for down in minutes}
    earliest: dict[frozenset[str], datetime] = {}
    for down, ran in ran_by.items():
        earliest.setdefault(ran, down)
    # a job of a row with the same hour as another has ended with it or not at all
    assert len(earliest) == len({start for start, _ in table.values()}) + 1
    looked = 0
    for ran, down in earliest.items():
        for back in minutes:
            if back < down:
                continue
            assert back_on(session, ran, back) == oracle(table, down, back), (ran, back.astimezone(NEW_YORK))
            looked += 1
    assert looked > 2 * len(minutes)


@pytest.mark.parametrize(("session", "table"), DAYS)
def test_a_past_window_is_never_traded(session: date, table: dict[str, tuple[str, str]]) -> None:
    cut = at(table["trade"][1])
    before = frozenset(JOBS[: JOBS.index("trade")])
    assert back_on(session, before, cut)["trade"] == "run late"
    assert back_on(session, before, cut + timedelta(seconds=1))["trade"] == "missed"


def test_a_session_that_is_over_is_explained_job_by_job_and_none_of_it_runs() -> None:
    """F54: off from Monday's noon to Thursday's morning."""
    monday, thursday = date(2026, 3, 2), date(2026, 3, 5)
    ended = {(monday, job) for job in JOBS[: JOBS.index("confirm") + 1]}
    found = catch_up(at("2026-03-05 08:30"), ended, CALENDAR, monday, TIMETABLE)
    missed = [(i.session, i.job) for i in found.due if i.decision is Decision.MISSED]
    tuesday, wednesday = date(2026, 3, 3), date(2026, 3, 4)
    assert missed == [
        *((monday, job) for job in JOBS[JOBS.index("confirm") + 1 :]),
        *((day, job) for day in (tuesday, wednesday) for job in JOBS),
    ]
    assert [(i.session, i.job, i.decision) for i in found.due[len(missed) :]] == [(thursday, "pull", Decision.RUN_LATE)]
    assert all("the machine was off" in i.reason for i in found.due[: len(missed)])
    assert found.unattended == (tuesday, wednesday) and absence(found.unattended) == ""


@pytest.mark.parametrize(("back", "halts"), [("2026-03-09 08:30", False), ("2026-03-10 08:30", True)])
def test_away_for_as_long_as_a_forecast_reaches_halts(back: str, halts: bool) -> None:
    """The last attended session is Monday 2 March; five unattended ones end with Monday 9 March's night."""
    monday = date(2026, 3, 2)
    found = catch_up(at(back), {(monday, job) for job in JOBS}, CALENDAR, monday, TIMETABLE)
    reason = absence(found.unattended)
    assert bool(reason) is halts
    if halts:
        assert reason.startswith(f"nothing ran for {ABSENT_SESSIONS} sessions, 2026-03-03 to 2026-03-09")


def test_a_fresh_device_answers_for_the_session_ahead_and_an_old_one_for_the_last_it_knows() -> None:
    now = at("2026-03-04 12:00")
    assert first_session((), now, CALENDAR) == date(2026, 3, 4)
    assert first_session((date(2026, 2, 2),), now, CALENDAR) == date(2026, 2, 2)
    assert first_session((date(2026, 2, 2), date(2026, 2, 3), date(2026, 2, 4)), now, CALENDAR) == date(2026, 2, 3)


WEEKS = CALENDAR.between(date(2026, 10, 26), date(2026, 11, 13))


@settings(max_examples=200)
@given(
    minutes=st.integers(min_value=0, max_value=60 * 24 * 18),
    ended=st.sets(st.sampled_from([(day, job) for day in WEEKS for job in JOBS])),
    since=st.sampled_from(WEEKS[:5]),
)
def test_whatever_the_record_says_everything_is_named_once_and_asking_again_changes_nothing(
    minutes: int, ended: set[tuple[date, str]], since: date
) -> None:
    now = at("2026-10-27 00:00") + minutes * MINUTE
    found = catch_up(now, ended, CALENDAR, since, TIMETABLE)
    named = [(i.session, i.job) for i in found.due]
    assert len(set(named)) == len(named) and not set(named) & ended
    assert all(session >= since for session, _ in named)
    assert catch_up(now, ended, CALENDAR, since, TIMETABLE) == found
    after = catch_up(now, ended | set(named), CALENDAR, since, TIMETABLE)
    assert not {(i.session, i.job) for i in after.due if i.decision is Decision.MISSED} & set(named)
