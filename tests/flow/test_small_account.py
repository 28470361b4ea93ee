"""A stranger's account trades from the first session of its ramp; targets too small for shares skip nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal

import pytest
import yaml

from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]


def planned(bench: Workbench, day: object) -> tuple[str, str, dict[str, object]]:
    [(status, summary, figures)] = bench.rows("SELECT status, summary, figures FROM job_runs WHERE job = 'plan' AND session = ?", str(day))
    return status, summary, json.loads(figures)


@pytest.mark.parametrize("equity", ["100000", "25000"])
def test_the_first_session_of_a_ramp_is_traded_with_the_shipped_settings(make: Make, published: Published, equity: str) -> None:
    """The step is a twenty-fifth of the way; the target book is what ROUNDING judges. What is held is the path's."""
    bench, day = make(published, "device", "--equity", equity), published.sessions(1)[0]
    assert bench("arm", "--session", str(day), "--yes").code == 0
    done = bench("run-day", "--session", str(day))
    assert done.code == 0, done.out
    status, _, figures = planned(bench, day)
    assert status == "done"
    assert figures["orders"] > 0
    assert figures["ramp"] == 0.2
    assert figures["rounding"]["planned_gross"] < 0.3 < figures["rounding"]["target_gross"]
    [(tripped,)] = bench.rows("SELECT tripped FROM tripwires WHERE name = 'ROUNDING' AND session = ?", str(day))
    assert not tripped
    [(body,)] = bench.rows("SELECT body FROM plans")
    path = {symbol: Decimal(shares) for symbol, shares in json.loads(body)["path"].items()}
    held = dict(bench.rows("SELECT symbol, quantity FROM positions WHERE phase = 'close'"))
    assert path.keys() >= held.keys()
    assert all(abs(Decimal(held.get(symbol, "0")) - shares) <= Decimal("0.5") for symbol, shares in path.items())
    report = json.loads((bench.state / "reports" / f"report_{day}.json").read_text())
    assert report["plan"]["rounding"] == figures["rounding"]
    assert "nearest whole shares" in (bench.state / "reports" / f"report_{day}.md").read_text()


def test_targets_too_small_for_shares_are_plans_that_are_done_and_never_the_third_skip(make: Make, published: Published) -> None:
    """A fiftieth of 10,000 USD over twenty names is 10 USD of each. Four sessions, none of them skipped."""
    bench, days = make(published, "device", "--equity", "10000"), published.sessions(4)
    config = bench.state / "config.yml"
    settings = yaml.safe_load(config.read_text())
    settings["portfolio"]["gross_target"] = 0.02
    config.write_text(yaml.safe_dump(settings))
    assert bench("arm", "--session", str(days[0]), "--yes").code == 0
    for day in days:
        done = bench("run-day", "--session", str(day))
        assert done.code == 0, done.out
        status, summary, figures = planned(bench, day)
        assert (status, figures["orders"]) == ("done", 0)
        usd = figures["rounding"]["target_gross"] * 10_000
        assert 0 < usd <= 200
        assert f"no trade: {usd:,.0f} USD of targets" in summary
    assert bench.rows("SELECT count(*) FROM intents") == [(0,)]
    tripped = bench.rows("SELECT tripped, action FROM tripwires WHERE name = 'ROUNDING'")
    assert tripped == [(1, "reduce")] * 4
    assert bench.rows("SELECT count(*) FROM halts") == [(0,)]
    assert "ARMED" in bench("status").out
