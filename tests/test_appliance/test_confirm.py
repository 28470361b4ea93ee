"""Confirm after a trade that did not end well: it settles what that one left, and follows it with nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.jobs.registry import ENTRIES
from appliance.jobs.runner import run_job
from appliance.ledger import intents, job_runs, tripwires
from appliance.ledger.intents import IntentState
from appliance.schedule.job import JobReport, JobStatus
from execution.brokers.alpaca import AlpacaBroker
from execution.orders import Intent
from execution.planning.config import EntryConfig, EntryStyle
from signals.errors import FixInput
from tests.fakes import exchange as small
from tests.fakes.standing import D, Standing, stand


class Killed(BaseException):
    """The process is gone."""


def killed_after_a_post(device: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker has the first order, and the journal has it as SENDING."""
    post = AlpacaBroker.submit

    def dies(self: AlpacaBroker, intent: Intent) -> None:
        post(self, intent)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(AlpacaBroker, "submit", dies)
        with pytest.raises(Killed):
            device.run("trade", "09:10")
    assert "sending" in device.states()


def ended(device: Standing, status: JobStatus) -> None:
    """`trade` ended so: missed at its deadline, or closed by whoever found the latch closed."""
    deps = device.deps()
    job_runs.finish(deps.ledger, JobReport("trade", D, status, "late"), device.clock.now())
    deps.close()


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.HALTED])
def test_confirm_settles_what_a_trade_left_in_doubt_and_follows_it_with_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: JobStatus
) -> None:
    """Killed after a post and back after the deadline: by 09:45 the order is looked up, filled in part, and not followed."""
    device = stand(tmp_path, partial_fill_probability=1.0, seed=2)
    killed_after_a_post(device, monkeypatch)
    device.to("09:27")
    ended(device, status)
    posts = device.posts()
    device.to("09:45")
    deps = device.deps()
    report = run_job(ENTRIES["confirm"], D, deps)
    assert (report.status, "trade did not end well" in report.summary) == (JobStatus.DONE, True)
    assert intents.in_states(deps.ledger, {IntentState.SENDING, IntentState.UNKNOWN}) == ()
    assert (device.states(), device.posts(), len(device.entries())) == ({"expired", "denied"}, posts, 3)
    measured = {row.name: row.value for row in tripwires.of_session(deps.ledger, D)}
    assert measured["UNKNOWN_ORDER"] == "0"
    deps.close()


def test_confirm_waits_until_trade_has_ended(tmp_path: Path) -> None:
    device = stand(tmp_path)
    device.to("09:45")
    deps = device.deps()
    with pytest.raises(FixInput, match="confirm comes after trade, which has not ended"):
        run_job(ENTRIES["confirm"], D, deps)
    deps.close()


@pytest.mark.parametrize(("status", "sent"), [(JobStatus.SKIPPED, 0), (JobStatus.DONE, 3)])
def test_orders_that_wait_for_the_open_leave_only_after_a_trade_that_ended_well(tmp_path: Path, status: JobStatus, sent: int) -> None:
    """F37: the broker's calendar skipped `trade`; by 09:45 it may be another, and the plan's day orders stay all the same."""
    device = Standing(tmp_path, small.exchange("2021-11-22 08:00"))
    device.start()
    device.freeze(entry=EntryConfig(kind=EntryStyle.DAY))
    device.to("09:11")
    deps = device.deps()
    job_runs.begin(deps.ledger, D, "trade", device.clock.now())
    deps.close()
    ended(device, status)
    assert device.run("confirm", "09:45").status is JobStatus.DONE
    assert sum(device.posts().values()) == sent
