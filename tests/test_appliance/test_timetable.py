"""The timetable over early closes and daylight saving, and what is due when (D3)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from appliance.commands.command_line import app
from appliance.schedule.timetable import AT_THE_OPEN, JOBS, TIMETABLE, Entering, step_job, table_of
from execution.planning.config import EntryConfig, EntryStyle
from signals.errors import NotASession
from signals.market.sessions import NEW_YORK, xnys
from signals.schedule.job_windows import Decision, due, windows

CALENDAR = xnys(date(2025, 1, 2), date(2026, 12, 31))
D = date(2026, 3, 4)


def new_york(session: date) -> dict[str, str]:
    return {row.job: f"{row.at.astimezone(NEW_YORK):%Y-%m-%d %H:%M}" for row in windows(session, CALENDAR, TIMETABLE)}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def decisions(now: datetime, ended: set[tuple[date, str]] | None = None) -> list[tuple[date, str, Decision]]:
    return [(item.session, item.job, item.decision) for item in due(now, ended or set(), CALENDAR, TIMETABLE)]


def test_an_ordinary_session_in_new_york_time() -> None:
    assert new_york(D) == {
        "pull": "2026-03-03 18:30",
        "score": "2026-03-03 18:30",
        "reconcile_morning": "2026-03-04 08:00",
        "plan": "2026-03-04 08:00",
        "trade": "2026-03-04 09:10",
        "confirm": "2026-03-04 09:45",
        "reconcile_close": "2026-03-04 16:20",
        "report": "2026-03-04 16:20",
        "heartbeat": "2026-03-04 16:40",
        "prune": "2026-03-04 16:45",
        "backup": "2026-03-04 16:50",
    }


def test_an_early_close_moves_what_follows_the_close_and_nothing_else() -> None:
    found = new_york(date(2026, 11, 27))
    assert found["reconcile_close"] == found["report"] == "2026-11-27 13:20"
    assert found["trade"] == "2026-11-27 09:10"
    assert found["pull"] == "2026-11-25 18:30"  # over Thanksgiving


def test_the_evening_before_monday_is_friday() -> None:
    assert new_york(date(2026, 3, 9))["pull"] == "2026-03-06 18:30"


@pytest.mark.parametrize(("session", "utc_hour"), [(date(2026, 3, 6), 14), (date(2026, 3, 9), 13)])
def test_daylight_saving_keeps_new_york_time(session: date, utc_hour: int) -> None:
    trade = next(row for row in windows(session, CALENDAR, TIMETABLE) if row.job == "trade")
    assert (trade.at.hour, trade.at.minute) == (utc_hour, 10)


def test_a_day_that_is_no_session_has_no_timetable() -> None:
    with pytest.raises(NotASession, match="2026-03-07 is not a session"):
        windows(date(2026, 3, 7), CALENDAR, TIMETABLE)


def test_every_job_ends_before_the_opening_auction_closes_or_after_the_open() -> None:
    for row in windows(D, CALENDAR, TIMETABLE):
        assert row.at < row.deadline
        if row.job in ("pull", "score", "reconcile_morning", "plan", "trade"):
            assert row.deadline <= CALENDAR.session(D).at(time(9, 28))


BEFORE = {(D, job) for job in ("pull", "score")}
MORNING = BEFORE | {(D, job) for job in ("reconcile_morning", "plan")}
OPEN = MORNING | {(D, job) for job in ("trade", "confirm")}
YESTERDAY = {(date(2026, 3, 3), job) for job in JOBS}

# now, what has ended of D (all of the day before has), what is due of D
TABLE = [
    ("2026-03-03T18:29", set(), []),
    ("2026-03-03T18:30", set(), [("pull", Decision.RUN)]),
    ("2026-03-03T18:30", {(D, "pull")}, [("score", Decision.RUN)]),
    ("2026-03-04T03:00", set(), [("pull", Decision.RUN_LATE)]),
    ("2026-03-04T07:59", BEFORE, []),
    ("2026-03-04T08:00", BEFORE, [("reconcile_morning", Decision.RUN)]),
    ("2026-03-04T08:05", BEFORE | {(D, "reconcile_morning")}, [("plan", Decision.RUN)]),
    ("2026-03-04T09:00", set(), [("pull", Decision.RUN_LATE)]),
    ("2026-03-04T09:10", MORNING, [("trade", Decision.RUN)]),
    ("2026-03-04T09:26", MORNING, [("trade", Decision.RUN_LATE)]),
    ("2026-03-04T09:27", MORNING, [("trade", Decision.MISSED)]),
    ("2026-03-04T09:21", set(), [(job, Decision.MISSED) for job in JOBS[:4]] + [("trade", Decision.RUN_LATE)]),
    ("2026-03-04T12:00", set(), [(job, Decision.MISSED) for job in JOBS[:5]] + [("confirm", Decision.RUN_LATE)]),
    ("2026-03-04T16:20", OPEN, [("reconcile_close", Decision.RUN)]),
    ("2026-03-04T16:30", OPEN | {(D, "reconcile_close")}, [("report", Decision.RUN)]),
    ("2026-03-04T16:30", OPEN | {(D, "reconcile_close"), (D, "report")}, []),
]


@pytest.mark.parametrize(("now", "ended", "expected"), TABLE)
def test_what_is_due(now: str, ended: set[tuple[date, str]], expected: list[tuple[str, Decision]]) -> None:
    found = decisions(at(now), ended | YESTERDAY)
    assert [(job, decision) for session, job, decision in found if session == D] == expected


def test_a_device_off_for_three_days_does_not_look_at_the_sessions_in_between() -> None:
    """F54: what was missed is not traded; the session that is still ahead is prepared."""
    found = due(at("2026-03-07T10:00"), set(), CALENDAR, TIMETABLE)
    assert {item.session for item in found} == {date(2026, 3, 9)}
    assert [(item.job, item.decision) for item in found] == [("pull", Decision.RUN_LATE)]


def test_the_night_of_a_session_still_reconciles_it_while_the_next_one_begins() -> None:
    found = decisions(at("2026-03-04T18:30"), OPEN | YESTERDAY)
    assert found == [(D, "reconcile_close", Decision.RUN_LATE), (date(2026, 3, 5), "pull", Decision.RUN)]


AUTUMN = CALENDAR.between(date(2026, 10, 26), date(2026, 11, 9))


@settings(max_examples=300)
@given(
    minutes=st.integers(min_value=0, max_value=60 * 24 * 14), ended=st.sets(st.sampled_from([(day, job) for day in AUTUMN for job in JOBS]))
)
def test_nothing_ended_is_due_again_and_nothing_runs_outside_its_window(minutes: int, ended: set[tuple[date, str]]) -> None:
    """Over the autumn change of the clocks, at any minute and after any history."""
    now = at("2026-10-27T00:00") + timedelta(minutes=minutes)
    found = due(now, ended, CALENDAR, TIMETABLE)
    assert not {(item.session, item.job) for item in found} & ended
    for item in found:
        row = next(r for r in windows(item.session, CALENDAR, TIMETABLE) if r.job == item.job)
        assert (item.decision is Decision.MISSED) == (now > row.deadline)
        assert now >= row.at
    for session in {item.session for item in found}:
        running = [i for i in found if i.session == session and i.decision is not Decision.MISSED]
        assert len(running) <= 1


def test_the_table_names_each_job_once() -> None:
    assert len(set(JOBS)) == len(TIMETABLE)


def hours(entering: Entering, session: date) -> dict[str, tuple[str, str]]:
    """(at, not after) of every job, New York time."""
    return {
        row.job: (f"{row.at.astimezone(NEW_YORK):%H:%M}", f"{row.deadline.astimezone(NEW_YORK):%H:%M}")
        for row in windows(session, CALENDAR, table_of(entering))
    }


def test_the_defaults_of_both_spellings_agree_and_the_opening_auction_has_the_table_itself() -> None:
    plain = EntryConfig()
    assert Entering(plain.kind.value, plain.steps, plain.first_minutes, plain.last_minutes) == AT_THE_OPEN
    assert table_of(AT_THE_OPEN) is TIMETABLE


@pytest.mark.parametrize(("session", "close"), [(D, "16:00"), (date(2026, 11, 27), "13:00"), (date(2026, 3, 9), "16:00")])
def test_the_closing_auction_moves_with_the_close(session: date, close: str) -> None:
    """Alpaca takes closing orders until ten minutes before the close: ours leave 25 to 12 minutes before it."""
    found = hours(Entering("cls"), session)
    hour = int(close[:2]) - 1
    assert found["trade"] == (f"{hour}:35", f"{hour}:48")
    assert found["confirm"] == (f"{hour + 1}:05", f"{hour + 1}:20")
    assert tuple(found) == JOBS


@pytest.mark.parametrize("kind", [EntryStyle.TWAP, EntryStyle.ALMGREN_CHRISS, EntryStyle.LEAST_COST])
def test_steps_are_spread_evenly_from_after_the_open_to_before_the_close(kind: EntryStyle) -> None:
    """Six steps from 09:45 to 15:25, 68 minutes apart; 09:45 to 12:25, 32 apart, when the close is at 13:00."""
    jobs = [step_job(step) for step in range(1, 7)]
    full, short = hours(Entering(kind.value), D), hours(Entering(kind.value), date(2026, 11, 27))
    assert [full[job][0] for job in jobs] == ["09:45", "10:53", "12:01", "13:09", "14:17", "15:25"]
    assert [short[job][0] for job in jobs] == ["09:45", "10:17", "10:49", "11:21", "11:53", "12:25"]
    assert full["trade_6"][1] == "15:33" and full["confirm"] == ("15:35", "15:50")
    assert hours(Entering(kind.value), date(2026, 3, 9)) == full, "daylight saving changes no New York hour"


@settings(max_examples=60)
@given(
    st.sampled_from(["opg", "cls", "twap"]),
    st.integers(2, 12),
    st.integers(1, 120),
    st.integers(25, 120),
    st.sampled_from([D, date(2026, 11, 27), date(2026, 11, 2)]),
)
def test_every_table_runs_in_its_own_order_and_never_trades_after_the_close(
    kind: str, steps: int, first: int, last: int, session: date
) -> None:
    rows = windows(session, CALENDAR, table_of(Entering(kind, steps, first, last)))
    assert all(row.at <= row.deadline for row in rows)
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    assert len({row.job for row in rows}) == len(rows)
    close = CALENDAR.session(session).close
    assert all(row.deadline < close for row in rows if row.job.startswith("trade"))


def test_a_missed_step_is_named_once_and_the_next_one_runs_at_its_hour() -> None:
    table = table_of(Entering("twap"))
    before = YESTERDAY | {(D, job) for job in ("pull", "score", "reconcile_morning", "plan", "trade")}
    found = due(at("2026-03-04T12:05"), before, CALENDAR, table)
    assert [(item.job, item.decision) for item in found] == [("trade_2", Decision.MISSED), ("trade_3", Decision.RUN)]


def test_the_timetable_shows_the_readers_own_time_beside_new_yorks(tmp_path: Path) -> None:
    """2024-03-12 lies between the two changes of the clock: Berlin is five hours ahead, not six."""
    found = CliRunner().invoke(app, ["timetable", "--day", "2024-03-12", "--zone", "Europe/Berlin", "--state", str(tmp_path)])
    assert found.exit_code == 0
    assert "`here` is Europe/Berlin" in found.output
    row = next(line for line in found.output.splitlines() if line.startswith("trade"))
    assert re.search(r"Tue 2024-03-12 09:\d\d.*Tue 14:\d\d to Tue 14:\d\d", row), row
    refused = CliRunner().invoke(app, ["timetable", "--day", "2024-03-12", "--zone", "Mars/Base", "--state", str(tmp_path)])
    assert "no time zone 'Mars/Base'" in str(refused.exception)
