"""How a job ends: once, in one way, with the latch closed before anything else reacts to a halt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, time
from pathlib import Path

import pytest

from appliance.clock import VirtualClock
from appliance.deps import Deps
from appliance.halting import NAMES, halt, halt_name
from appliance.job import JobReport, JobStatus
from appliance.jobs.running import Entry, run_job
from appliance.ledger import Ledger, alerts, halts, job_runs
from appliance.ramp import ramp_share
from appliance.seams import Alert, Severity
from signals.errors import (
    BrokerUnreachable,
    DataNotUsable,
    DeviceHalted,
    FixInput,
    HaltDevice,
    InvariantBroken,
    OutcomeUnknown,
    ReconBreak,
    TripwireHalt,
    UnknownOrder,
)
from tests.fakes.broker import FakeBroker, Inbox, MemoryFs, deps_of, weekdays

CALENDAR = weekdays(date(2024, 3, 4), 15)
D, NEXT = date(2024, 3, 12), date(2024, 3, 13)


class Bench:
    """Dependencies around a fake broker, reopened at will."""

    def __init__(self, root: Path) -> None:
        self.root, self.fs, self.inbox = root, MemoryFs(), Inbox()
        self.clock = VirtualClock(CALENDAR.session(D).at(time(8)))
        self.broker = FakeBroker(self.clock, CALENDAR, {})
        self.deps = self.open()

    def open(self) -> Deps:
        ledger = Ledger(self.root / "ledger.sqlite")
        return deps_of(self.root, self.broker, self.clock, CALENDAR, self.fs, ledger, self.inbox)

    def run(
        self, job: Callable[[date, Deps], JobReport], name: str = "plan", day: date = D, **more: object
    ) -> JobReport:
        return run_job(Entry(name, job, **more), day, self.deps)  # type: ignore[arg-type]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def done(session: date, deps: Deps) -> JobReport:
    return JobReport("inner name", session, JobStatus.DONE, "went well", {"n": 1})


def raising(error: Exception) -> Callable[[date, Deps], JobReport]:
    def job(session: date, deps: Deps) -> JobReport:
        raise error

    return job


def status(bench: Bench, name: str = "plan", day: date = D) -> JobStatus | None:
    run = job_runs.find(bench.deps.ledger, day, name)
    return run.status if run else None


def test_a_job_that_ended_is_answered_and_not_run_again(bench: Bench) -> None:
    """B4."""
    first = bench.run(done)
    second = bench.run(raising(AssertionError("it ran twice")))
    assert (first.status, first.job, first.summary) == (JobStatus.DONE, "plan", "went well")
    assert second.status is JobStatus.DONE and second.summary == "went well (already done; nothing was changed)"
    assert second.figures == {"n": 1}


def test_a_skip_ends_the_job_and_tells_a_person_what_is_still_held(bench: Bench) -> None:
    report = bench.run(raising(DataNotUsable("2024-03-11 is RED")))
    assert report.status is JobStatus.SKIPPED is status(bench)
    assert [(a.severity, a.title) for a in bench.inbox.alerts] == [(Severity.WARN, "2024-03-12 is skipped")]
    assert "No new orders" in bench.inbox.alerts[0].body


@pytest.mark.parametrize("error", [BrokerUnreachable("no answer"), FixInput("bad option"), InvariantBroken("a fault")])
def test_what_may_pass_leaves_the_job_open_and_the_next_run_starts_it(bench: Bench, error: Exception) -> None:
    with pytest.raises(type(error)):
        bench.run(raising(error))
    assert status(bench) is None
    assert bench.run(done).status is JobStatus.DONE
    run = job_runs.find(bench.deps.ledger, D, "plan")
    assert run is not None and run.attempts == 2


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ReconBreak("10 shares too many"), "RECON_BREAK"),
        (UnknownOrder("no proof"), "UNKNOWN_ORDER"),
        (OutcomeUnknown("no answer"), "UNKNOWN_ORDER"),
        (TripwireHalt("too deep", where="DRAWDOWN_HALT"), "DRAWDOWN_HALT"),
        (HaltDevice("something"), "HALT"),
    ],
)
def test_a_halt_is_latched_recorded_and_paged_under_its_name(bench: Bench, error: HaltDevice, name: str) -> None:
    bench.deps.latch.arm(by="me", at=bench.clock.now())
    report = bench.run(raising(error))
    latch = bench.deps.latch.read()
    assert report.status is JobStatus.HALTED is status(bench)
    assert not latch.is_armed and latch.name == name == halt_name(error)
    row = halts.require(bench.deps.ledger, latch.halt_id)
    assert row.name == name and row.details["cancel"] == "cancelled" and row.details["notified"] is True
    assert [a.severity for a in bench.inbox.alerts] == [Severity.PAGE]


def test_a_halt_while_one_stands_is_told_and_keeps_the_first_one_s_record(bench: Bench) -> None:
    bench.deps.latch.arm(by="me", at=bench.clock.now())
    first = halt(bench.deps, None, "DRAWDOWN", "too deep")
    second = halt(bench.deps, None, "MANUAL", "stop")
    assert second.halt_id == first.halt_id
    assert [(row.name, row.value) for row in halts.newest(bench.deps.ledger, 5)] == [("DRAWDOWN", "too deep")]
    assert [alert.title for alert in bench.inbox.alerts] == ["HALTED by DRAWDOWN", "HALTED by MANUAL"]
    assert len(bench.deps.latch.read().later) == 1


def test_the_latch_is_closed_before_any_other_reaction(bench: Bench) -> None:
    """C1: when everything else fails, the device is halted all the same."""
    bench.deps.latch.arm(by="me", at=bench.clock.now())
    seen: list[bool] = []

    class Watching:
        def cancel_all(self) -> bool:
            seen.append(bench.deps.latch.read().is_armed)
            raise BrokerUnreachable("no answer")

    class Deaf(Inbox):
        def notify(self, alert: Alert) -> bool:
            return False

    deps = replace(bench.deps, open_broker=Watching, notifier=Deaf())  # type: ignore[arg-type]
    record = halt(deps, D, "MANUAL", "stop")
    assert seen == [False]
    details = halts.require(deps.ledger, record.halt_id).details
    assert "not cancelled" in details["cancel"] and details["notified"] is False
    assert alerts.newest(deps.ledger, 1)[0].delivered is False


def test_every_error_that_halts_has_a_name_or_the_plain_one() -> None:
    assert set(NAMES.values()) == {"RECON_BREAK", "UNKNOWN_ORDER", "UNKNOWN_BROKER_STATE", "LEDGER_UNUSABLE"}


def test_a_job_that_sends_orders_does_not_start_on_a_halted_device(bench: Bench) -> None:
    with pytest.raises(DeviceHalted, match="appliance arm"):
        bench.run(done, "trade", needs_armed=True)
    assert job_runs.find(bench.deps.ledger, D, "trade") is None


def test_a_job_waits_for_the_one_before_it(bench: Bench) -> None:
    with pytest.raises(FixInput, match="trade comes after plan"):
        bench.run(done, "trade", after=("plan",))


@pytest.mark.parametrize("error", [DataNotUsable("RED"), ReconBreak("differs")])
def test_a_job_after_a_skipped_or_halted_one_is_skipped(bench: Bench, error: Exception) -> None:
    bench.run(raising(error), "score")
    report = bench.run(raising(AssertionError("it ran")), "plan", after=("score",))
    assert report.status is JobStatus.SKIPPED and report.figures == {"because_of": "score"}


def test_the_third_skipped_session_in_a_row_halts(bench: Bench) -> None:
    bench.deps.latch.arm(by="me", at=bench.clock.now())
    days = CALENDAR.between(date(2024, 3, 11), date(2024, 3, 15))
    for day in days[:2]:
        bench.run(raising(DataNotUsable("RED")), day=day)
    bench.run(done, day=days[2])
    for day in days[3:]:
        bench.run(raising(DataNotUsable("RED")), day=day)
    assert bench.deps.latch.read().is_armed
    bench.run(raising(DataNotUsable("RED")), day=CALENDAR.next(days[-1]))
    assert bench.deps.latch.read().name == "SKIPS_IN_A_ROW"


def test_a_request_to_halt_in_a_file_is_honoured_once(bench: Bench) -> None:
    bench.deps.latch.arm(by="me", at=bench.clock.now())
    bench.fs.write(bench.deps.folder.halt_request, b"stop it")
    assert bench.run(done).status is JobStatus.DONE
    assert "stop it" in bench.deps.latch.read().reason
    assert bench.fs.read(bench.deps.folder.halt_request) is None
    bench.run(done, "report")
    assert bench.deps.latch.read().later == ()


def test_a_first_session_steps_in_by_a_fifth(bench: Bench) -> None:
    assert ramp_share(bench.deps, D, "b" * 64) == pytest.approx(0.2)
