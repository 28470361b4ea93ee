"""What is read out of the ledger, against sums worked by hand and SQL of an independent kind."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from appliance.ledger import AccessMode, Ledger, job_runs, nav, snapshots, targets, tripwires
from appliance.ledger.figures import PlanFigures, PullFigures, ReconcileFigures, ReportFigures, ScoreFigures
from appliance.ledger.tripwires import TripwireRow
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.state_folder import StateFolder
from appliance.tui.demo import build
from appliance.views import blotter, bundle_facts, monitoring, performance, positions, runs, signal_table, tripwire_checks
from appliance.views.overview import DaemonState, daemon_state
from execution.brokers.base import Account, Position
from signals.errors import LedgerUnusable
from signals.scoring.evidence import BundleEvidence
from signals.scoring.scores import z_scores
from signals.text.documents import from_json, to_json
from tests.fakes import bundles

D = date(2026, 3, 12)
AT = datetime(2026, 3, 12, 20, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("demo"), seed=7, sessions=12).folder


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def account(equity: str) -> Account:
    return Account("id", "A1", "ACTIVE", Decimal(0), Decimal(equity), Decimal(1000), Decimal(0), Decimal(2), False, True)


def test_drift_is_what_is_held_minus_what_is_aimed_at(ledger: Ledger) -> None:
    """Equity 1000: 10 AAA at 11 is 11 %, 10 % aimed at; -5 BBB at 20 is -10 %, none aimed at; CCC is not held."""
    held = [Position("AAA", Decimal(10), Decimal(10), Decimal(11)), Position("BBB", Decimal(-5), Decimal(18), Decimal(20))]
    snapshots.save(ledger, D, snapshots.Phase.CLOSE, account("1000"), held, AT)
    targets.save(ledger, D, [targets.TargetRow(D, "AAA", 0.10, 0.0, 1.0), targets.TargetRow(D, "CCC", 0.05, 0.0, 1.0)])
    rows = {row["symbol"]: row for row in positions.positions(ledger).rows}
    assert [(n, r["side"], r["weight"], r["target"], r["drift"], r["pnl"]) for n, r in sorted(rows.items())] == [
        ("AAA", "LONG", "+11.00%", "+10.00%", "+1.00%", "+10.00"),
        ("BBB", "SHORT", "-10.00%", "+0.00%", "-10.00%", "-10.00"),
        ("CCC", "FLAT", "+0.00%", "+5.00%", "-5.00%", None),
    ]


@pytest.mark.parametrize(
    ("name", "value", "limit", "used"),
    [
        ("GROSS", "0.51", "1.02", 0.5),
        ("DRAWDOWN", "0.2", "0.1", 2.0),
        ("RECON_BREAK", "0", "0", None),
        ("COVERAGE", "1", "0.95", 0.0),
        ("COVERAGE", "0.96", "0.95", 0.8),
        ("DISK", "0.03", "0.03", 1.0),
        ("TURNOVER", None, "0.35", None),
    ],
)
def test_the_share_of_a_limit_that_is_used(name: str, value: str | None, limit: str, used: float | None) -> None:
    """A check from below counts from the whole: coverage of 96 % uses 4 of the 5 points that may be missing."""
    row = TripwireRow(D, name, value, limit, "halt", False, "", AT)
    found = tripwire_checks.used_share(row)
    assert found == pytest.approx(used) if used is not None else found is None


def test_what_tripped_stands_first_and_remembers_when(ledger: Ledger) -> None:
    for day, tripped in ((date(2026, 3, 11), True), (D, False)):
        job_runs.begin(ledger, day, "plan", AT)
        job_runs.finish(ledger, JobReport("plan", day, JobStatus.DONE, ""), AT)
        tripwires.save(ledger, TripwireRow(day, "NET", "0.05" if tripped else "0.01", "0.04", "refuse", tripped, "", AT))
    tripwires.save(ledger, TripwireRow(D, "GROSS", "1.1", "1.02", "refuse", True, "", AT))
    first, second = tripwire_checks.checks(ledger, D).rows
    assert (first["name"], first["tripped"]) == ("GROSS", "TRIPPED")
    assert (second["name"], second["last_trip"], second["history"]) == ("NET", "2026-03-11", [0.05, 0.01])


def test_returns_and_drawdowns_are_those_of_the_recorded_values(ledger: Ledger) -> None:
    """From 1000: 1100 is +10 % at the top, 990 is -10 % and 10 % below it."""
    snapshots.save(ledger, date(2026, 3, 10), snapshots.Phase.OPEN, account("1000"), [], AT)
    for day, value in ((date(2026, 3, 11), "1100"), (D, "990")):
        nav.save(ledger, nav.NavRow(day, Decimal(value), Decimal(value), Decimal(0), Decimal(495), Decimal(0), AT))
    newest, oldest = performance.performance(ledger, D, 10).rows
    assert (oldest["pnl"], oldest["return"], oldest["drawdown"]) == ("+100.00", "+10.00%", "+0.00%")
    assert (newest["pnl"], newest["return"], newest["drawdown"]) == ("-110.00", "-10.00%", "-10.00%")
    assert newest["gross"] == "+50.00%"


def test_the_benchmark_compounds_what_the_universe_returned_and_the_value_in_the_session_is_that_of_each_agreement(ledger: Ledger) -> None:
    """1000 before; the universe makes +10 %, is unknown, makes -20 %: 1100, a gap, 880. At the open 1005, at the close 990: +5 and -10."""
    days = [date(2026, 3, 10), date(2026, 3, 11), D]
    snapshots.save(ledger, days[0], snapshots.Phase.OPEN, account("1000"), [], AT)
    for day, value in zip(days, ("1010", "1020", "990"), strict=True):
        nav.save(ledger, nav.NavRow(day, Decimal(value), Decimal(value), Decimal(0), Decimal(0), Decimal(0), AT))
    for day, move in zip(days, (0.1, None, -0.2), strict=True):
        one = {"session": str(day), **({} if move is None else {"universe": move})}  # an earlier release recorded none
        report = date(2026, 4, day.day)
        job_runs.begin(ledger, report, "report", AT)
        job_runs.finish(ledger, JobReport("report", report, JobStatus.DONE, "", {"attribution": [one]}), AT)
    for phase, value, hour in ((snapshots.Phase.OPEN, "1005", 13), (snapshots.Phase.CLOSE, "990", 20)):
        snapshots.save(ledger, D, phase, account(value), [], AT.replace(hour=hour))
    view = performance.performance(ledger, D, 10)
    assert [row["benchmark"] for row in view.rows[::-1]] == ["1100.00", None, "880.00"]
    assert [(row["phase"], row["equity"], row["change"]) for row in view.facts["during"]] == [
        ("open", "1005", "+5.00"),
        ("close", "990", "-10.00"),
    ]
    assert performance.performance(ledger, D, 1).rows[0]["benchmark"] == "816.00", "from the value before the first session that is shown"


def test_the_fan_is_as_wide_as_the_forecast_times_the_root_of_time(ledger: Ledger) -> None:
    """Volatility 10 % a year at gross 1.5, nothing expected, one session: 1.6449 x 0.15 / sqrt(252) = 1.5543 %."""
    snapshots.save(ledger, D, snapshots.Phase.OPEN, account("1000"), [], AT)
    said = {"decisions": [["forecast volatility at gross 1", "0.1000"], ["target gross", "1.5000"]]}
    job_runs.begin(ledger, D, "plan", AT)
    job_runs.finish(ledger, JobReport("plan", D, JobStatus.DONE, "", said), AT)
    nav.save(ledger, nav.NavRow(D, Decimal(980), Decimal(980), Decimal(0), Decimal(0), Decimal(0), AT))
    fan = performance.performance(ledger, D, 10, annual_at_gross_1=0.0).facts["fan"]
    assert (fan["lower"], fan["upper"]) == pytest.approx((-0.015543, 0.015543), abs=1e-6)
    assert (fan["live"], fan["verdict"]) == (pytest.approx(-0.02), "BELOW")
    assert performance.performance(ledger, D, 10).facts["fan"] is None
    earning = performance.performance(ledger, D, 10, annual_at_gross_1=0.252).facts["fan"]
    assert (earning["lower"] + earning["upper"]) / 2 == pytest.approx(0.252 * 1.5 / 252)


def test_the_fan_is_centred_on_the_walk_forward_policy_book_and_not_on_the_hindsight_one() -> None:
    """+1.0 % a year at gross 0.5 is 2 % for each unit of gross; the decile book's 7.1 % is hindsight."""
    from appliance.views.bundle_facts import BundleFacts, ManifestFacts, Pointer

    def facts(**parts: object) -> BundleFacts:
        evidence = from_json(BundleEvidence, {"capacity": {"net_of_spread_annual": 0.071}, **parts})
        return BundleFacts(Pointer(), ManifestFacts(), evidence, ())

    earned = bundles.policy_book(0.4, annual_return=0.010, gross=0.5)
    assert facts(policy_book=earned).annual_at_gross_1 == pytest.approx(0.02)
    for unknown in ({}, {"policy_book": None}, {"policy_book": bundles.policy_book(0.0, annual_return=0.0, gross=0.0)}):
        assert facts(**unknown).annual_at_gross_1 is None


