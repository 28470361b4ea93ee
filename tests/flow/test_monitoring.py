"""A device that is replayed over a fortnight says where each result came from, and whether all is as promised."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.ledger import Ledger, job_runs
from appliance.schedule.job import JobReport, JobStatus
from appliance.views.monitoring import ATTRIBUTION_PARTS
from signals.bundle import Part
from signals.market.sessions import SessionStatus
from tests.fakes import bundles
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_bundle, recipe, republish
from tests.test_signals.test_expectation import PROMISE

SESSIONS = 10


@pytest.fixture(scope="module")
def replayed(published: Published, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workbench, list[date]]:
    """Ten sessions of which the fourth is skipped: the data of the evening before it are RED. The bundle promises."""
    root = tmp_path_factory.mktemp("watching")
    shutil.copytree(published.root, root / "store")
    store = Published(root / "store", root / "store" / "root.pub", published.manifest, published.last_training)
    of = recipe(store.root / "data", store.last_training, seq=2)
    promise = bundles.evidence_file(expectation=PROMISE)
    publish_bundle(store.root, of.but(files={**of.files, "evidence.json": (Part.EVIDENCE, promise)}))
    days = store.sessions(SESSIONS)
    republish(store, days[2], SessionStatus.RED)
    like = Workbench(root / "like")
    done = like("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", "0.05")
    assert done.code == 0, done.err
    bench = Workbench(root / "replayed")
    done = bench("replay", "--like", str(like.state), "--start", str(days[0]), "--end", str(days[-1]), "--json")
    assert done.code == 0, done.err
    assert len(done.json["skipped"]) == 1
    return bench, days


def test_every_session_is_attributed_to_the_cent_of_its_change_in_real_value(replayed: tuple[Workbench, list[date]]) -> None:
    """All but the last, whose bars come in its evening. The oracle is the column of values and nothing else."""
    bench, days = replayed
    shown = bench("attribution", "--json").json["rows"]
    assert [row["session"] for row in shown] == [str(day) for day in days[-2::-1]]
    values = {day: Decimal(usd) for day, usd in bench.rows("SELECT session, real_nav FROM nav ORDER BY session")}
    before = Decimal(100_000)
    for row in shown[::-1]:
        parts = [Decimal(row[part]) for part in ATTRIBUTION_PARTS]
        assert sum(parts) == Decimal(row["total"]) == values[row["session"]] - before
        assert sum(Decimal(usd) for usd in row["of costs"].values()) == Decimal(row["costs"])
        before = values[row["session"]]


def test_costs_are_those_of_the_real_value_and_only_the_skipped_session_has_a_skip(replayed: tuple[Workbench, list[date]]) -> None:
    bench, days = replayed
    shown = {row["session"]: row for row in bench("attribution", "--json").json["rows"]}
    charged = bench.rows("SELECT session, borrow, fees, impact FROM nav")
    for session, borrow, fees, impact in charged:
        if session in shown:
            costs = shown[session]["of costs"]
            assert [costs["borrow"], costs["fees"], costs["spread and impact"]] == [
                str(Decimal(usd).quantize(Decimal("0.01"))) for usd in (borrow, fees, impact)
            ]
    skips = {session: Decimal(row["skips"]) for session, row in shown.items()}
    skipped, after = str(days[3]), str(days[4])
    assert skips.pop(skipped) != 0
    skips.pop(after)  # what the skip left undone was still missing over the night
    assert set(skips.values()) == {Decimal(0)}
    assert all(Decimal(row["refused orders"]) == 0 for row in shown.values())


def test_a_session_whose_bars_are_red_is_attributed_all_the_same(replayed: tuple[Workbench, list[date]]) -> None:
    bench, days = replayed
    row = next(row for row in bench("attribution", "--json").json["rows"] if row["session"] == str(days[2]))
    assert row["data"] == "RED"
    assert Decimal(row["market"]) == Decimal(row["sector"]) == 0


def test_the_report_of_a_session_tells_of_the_session_before_it(replayed: tuple[Workbench, list[date]]) -> None:
    bench, days = replayed
    folder = bench.state / "reports"
    told = json.loads((folder / f"report_{days[2]}.json").read_text())
    assert [row["session"] for row in told["attribution"]] == [str(days[1])]
    text = (folder / f"report_{days[2]}.md").read_text()
    assert f"## Where the result of {days[1]} came from" in text
    first = json.loads((folder / f"report_{days[0]}.json").read_text())
    assert first["attribution"] == []
    assert Path(folder / f"report_{days[-1]}.md").exists()


def test_the_model_s_life_stands_beside_its_promise_in_the_command_the_report_and_the_picture(
    replayed: tuple[Workbench, list[date]],
) -> None:
    """Nine sessions were scored and one skipped: the first five fill the cohorts, two are not judged yet."""
    bench, days = replayed
    done = bench("expectation", "--json")
    assert done.code == 0
    shown = done.json
    assert [row["figure"] for row in shown["rows"]] == ["ic", "turnover", "cost", "drawdown"]
    scored = [date.fromisoformat(asof) for (asof,) in bench.rows("SELECT DISTINCT asof FROM scores ORDER BY asof")]
    judged = [row["session"] for row in shown["life"]]
    assert len(scored) == SESSIONS - 1
    assert judged == [str(day) for day in scored[5:] if day <= days[-4]]
    assert shown["test"]["says"] == "nothing speaks against the model you promoted"
    told = json.loads((bench.state / "reports" / f"report_{days[-1]}.json").read_text())
    assert told["expectation"]["figures"] == shown["rows"]
    text = (bench.state / "reports" / f"report_{days[-1]}.md").read_text()
    assert "## Expected and realised" in text and "![expected and realised](expectation.svg)" in text
    assert (bench.state / "reports" / "expectation.svg").read_bytes().startswith(b"<svg")
    assert "nothing speaks against the model you promoted" in bench("expectation").out


def test_drift_is_reported_daily_and_shown_against_the_limits_of_the_bundle(replayed: tuple[Workbench, list[date]]) -> None:
    bench, days = replayed
    shown = bench("drift", "--json").json
    assert {row["name"] for row in shown["rows"]} >= {"score", "momentum_5", "volatility_20"}
    assert all(row["psi"] is not None and row["limit"] > 0 for row in shown["rows"] if row["name"] != "score")
    worst = max((row["used"], row["name"]) for row in shown["rows"] if row["used"] is not None)
    measured = bench.rows("SELECT value FROM tripwires WHERE name = 'DRIFT_FEATURES' ORDER BY session DESC LIMIT 1")
    assert float(measured[0][0]) == pytest.approx(worst[0], rel=1e-5)
    for day in days[1:]:
        told = json.loads((bench.state / "reports" / f"report_{day}.json").read_text())
        assert len(told["drift"]["rows"]) == len(shown["rows"])
    assert "## Drift" in (bench.state / "reports" / f"report_{days[-1]}.md").read_text()


def test_a_model_that_is_gone_ends_the_command_with_an_exit_code_of_its_own(replayed: tuple[Workbench, list[date]], tmp_path: Path) -> None:
    """A later report of the same device found that the evidence had passed 20."""
    bench, days = replayed
    found = json.loads((bench.state / "reports" / f"report_{days[-1]}.json").read_text())["expectation"]
    gone = {**found["test"], "highest": 31.0, "alarmed_on": str(days[-2]), "says": "no longer the model you promoted"}
    shutil.copytree(bench.state, tmp_path / "later")
    later, at = days[-1] + timedelta(days=1), datetime(2025, 6, 20, 21, tzinfo=UTC)
    with Ledger(tmp_path / "later" / "ledger.sqlite") as ledger:
        job_runs.begin(ledger, later, "report", at)
        figures = {"expectation": {**found, "test": gone}}
        job_runs.finish(ledger, JobReport("report", later, JobStatus.DONE, "", figures), at)
    done = Workbench(tmp_path / "later")("expectation")
    assert done.code == 1 and "no longer the model you promoted; evidence against it" in done.out
    assert Workbench(tmp_path / "later")("expectation", "--session", str(days[-1])).code == 0
