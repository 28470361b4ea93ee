"""Rows of the ledger: what is frozen, what ends once, what is read back, and the daemon's questions."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import apsw
import pytest

from appliance.ledger import (
    Ledger,
    activities,
    alerts,
    broker_orders,
    fills,
    halts,
    intents,
    job_runs,
    nav,
    plans,
    reports,
    scores,
    snapshots,
    targets,
    tripwires,
    values,
)
from appliance.ledger.figures import PlanFigures, ScoreFigures
from appliance.ledger.fills import BookedFill
from appliance.ledger.intents import IntentState
from appliance.ledger.job_runs import JobRun
from appliance.ledger.scores import ScoreRow
from appliance.ledger.snapshots import Phase
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.ports import Alert, Severity
from execution.brokers.base import Account, Activity, Position
from execution.orders import BrokerOrder, Fill, OrderStatus, OrderType, Rounding, Side, TimeInForce
from signals.errors import InvariantBroken, LedgerUnusable
from tests.fakes.frozen_plan import ASOF, AT, CID, CLOSING, OPENING, PLAN, D

MONDAY, TUESDAY = ASOF, D


# -- the daemon's questions ------------------------------------------------------------


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


# -- written once, read back ------------------------------------------------------------


def test_a_plan_is_frozen_with_its_intents_and_never_replaced(ledger: Ledger) -> None:
    assert plans.load(ledger, D) is None
    with pytest.raises(InvariantBroken):
        plans.require(ledger, D)
    assert plans.save(ledger, PLAN, AT) == PLAN
    other = replace(PLAN, equity=Decimal(5), intents=(CLOSING,))
    assert plans.save(ledger, other, AT) == PLAN
    assert plans.require(ledger, D) == PLAN
    assert plans.sessions(ledger, ASOF) == (D,)
    stored = intents.of_session(ledger, D)
    assert tuple(entry.intent for entry in stored) == (CLOSING, OPENING)
    assert {entry.state for entry in stored} == {IntentState.PLANNED}


def test_a_plan_that_no_longer_has_its_digest_is_not_used(ledger: Ledger) -> None:
    plans.save(ledger, PLAN, AT)
    with ledger.transaction():
        ledger.execute("DROP TRIGGER plans_are_frozen")
        ledger.execute("UPDATE plans SET equity = '100000.11'")
    with pytest.raises(LedgerUnusable, match="digest"):
        plans.load(ledger, D)


def test_a_plan_of_an_earlier_release_has_one_figure_of_rounding_and_no_path(ledger: Ledger) -> None:
    plans.save(ledger, PLAN, AT)
    with ledger.transaction():
        ledger.execute("DROP TRIGGER plans_are_frozen")
        ledger.execute("UPDATE plans SET body = json_remove(body, '$.path', '$.rounding')")
    old = plans.require(ledger, D)
    assert old == replace(PLAN, rounding=Rounding(nearest_l1=0.01), path={})


def test_the_plan_before_a_session_is_the_newest_of_an_earlier_one(ledger: Ledger) -> None:
    assert plans.before(ledger, D) is None
    older = replace(PLAN, session=ASOF, asof=date(2024, 3, 8), intents=())
    for plan in (older, PLAN):
        plans.save(ledger, plan, AT)
    assert plans.before(ledger, ASOF) is None
    assert plans.before(ledger, D) == older
    assert plans.before(ledger, date(2024, 4, 1)) == PLAN


def test_every_order_row_joins_to_where_it_came_from(ledger: Ledger) -> None:
    plans.save(ledger, PLAN, AT)
    joined = ledger.read(
        tuple[str, str, str, str, str],
        "SELECT p.digest, p.bundle_sha256, p.snapshot_id, p.config_hash, p.code_version FROM intents JOIN plans p USING (session)",
    )
    assert len(joined) == 2
    assert all(all(row) for row in joined)
    with pytest.raises(apsw.ConstraintError), ledger.transaction():
        ledger.execute("UPDATE intents SET session = '1999-01-01'")


FROZEN = [
    "UPDATE plans SET equity = '1'",
    "DELETE FROM plans",
    "UPDATE intents SET quantity = '99'",
    "UPDATE intents SET side = 'buy'",
    "DELETE FROM intents",
    "UPDATE intent_events SET reason = 'x'",
    "DELETE FROM intent_events",
    "UPDATE fills SET price = '1'",
    "DELETE FROM fills",
    "UPDATE activities SET net_amount = '1'",
    "DELETE FROM activities",
    "DELETE FROM halts",
]
FILL = Fill("f1", "b1", "AAPL", Side.SELL, Decimal(2), Decimal("171.0001"), AT)
ACTIVITY = Activity("a1", "SPLIT", "AAPL", D, None, Decimal("-0.5"), None, Decimal("1.23"), "", "", "why")
HALT = halts.HaltRow("h1", AT, "MANUAL", "m", "1", "0", PLAN.digest, "halt", {"a": 1})


@pytest.mark.parametrize("statement", FROZEN)
def test_what_happened_is_never_rewritten(ledger: Ledger, statement: str) -> None:
    plans.save(ledger, PLAN, AT)
    fills.add(ledger, [BookedFill(FILL, D, CID)])
    activities.book(ledger, [ACTIVITY], AT)
    halts.add(ledger, HALT)
    with pytest.raises(apsw.ConstraintError), ledger.transaction():
        ledger.execute(statement)


def test_replaying_fills_and_activities_changes_nothing(ledger: Ledger) -> None:
    booked = BookedFill(FILL, D, CID)
    assert [fills.add(ledger, [booked]) for _ in range(2)] == [1, 0]
    assert [activities.book(ledger, [ACTIVITY, ACTIVITY], AT) for _ in range(2)] == [1, 0]
    assert fills.of_session(ledger, D) == (booked,)
    assert activities.since(ledger, D) == (ACTIVITY,)
    assert activities.booked_ids(ledger, D) == {"a1"}
    assert fills.quantity_by_order(ledger) == {"b1": Decimal(2)}
    changed = replace(FILL, quantity=Decimal(3))
    with pytest.raises(InvariantBroken, match="changed"):
        fills.add(ledger, [BookedFill(changed, D, CID)])


def test_a_job_ends_once(ledger: Ledger) -> None:
    report = JobReport("trade", D, JobStatus.DONE, "well", {"orders": 3})
    with pytest.raises(InvariantBroken):
        job_runs.finish(ledger, report, AT)
    assert job_runs.begin(ledger, D, "trade", AT)
    assert job_runs.begin(ledger, D, "trade", AT), "one that died may begin again"
    running = job_runs.find(ledger, D, "trade")
    assert running is not None
    assert (running.status, running.attempts) == (None, 2)
    job_runs.finish(ledger, report, AT + timedelta(minutes=1))
    assert not job_runs.begin(ledger, D, "trade", AT)
    with pytest.raises(InvariantBroken):
        job_runs.finish(ledger, replace(report, status=JobStatus.FAILED), AT)
    (run,) = job_runs.since(ledger, ASOF)
    assert (run.status, run.summary, run.figures) == (JobStatus.DONE, "well", {"orders": 3})
    assert job_runs.find(ledger, D, "confirm") is None


def test_a_halt_is_recorded_once_and_rearmed_once(ledger: Ledger) -> None:
    halts.add(ledger, HALT)
    halts.add(ledger, replace(HALT, value="2"))
    halts.add_details(ledger, "h1", {"b": 2})
    assert halts.find(ledger, "h1") == replace(HALT, details={"a": 1, "b": 2})
    halts.rearm(ledger, "h1", AT, "ann", "understood")
    assert halts.newest(ledger, 5)[0].rearmed_by == "ann"
    for unknown in ("h1", "h2"):
        with pytest.raises(InvariantBroken):
            halts.rearm(ledger, unknown, AT, "bob", "again")
    assert halts.find(ledger, "h2") is None
    with pytest.raises(InvariantBroken):
        halts.require(ledger, "h2")


def test_snapshots_are_read_back_as_they_were_and_the_latest_leads(ledger: Ledger) -> None:
    assert (snapshots.latest(ledger), snapshots.first(ledger)) == (None, None)
    account = Account("id", "PA1", "ACTIVE", Decimal("-1.20"), Decimal(9), Decimal(8), Decimal(7), Decimal(2), False, True)
    held = (Position("A", Decimal("-3"), Decimal("1.5"), None), Position("B", Decimal("0.25"), Decimal(2), Decimal(3)))
    snapshots.save(ledger, D, snapshots.Phase.OPEN, account, held[:1], AT)
    snapshots.save(ledger, D, snapshots.Phase.OPEN, account, held, AT)
    snapshots.save(ledger, D, snapshots.Phase.CLOSE, account, (), AT + timedelta(hours=8))
    opened = snapshots.find(ledger, D, snapshots.Phase.OPEN)
    assert opened == snapshots.first(ledger)
    assert opened is not None
    assert (opened.positions, opened.cash, opened.account_id) == (held, Decimal("-1.20"), "id")
    latest = snapshots.latest(ledger)
    assert latest is not None
    assert latest.phase is snapshots.Phase.CLOSE
    assert snapshots.find(ledger, ASOF, snapshots.Phase.OPEN) is None


def test_a_report_of_an_order_replaces_the_one_before_and_knows_its_owner(ledger: Ledger) -> None:
    plans.save(ledger, PLAN, AT)
    mine = BrokerOrder(
        "b1", CID, "AAPL", Side.SELL, OrderType.MARKET, TimeInForce.OPG, OrderStatus.NEW, "new", Decimal(12), Decimal(0), None, AT, AT
    )
    filled = replace(mine, filled_quantity=Decimal(12), filled_average_price=Decimal("1.5"))
    stranger = replace(mine, id="x", client_order_id="by-hand", submitted_at=AT - timedelta(days=1))
    for order in (mine, filled, stranger):
        broker_orders.save(ledger, order, AT)
    assert broker_orders.of_client(ledger, CID) == (filled,)
    assert broker_orders.foreign(ledger) == (stranger,)
    assert broker_orders.since(ledger, AT) == (filled,)


def test_what_people_look_at_is_read_back_as_written(ledger: Ledger) -> None:
    rows = (scores.ScoreRow(ASOF, "B", "xs", 0.5, 1, 1.2, "sha"), scores.ScoreRow(ASOF, "A", "xs", -0.5, 2, -1.2, "sha"))
    scores.save(ledger, ASOF, "xs", rows[::-1])
    assert scores.load(ledger, ASOF, "xs") == rows
    aims = (targets.TargetRow(D, "A", 0.1, 0.0, None), targets.TargetRow(D, "B", -0.1, 0.05, 1.5, "Energy"))
    targets.save(ledger, D, aims)
    assert targets.load(ledger, D) == aims
    value = nav.NavRow(D, Decimal("10.10"), Decimal("9.9"), Decimal(1), Decimal(2), Decimal("-3"), AT, fees=Decimal("-0.1"))
    nav.save(ledger, value)
    nav.save(ledger, replace(value, session=ASOF))
    assert [row.session for row in nav.history(ledger, D, 5)] == [ASOF, D]
    assert nav.history(ledger, ASOF, 5)[0].fees == Decimal("-0.1")
    assert (nav.find(ledger, D), nav.find(ledger, date(2020, 1, 2))) == (value, None)
    report = reports.ReportRow(D, "reports/report.md", "f" * 64, AT)
    reports.save(ledger, report)
    assert (reports.find(ledger, D), reports.newest(ledger, 3), reports.find(ledger, ASOF)) == (report, (report,), None)
    alert = Alert(Severity.PAGE, "k", "title", "body", AT)
    alerts.add(ledger, alert, delivered=False)
    assert alerts.newest(ledger, 1) == (alerts.AlertRow(alert, delivered=False),)
    assert (alerts.last_of(ledger, "k"), alerts.last_of(ledger, "other")) == (alerts.newest(ledger, 1)[0], None)


def test_a_tripwire_that_tripped_stays_tripped_for_its_session(ledger: Ledger) -> None:
    calm = tripwires.TripwireRow(D, "NET", "0.01", "0.04", "refuse", False, "", AT)
    tripped = replace(calm, value=None, tripped=True, detail="missing")
    for row in (calm, tripped, calm):
        tripwires.save(ledger, row)
    assert tripwires.of_session(ledger, D) == (tripped,)


def test_only_what_is_exact_goes_in_and_comes_out() -> None:
    assert values.amount(Decimal("1E+3")) == "1000"
    for wrong in (Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(InvariantBroken):
            values.amount(wrong)
    with pytest.raises(InvariantBroken):
        values.stamp(datetime(2024, 3, 12))
    with pytest.raises(InvariantBroken, match="no column"):
        values.stored({1, 2})


@pytest.mark.parametrize(
    ("kind", "held", "what"),
    [
        (str, 1, "text"),
        (str, None, "text"),
        (int, "1", "an integer"),
        (float, "1", "a number"),
        (bool, 2, "0 or 1"),
        (Decimal, "one", "a decimal number"),
        (Decimal, "NaN", "a decimal number"),
        (Decimal, 1.5, "a decimal number"),
        (date, "2024-13-01", "a date"),
        (datetime, "2024-03-12T13:00:00", "an instant"),
        (dict, "[]", "a JSON object"),
        (dict, "{", "a JSON object"),
        (Side, "hold", "one of buy, sell"),
    ],
)
def test_a_column_that_holds_something_else_is_named(ledger: Ledger, kind: type[object], held: object, what: str) -> None:
    """Nothing is guessed: a ledger that another program wrote to is not read."""
    with pytest.raises(LedgerUnusable, match=rf"column c holds .*, not {what}[.] Restore"):
        ledger.read(kind, "SELECT ? AS c", (held,))  # type: ignore[arg-type]


def test_a_query_that_lacks_a_column_is_refused(ledger: Ledger) -> None:
    nav.save(ledger, nav.NavRow(D, *[Decimal(1)] * 5, AT))
    with pytest.raises(InvariantBroken, match="paper_nav"):
        ledger.read(nav.NavRow, "SELECT session FROM nav")