def test_what_the_sleeves_contribute_sums_to_the_blended_score(ledger: Ledger) -> None:
    """Two sleeves, three to one, of a plan of the release before; a sleeve outside it adds nothing."""
    from appliance.ledger import scores

    values = {"equities_xs": (0.1, 0.4, -0.3), "other": (5.0, 1.0, 3.0), "risk": (1.0, 2.0, 3.0)}
    asof, symbols = date(2026, 3, 11), ("A", "B", "C")
    for sleeve, found in values.items():
        z = (np.array(found) - np.mean(found)) / np.std(found)  # as the scoring job records it
        scores.save(
            ledger,
            asof,
            sleeve,
            [
                scores.ScoreRow(asof, symbol, sleeve, score, rank, float(z[rank - 1]), sleeve)
                for rank, (symbol, score) in enumerate(zip(symbols, found, strict=True), start=1)
            ],
        )
    assert {row["contribution"] for row in signal_table.signals(ledger, D).rows} == {None}
    job_runs.begin(ledger, D, "plan", AT)
    said = {"sleeves": {"equities_xs": 0.75, "other": 0.25}}
    job_runs.finish(ledger, JobReport("plan", D, JobStatus.DONE, "", said), AT)
    rows = signal_table.signals(ledger, D).rows
    expected = 0.75 * z_scores(np.array(values["equities_xs"])) + 0.25 * z_scores(np.array(values["other"]))
    for symbol, total in zip(symbols, expected, strict=True):
        parts = [row["contribution"] for row in rows if row["symbol"] == symbol and row["contribution"] is not None]
        assert len(parts) == 2 and sum(parts) == pytest.approx(total, abs=0.0011)
    assert {row["contribution"] for row in rows if row["sleeve"] == "risk"} == {None}


