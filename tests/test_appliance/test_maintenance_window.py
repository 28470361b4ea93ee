"""A device is not changed from 15 minutes before its orders leave to 15 minutes after the last job that sends any."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from appliance.commands.command_line import app
from appliance.daemon.briefing import Briefing
from appliance.ledger import Ledger
from appliance.schedule.timetable import TIMETABLE, Entering, busy_until, table_of
from signals.market.sessions import NEW_YORK, xnys
from signals.schedule.job_windows import Timetable

CALENDAR = xnys(date(2025, 10, 20), date(2025, 12, 12))
NORMAL, EARLY, THANKSGIVING = date(2025, 11, 12), date(2025, 11, 28), date(2025, 11, 27)
ALL = frozenset({(day, job) for day in CALENDAR.days for job in ("trade", "confirm")})


def new_york(day: date, hour: int, minute: int) -> datetime:
    return datetime.combine(day, time(hour, minute), NEW_YORK).astimezone(UTC)


def is_busy(day: date, hour: int, minute: int, *, ended: bool = True, table: Timetable = TIMETABLE) -> bool:
    return busy_until(new_york(day, hour, minute), CALENDAR, table, ALL if ended else ()) is not None


def test_a_day_that_went_well_is_busy_from_0855_to_1000() -> None:
    """Trade is at 09:10, confirm at 09:45."""
    assert not is_busy(NORMAL, 8, 54)
    assert is_busy(NORMAL, 8, 55)
    assert is_busy(NORMAL, 9, 27)
    assert is_busy(NORMAL, 9, 59)
    assert not is_busy(NORMAL, 10, 0)


def test_what_has_not_ended_keeps_the_window_open_until_its_deadline() -> None:
    """Confirm may act on leftovers until 15 minutes before the close."""
    assert is_busy(NORMAL, 15, 59, ended=False)
    assert not is_busy(NORMAL, 16, 0, ended=False)
    assert is_busy(EARLY, 12, 59, ended=False)
    assert not is_busy(EARLY, 13, 0, ended=False)


def test_nights_weekends_and_holidays_are_quiet() -> None:
    for day, hour in ((NORMAL, 3), (NORMAL, 20), (date(2025, 11, 15), 9), (THANKSGIVING, 9)):
        assert not is_busy(day, hour, 30, ended=False)


def test_the_clock_change_moves_the_window_with_new_york() -> None:
    """On 2025-10-31 New York is at UTC-4, on 2025-11-03 at UTC-5."""
    before = busy_until(datetime(2025, 10, 31, 12, 55, tzinfo=UTC), CALENDAR, TIMETABLE, ALL)
    after = busy_until(datetime(2025, 11, 3, 13, 55, tzinfo=UTC), CALENDAR, TIMETABLE, ALL)
    assert (before, after) == (datetime(2025, 10, 31, 14, tzinfo=UTC), datetime(2025, 11, 3, 15, tzinfo=UTC))
    assert busy_until(datetime(2025, 11, 3, 12, 55, tzinfo=UTC), CALENDAR, TIMETABLE, ALL) is None


def test_a_schedule_through_the_day_is_busy_through_the_day() -> None:
    """Until a quarter of an hour after its last step was confirmed."""
    table = table_of(Entering("through_day"))
    assert is_busy(NORMAL, 12, 30, table=table)
    assert not is_busy(NORMAL, 8, 0, table=table)


@pytest.mark.parametrize(("hour", "code"), [(9, 5), (12, 0), (18, 0)])
def test_the_command_answers_by_the_devices_own_clock(hour: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange of a rehearsal owns the time; exit code 5 says not now, and until when."""
    moment = new_york(NORMAL, hour, 15)
    monkeypatch.setattr("appliance.commands.may_update.ExchangeTime.now", lambda self: moment)
    (tmp_path / "config.yml").write_text("{}")
    with Ledger(tmp_path / "ledger.sqlite") as ledger, ledger.transaction():
        for job in ("trade", "confirm"):
            ledger.execute(
                "INSERT INTO job_runs (session, job, status, started_at, finished_at, summary, figures)"
                " VALUES (?, ?, 'done', ?, ?, '', '{}')",
                (NORMAL.isoformat(), job, moment.isoformat(), (moment + timedelta(minutes=1)).isoformat()),
            )
    brief = Briefing("http://127.0.0.1:1", "", 5.0, CALENDAR)
    (tmp_path / "briefing.json").write_bytes(brief.to_bytes())
    said = CliRunner().invoke(app, ["may-update", "--state", str(tmp_path), "--json"])
    assert said.exit_code == code
    assert json.loads(said.stdout)["may_update"] is (code == 0)


def test_a_device_that_no_daemon_has_run_may_be_updated(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("{}")
    assert CliRunner().invoke(app, ["may-update", "--state", str(tmp_path)]).exit_code == 0
