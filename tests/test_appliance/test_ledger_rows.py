"""Questions of the daemon to the ledger: which jobs have ended, which alerts nobody has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.ledger import Ledger, alerts, job_runs, scores, snapshots
from appliance.ledger.figures import PlanFigures, ScoreFigures
from appliance.ledger.job_runs import JobRun
from appliance.ledger.scores import ScoreRow
from appliance.ledger.snapshots import Phase
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.ports import Alert, Severity
from execution.brokers.base import Account, Position
from signals.errors import LedgerUnusable

MONDAY, TUESDAY = date(2024, 3, 11), date(2024, 3, 12)
AT = datetime(2024, 3, 12, 12, 0, tzinfo=UTC)


def test_a_job_has_ended_when_it_has_its_terminal_row_and_not_while_it_runs(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for day, job in ((MONDAY, "plan"), (TUESDAY, "plan"), (TUESDAY, "trade")):
            job_runs.begin(ledger, day, job, AT)
        for day in (MONDAY, TUESDAY):
            job_runs.finish(ledger, JobReport("plan", day, JobStatus.DONE, "well", {}), AT)
        assert job_runs.ended(ledger, MONDAY) == {(MONDAY, "plan"), (TUESDAY, "plan")}
        assert job_runs.ended(ledger, TUESDAY) == {(TUESDAY, "plan")}
        assert job_runs.sessions(ledger) == (MONDAY, TUESDAY)


def test_the_newest_runs_of_a_job_are_read_oldest_first(tmp_path: Path) -> None:
    days = [date(2024, 3, day) for day in (11, 12, 13, 14)]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for day in days:
            job_runs.begin(ledger, day, "pull", AT)
            job_runs.begin(ledger, day, "plan", AT)
        found = job_runs.newest(ledger, "pull", days[2], 2)
        assert [(run.session, run.job) for run in found] == [(days[1], "pull"), (days[2], "pull")]
        assert job_runs.newest(ledger, "report", days[3], 2) == ()


def test_an_alert_is_visibly_undelivered_until_a_channel_takes_it(tmp_path: Path) -> None:
    """I13: oldest first, and never again once it was taken."""
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for number, delivered in enumerate((False, True, False)):
            alert = Alert(Severity.PAGE, f"halt-{number}", "HALTED", "why", AT + timedelta(minutes=number))
            alerts.add(ledger, alert, delivered=delivered)
        waiting = alerts.undelivered(ledger, AT)
        assert [row.alert.key for _, row in waiting] == ["halt-0", "halt-2"]
        assert [row.alert.key for _, row in alerts.undelivered(ledger, AT + timedelta(minutes=1))] == ["halt-2"]
        alerts.mark_delivered(ledger, waiting[0][0])
        assert [row.alert.key for _, row in alerts.undelivered(ledger, AT)] == ["halt-2"]


def test_probabilities_are_those_of_traded_sleeves_that_have_a_map(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        for sleeve, said in (("equities_xs", {"A": 0.6, "B": None}), ("events", {"A": 0.3}), ("equities_xs shadow", {"A": 0.9, "C": 0.9})):
            rows = [ScoreRow(MONDAY, symbol, sleeve, 1.0, 1, 1.0, "local", value) for symbol, value in said.items()]
            scores.save(ledger, MONDAY, sleeve, rows)
        assert scores.probabilities(ledger, MONDAY) == {"A": {"equities_xs": 0.6, "events": 0.3}}
        assert scores.probabilities(ledger, TUESDAY) == {}


def test_holdings_are_worth_nothing_known_as_soon_as_one_price_is_missing(tmp_path: Path) -> None:
    account = Account("1", "PA1", "ACTIVE", *[Decimal(1000)] * 4, Decimal(2), False, True)
    long = Position("AAA", Decimal(3), Decimal(10), Decimal(10))
    short = Position("BBB", Decimal(-2), Decimal(5), Decimal(5))
    with Ledger(tmp_path / "ledger.sqlite") as ledger:

        def values() -> tuple[Decimal, ...] | None:
            found = snapshots.find(ledger, MONDAY, Phase.OPEN)
            assert found is not None
            return found.values

        snapshots.save(ledger, MONDAY, Phase.OPEN, account, [long, short], AT)
        assert values() == (Decimal(30), Decimal(-10))
        unpriced = replace(short, current_price=None)
        snapshots.save(ledger, MONDAY, Phase.OPEN, account, [long, unpriced], AT)
        assert values() is None


def test_recorded_figures_are_read_as_their_type_or_refused() -> None:
    figures = {"parts": {"reversal": {"AA": 0.5}, "equities_xs": {"BB": 1.0}}}
    run = JobRun(date(2025, 5, 2), "plan", JobStatus.DONE, 1, AT, AT, "", figures)
    assert run.read(PlanFigures).parts_of("AA") == {"reversal": 0.5}
    with pytest.raises(LedgerUnusable, match=r"recorded figures cannot be read.*plan of 2025-05-02"):
        replace(run, figures={"parts": 3}).read(PlanFigures)


def test_figures_of_several_sleeves_give_each_its_own() -> None:
    each = ScoreFigures(sleeve="equities_xs", by_sleeve={"equities_xs": ScoreFigures(names=3), "reversal": ScoreFigures(names=2)})
    assert [each.of(name).names for name in ("equities_xs", "reversal", "risk")] == [3, 2, None]
    alone = ScoreFigures(sleeve="equities_xs", names=3)
    assert [alone.of(name).names for name in ("equities_xs", "reversal")] == [3, None]