def test_prices_of_orders_are_the_average_of_their_fills(device: Path) -> None:
    """SQLite itself, asked another way, gives the same prices and the same number of orders."""
    with Ledger(device / "ledger.sqlite", AccessMode.READ) as ledger:
        rows = blotter.blotter(ledger, D).rows
    other = sqlite3.connect(f"file:{device / 'ledger.sqlite'}?mode=ro", uri=True)
    expected = dict(
        other.execute(
            "SELECT client_order_id, printf('%.4f', sum(quantity * price) / sum(quantity)) FROM fills WHERE session = ?"
            " GROUP BY client_order_id",
            (D.isoformat(),),
        ).fetchall()
    )
    count = other.execute("SELECT count(*) FROM intents WHERE session = ?", (D.isoformat(),)).fetchone()[0]
    other.close()
    assert {row["client_order_id"]: row["price"] for row in rows if row["price"]} == expected and expected
    assert len(rows) == count


def test_the_calendar_of_runs_has_a_row_per_session_newest_first(device: Path) -> None:
    with Ledger(device / "ledger.sqlite", AccessMode.READ) as ledger:
        rows = runs.calendar(ledger, D, 5).rows
    assert [row["session"] for row in rows] == ["2026-03-12", "2026-03-11", "2026-03-10", "2026-03-09", "2026-03-06"]
    assert {row["plan"] for row in rows} == {"done"}


