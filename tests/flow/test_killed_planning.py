"""F01, F02: the real plan job of a whole device, killed by SIGKILL around the commit that freezes the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from appliance.ledger import plans
from tests.fakes.device import Workbench
from tests.fakes.killing import dying_after, dying_before, killed
from tests.fakes.store import Published

Make = Callable[..., Workbench]


@pytest.mark.parametrize(
    ("dying", "frozen"), [pytest.param(dying_before, 0, id="F01-plan-computed"), pytest.param(dying_after, 1, id="F02-plan-committed")]
)
def test_killed_around_the_plans_commit_the_session_trades_one_plan_once(
    make: Make, published: Published, dying: Callable[..., Callable[..., object]], frozen: int
) -> None:
    """F01, F02: a plan that was not committed is made again; one that was is the one that is traded."""
    day = str(published.sessions(1)[0])
    bench = make(published)
    for command in ("pull", "score", "reconcile"):
        assert bench(command, "--session", day).code == 0

    def work() -> None:
        plans.save = dying(plans.save)
        bench("plan", "--session", day)

    killed(work)
    digests = bench.rows("SELECT digest FROM plans")
    assert len(digests) == frozen
    assert bench.rows("SELECT status FROM job_runs WHERE job = 'plan'") == [("running",)], "the job is open"
    assert bench("arm", "--session", day, "--yes").code == 0
    done = bench("run-day", "--session", day, "--json")
    assert done.code == 0, (done.out, done.err)
    after = bench.rows("SELECT digest FROM plans")
    assert len(after) == 1
    assert after == digests or not frozen
    sent = Counter(bench.rows("SELECT state, posts FROM intents"))
    assert set(sent) == {("filled", 1)}
    assert bench.rows("SELECT count(*), count(DISTINCT client_order_id) FROM broker_orders") == [(sum(sent.values()), sum(sent.values()))]
