"""Tripwires on the real line: what REDUCE, SKIP and a steeper ramp do to a session's orders."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

import numpy as np
import pytest

from appliance.ledger import Ledger, job_runs
from appliance.ledger.figures import MonitoringFigures, Observation
from appliance.schedule.job import JobReport, JobStatus
from signals.bundle import Part
from signals.market.sessions import SessionStatus
from tests.fakes.bundles import evidence_file
from tests.fakes.device import Workbench
from tests.fakes.store import RANKED, Published, publish_bundle, recipe, republish
from tests.test_signals.test_expectation import PROMISE

Make = Callable[..., Workbench]


def limited(make: Make, store: Published, setting: str) -> Workbench:
    """A device with one limit of its config.yml changed by hand, as `name: value`."""
    bench = make(store, setting.split(":")[0])
    config = bench.state / "config.yml"
    name = setting.split(":")[0]
    lines = [f"  {setting}" if line.strip().startswith(f"{name}:") else line for line in config.read_text().splitlines()]
    assert f"  {setting}" in lines
    config.write_text("\n".join(lines) + "\n")
    return bench


def test_a_bundle_past_its_age_adds_no_risk(make: Make, published: Published) -> None:
    """REDUCE: every opening order is refused, the session itself goes on, and a person is told."""
    day = str(published.sessions(1)[0])
    bench = limited(make, published, "max_bundle_age: 0.01")
    assert bench("arm", "--session", day, "--yes").code == 0
    assert bench("run-day", "--session", day).code == 0
    assert bench.rows("SELECT count(*) FROM intents") == [(0,)]
    report = (bench.state / "reports" / f"report_{day}.md").read_text()
    assert "only orders that lower a position may leave" in report
    tripped = bench.rows("SELECT name, action FROM tripwires WHERE tripped = 1 AND name LIKE 'BUNDLE'")
    assert tripped == [("BUNDLE", "reduce")]
    assert ("BUNDLE: reduce",) in bench.rows("SELECT title FROM alerts")


@pytest.mark.parametrize(
    ("setting", "name"),
    [("max_turnover: 0.001", "TURNOVER"), ("min_coverage: 1.5", "COVERAGE"), ("max_invalid_scores: -1", "SCORES_INVALID")],
)
def test_a_tripped_limit_skips_the_session_and_freezes_no_plan(make: Make, published: Published, setting: str, name: str) -> None:
    day = str(published.sessions(1)[0])
    bench = limited(make, published, setting)
    assert bench("pull", "--session", day).code == 0
    for command in ("score", "reconcile", "plan"):
        done = bench(command, "--session", day)
    assert done.code == 3
    assert bench.rows("SELECT count(*) FROM plans") == [(0,)]
    assert bench.rows("SELECT tripped, action FROM tripwires WHERE name = ?", name) == [(1, "skip")]
    reasons = bench.rows("SELECT summary FROM job_runs WHERE status = 'skipped' ORDER BY started_at")
    assert name in reasons[0][0]


@pytest.mark.slow
def test_the_first_sessions_step_in_and_a_model_that_is_only_trained_anew_does_not_begin_again(make: Make, own_store: Published) -> None:
    """A fifth, two fifths ... of the ordinary step: exposure grows by more each day, and the ramp is on record.

    The bundle of the third session has other weights and the same configuration; that of the fourth another one.
    """
    bench = make(own_store)
    days = own_store.sessions(4)
    again = recipe(own_store.root / "data", own_store.last_training, seq=2, weights=np.arange(len(RANKED)) / 64)
    assert bench("arm", "--session", str(days[0]), "--yes").code == 0
    for number, day in enumerate(days):
        if number == 2:
            publish_bundle(own_store.root, again)
        if number == 3:
            publish_bundle(own_store.root, again.but(seq=3, config_sha256="3" * 64))
        assert bench("run-day", "--session", str(day)).code == 0
    bundles = bench.rows("SELECT DISTINCT bundle_sha256 FROM plans ORDER BY session")
    assert len(bundles) == 3
    ramps = bench.rows("SELECT json_extract(figures, '$.ramp') FROM job_runs WHERE job = 'plan' ORDER BY session")
    assert ramps == [(0.2,), (0.4,), (0.6,), (0.2,)]
    gross = [float(value) for (value,) in bench.rows("SELECT gross FROM nav ORDER BY session")]
    assert 0 < gross[0] < gross[1] < gross[2]


def lived(bench: Workbench, days: Sequence[date], ic: float) -> None:
    """Put a report into the ledger in which the model that trades lived these sessions."""
    [(lineage,)] = bench.rows("SELECT json_extract(figures, '$.lineage') FROM job_runs WHERE job = 'plan'")
    rows = tuple(Observation(day, "b" * 64, lineage, ic, turnover=0.1, net=0.0, promised=0.01, bound=0.4) for day in days)
    at = datetime(2024, 1, 2, tzinfo=UTC)
    with Ledger(bench.state / "ledger.sqlite") as ledger:
        job_runs.begin(ledger, days[-1], "report", at)
        job_runs.finish(ledger, JobReport("report", days[-1], JobStatus.DONE, "", MonitoringFigures(live=rows)), at)


@pytest.mark.slow
def test_a_model_that_broke_its_promise_opens_nothing_until_another_one_comes(make: Make, own_store: Published) -> None:
    """Sixty sessions of IC -0.15 where at least 0.01 was promised stop it from the next plan on, and 0.05 does not.

    Retrained by the same configuration it stays stopped; a model of another one trades the next morning.
    """
    of = recipe(own_store.root / "data", own_store.last_training, seq=2)
    of = of.but(files={**of.files, "evidence.json": (Part.EVIDENCE, evidence_file(expectation=PROMISE))})
    publish_bundle(own_store.root, of)
    bench, days = make(own_store), own_store.sessions(4)
    assert bench("arm", "--session", str(days[0]), "--yes").code == 0
    assert bench("run-day", "--session", str(days[0])).code == 0
    shutil.copytree(bench.state, bench.state.with_name("healthy"))
    healthy = Workbench(bench.state.with_name("healthy"))
    calendar = own_store.manifest.calendar
    before = calendar.between(calendar.offset(days[0], -70), calendar.offset(days[0], -10))
    for one, ic in ((bench, -0.15), (healthy, 0.05)):
        lived(one, before, ic)
        assert one("run-day", "--session", str(days[1])).code == 0
    publish_bundle(own_store.root, of.but(seq=3))
    for one in (bench, healthy):
        assert one("run-day", "--session", str(days[2])).code == 0
    publish_bundle(own_store.root, of.but(seq=4, config_sha256="3" * 64))
    assert bench("run-day", "--session", str(days[3])).code == 0
    query = "SELECT session, CAST(value AS REAL) > 1, tripped FROM tripwires WHERE name = 'EXPECTATION' ORDER BY session"
    assert bench.rows(query) == [(str(days[0]), None, 0), (str(days[1]), None, 0), (str(days[2]), 1, 1), (str(days[3]), None, 0)]
    assert healthy.rows(query) == [(str(days[0]), None, 0), (str(days[1]), None, 0), (str(days[2]), 0, 0)]
    only = "SELECT json_extract(figures, '$.reduce_only') FROM job_runs WHERE job = 'plan' ORDER BY session"
    assert bench.rows(only) == [(0,), (0,), (1,), (0,)] and healthy.rows(only) == [(0,), (0,), (0,)]
    count = "SELECT count(*) FROM intents WHERE session = ?"
    assert healthy.rows(count, str(days[2]))[0][0] > 0 < bench.rows(count, str(days[3]))[0][0]
    [(title, body)] = bench.rows("SELECT title, body FROM alerts WHERE title LIKE 'no longer%' AND severity = 'page'")
    assert "trainer rollback" in body and title == "no longer the model you promoted"
    assert healthy.rows("SELECT count(*) FROM alerts WHERE title LIKE 'no longer%'") == [(0,)]


def test_a_device_that_asks_for_green_skips_an_amber_session(make: Make, own_store: Published) -> None:
    day = own_store.sessions(1)[0]
    republish(own_store, own_store.manifest.calendar.previous(day), SessionStatus.AMBER)
    strict, lenient = make(own_store, "strict"), make(own_store, "lenient")
    config = strict.state / "config.yml"
    config.write_text(config.read_text().replace("require_green: false", "require_green: true"))
    for bench in (strict, lenient):
        assert bench("pull", "--session", str(day)).code == 0
    done = strict("score", "--session", str(day))
    assert done.code == 3 and "DATA_NOT_USABLE" in done.out
    assert lenient("score", "--session", str(day)).code == 0