def test_a_bundle_whose_file_was_changed_is_told(device: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(device / "bundles" / "equities_xs", tmp_path / "bundles")
    sound = bundle_facts.read(tmp_path / "bundles")
    assert sound is not None and sound.faults == ()
    (tmp_path / "bundles" / sound.name / "evidence.json").write_text("{}")
    changed = bundle_facts.read(tmp_path / "bundles")
    assert changed is not None and changed.faults == ("evidence.json is not what the manifest names",)
    (tmp_path / "bundles" / sound.name / "manifest.json").write_text("{}")
    edited = bundle_facts.read(tmp_path / "bundles")
    assert edited is not None and "manifest.json is not what was activated" in edited.faults


@pytest.mark.parametrize(
    ("content", "state"),
    [
        (None, DaemonState.ABSENT),
        ("{", DaemonState.SILENT),
        ('{"at": "2026-03-12T20:19:00+00:00"}', DaemonState.ALIVE),
        ('{"at": "2026-03-12T20:17:00+00:00"}', DaemonState.SILENT),
    ],
)
def test_a_daemon_is_alive_for_two_minutes_after_it_was_seen(tmp_path: Path, content: str | None, state: DaemonState) -> None:
    if content is not None:
        (tmp_path / "health.json").write_text(content)
    assert daemon_state(StateFolder(tmp_path), AT)[0] is state


def test_the_same_seed_makes_the_same_device(tmp_path: Path) -> None:
    made = [build(tmp_path / name, seed=5, sessions=3, names=12).folder for name in ("a", "b")]
    rows = []
    for folder in made:
        connection = sqlite3.connect(f"file:{folder / 'ledger.sqlite'}?mode=ro", uri=True)
        tables = ("plans", "intents", "fills", "positions", "nav", "tripwires")
        found = [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall() for table in tables]
        rows.append(json.dumps(found))
        connection.close()
    assert rows[0] == rows[1]


def test_what_an_earlier_release_recorded_of_its_jobs_is_shown(ledger: Ledger) -> None:
    """The figures of one session as the release before wrote them, read by every view and written again without loss."""
    stored = json.loads((Path(__file__).parent / "stored" / "job_figures.json").read_text())
    kinds = {"pull": PullFigures, "score": ScoreFigures, "plan": PlanFigures, "reconcile_close": ReconcileFigures, "report": ReportFigures}
    day = date(2025, 12, 31)
    for job, kind in kinds.items():
        job_runs.begin(ledger, day, job, AT)
        job_runs.finish(ledger, JobReport(job, day, JobStatus.DONE, "", stored[job]), AT)
        run = job_runs.find(ledger, day, job)
        assert run is not None and to_json(run.read(kind)) == stored[job], job
    shown = monitoring.attribution(ledger, day, 5).rows[0]
    assert (shown["total"], shown["market"], shown["best"][0]) == ("-554.70", "111.75", ["GWQE", "189.93"])
    assert monitoring.drift(ledger, day).rows[1]["name"] == "log_traded_usd_20"
    assert monitoring.data(ledger, day, 5).rows[0]["status"] == "GREEN"
    assert runs.reconciliation(ledger, day, 5).rows[0]["cash"] == "1005024"


def test_figures_of_another_shape_are_not_this_program_s(ledger: Ledger) -> None:
    job_runs.begin(ledger, D, "report", AT)
    job_runs.finish(ledger, JobReport("report", D, JobStatus.DONE, "", {"attribution": [{"session": "2026-03-11", "total": "much"}]}), AT)
    with pytest.raises(LedgerUnusable, match=r"attribution\.0\.total"):
        monitoring.attribution(ledger, D, 5)
