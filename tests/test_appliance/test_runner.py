"""How a job ends: once, in one way, with the latch closed before anything else reacts to a halt."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, time
from decimal import InvalidOperation
from pathlib import Path
from typing import TypeVar

import pytest

from appliance.context import Deps
from appliance.controls.latch import Latch
from appliance.jobs.registry import ENTRIES
from appliance.jobs.runner import JobSpec, honour_halt_request, run_job
from appliance.ledger import Ledger, alerts, halts, job_runs
from appliance.ledger.values import Storable
from appliance.safety.escalation import complete
from appliance.safety.halt import NAMES, carry_out_without_ledger, halt, halt_name
from appliance.safety.ramp import ramp_share
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.clock import VirtualClock
from appliance.system.ports import Alert, Severity
from appliance.system.state_folder import DurableFs
from signals.errors import (
    BrokerUnreachable,
    DataNotUsable,
    DeviceHalted,
    FixInput,
    HaltDevice,
    InvariantBroken,
    LedgerDamaged,
    LedgerUnusable,
    OutcomeUnknown,
    Paused,
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

    def run(self, job: Callable[[date, Deps], JobReport], name: str = "plan", day: date = D, **more: object) -> JobReport:
        return run_job(JobSpec(name, job, **more), day, self.deps)  # type: ignore[arg-type]


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


def test_a_run_by_hand_before_its_time_does_not_end_the_job_after_the_close(bench: Bench) -> None:
    """The bench's clock says 08:00 of D; a fault that it finds halts all the same, and the job stays open then, too."""
    bench.deps.latch.arm(by="me", at=bench.clock.now())
    early = bench.run(done, "reconcile_close", is_repeatable=True)
    assert early.summary == "went well (before its time: it runs again after the close)"
    assert job_runs.find(bench.deps.ledger, D, "reconcile_close") is None
    assert bench.run(raising(ReconBreak("differs")), "reconcile_close", is_repeatable=True).status is JobStatus.HALTED
    assert (bench.deps.latch.read().name, job_runs.find(bench.deps.ledger, D, "reconcile_close")) == ("RECON_BREAK", None)
    bench.clock.advance(CALENDAR.session(D).at(time(16, 20)))
    assert bench.run(done, "reconcile_close", is_repeatable=True).summary == "went well"
    assert status(bench, "reconcile_close") is JobStatus.DONE
    assert [name for name, entry in ENTRIES.items() if entry.is_repeatable] == ["reconcile_close", "report"]


def test_a_job_that_follows_another_runs_however_that_one_ended(bench: Bench) -> None:
    with pytest.raises(FixInput, match="confirm comes after trade"):
        bench.run(done, "confirm", follows=("trade",))
    bench.run(raising(DataNotUsable("RED")), "trade")
    assert bench.run(done, "confirm", follows=("trade",)).status is JobStatus.DONE


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


def test_sessions_of_a_pause_halt_nothing_and_hide_no_row_of_skips(bench: Bench) -> None:
    """Ten paused sessions leave the device armed; two skips before them and one after are three in a row."""
    bench.deps.latch.arm(by="me", at=bench.clock.now())
    days = CALENDAR.days[1:14]
    for day in days[:2]:
        bench.run(raising(DataNotUsable("RED")), day=day)
    for day in days[2:12]:
        assert bench.run(raising(Paused("PAUSED")), day=day).status is JobStatus.SKIPPED
        assert bench.deps.latch.read().is_armed
    bench.run(raising(DataNotUsable("RED")), day=days[12])
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
    assert ramp_share(bench.deps, D, {"equities_xs": "equities_xs champion 0"}, {"b" * 64}) == pytest.approx(0.2)


class Silent(VirtualClock):
    """The clock of an exchange that does not answer."""

    def now(self) -> datetime:
        raise BrokerUnreachable("the exchange does not report its time")


@pytest.mark.parametrize("error", [InvalidOperation(), RecursionError("too deep"), KeyError("id"), FixInput("no key")])
def test_a_halt_is_recorded_and_told_whatever_cancel_all_and_the_clock_do(bench: Bench, error: Exception) -> None:
    bench.deps.latch.arm(by="me", at=bench.clock.now())
    asked: list[bool] = []

    class Broken:
        def cancel_all(self) -> bool:
            asked.append(bench.deps.latch.read().is_armed)
            raise error

    deps = replace(bench.deps, open_broker=Broken, clock=Silent(bench.clock.now()))  # type: ignore[arg-type]
    record = halt(deps, D, "MANUAL", "st\ud800p")
    assert asked == [False]
    row = halts.require(deps.ledger, record.halt_id)
    assert row.details["cancel"].startswith("not cancelled") and row.value == "st\\ud800p"
    assert [alert.title for alert in bench.inbox.alerts] == ["HALTED by MANUAL"]


T = TypeVar("T")


class Losing(Ledger):
    """A ledger that is damaged, or full, in the rows of some tables from a moment on."""

    spoilt: tuple[str, ...] = ()

    def read(self, kind: type[T], query: str, values: Sequence[Storable] = ()) -> list[T]:
        if any(f"FROM {table} " in query for table in self.spoilt):
            raise LedgerDamaged("the ledger is corrupt")
        return super().read(kind, query, values)

    def execute(self, statement: str, values: Sequence[Storable] = ()) -> int:
        if any(f"INTO {table} " in statement for table in self.spoilt):
            raise LedgerUnusable("the ledger cannot be written")
        return super().execute(statement, values)


def test_what_the_ledger_cannot_say_is_no_reason_not_to_record_a_halt(bench: Bench) -> None:
    bench.deps.ledger.close()
    ledger = Losing(bench.root / "ledger.sqlite")
    deps = replace(bench.deps, ledger=ledger)
    deps.latch.arm(by="me", at=bench.clock.now())
    ledger.spoilt = ("accounts", "plans", "tripwires")
    record = halt(deps, D, "MANUAL", "stop")
    assert "corrupt" in halts.require(ledger, record.halt_id).details["unreadable"]
    assert "does not say what is held" in bench.inbox.alerts[0].body
    ledger.close()


def test_a_halt_that_cannot_be_recorded_is_cancelled_and_told_all_the_same(bench: Bench) -> None:
    bench.deps.ledger.close()
    ledger = Losing(bench.root / "ledger.sqlite")
    deps = replace(bench.deps, ledger=ledger)
    deps.latch.arm(by="me", at=bench.clock.now())
    ledger.spoilt = ("halts", "alerts")
    with pytest.raises(LedgerUnusable):
        halt(deps, D, "MANUAL", "stop")
    assert len(bench.broker.cancelled) == 1 and not deps.latch.read().is_armed
    assert [alert.title for alert in bench.inbox.alerts] == ["HALTED by MANUAL"]
    ledger.spoilt = ()
    assert complete(deps), "an attendance records it once it can"
    assert halts.require(ledger, deps.latch.read().halt_id).name == "MANUAL"
    ledger.close()


def test_a_halt_that_the_disk_takes_in_no_form_is_an_error_and_no_half_of_a_halt(bench: Bench) -> None:
    deps = bench.deps
    deps.latch.arm(by="me", at=bench.clock.now())

    class ReadOnly(MemoryFs):
        def write(self, path: Path, content: bytes) -> None:
            raise OSError(30, "Read-only file system")

        def rename(self, path: Path, to: Path) -> None:
            raise OSError(30, "Read-only file system")

        def remove(self, path: Path) -> None:
            raise OSError(30, "Read-only file system")

    fs = ReadOnly()
    fs.files = bench.fs.files
    with pytest.raises(LedgerUnusable, match="cannot be written"):
        halt(replace(deps, latch=Latch(bench.root, fs)), D, "MANUAL", "stop")
    assert bench.broker.cancelled == [] and bench.inbox.alerts == []


def test_a_halt_without_a_ledger_cancels_and_tells(bench: Bench) -> None:
    record = bench.deps.latch.halt("MANUAL", "stop", bench.clock.now())
    done = carry_out_without_ledger(lambda: bench.broker, bench.inbox, record, bench.clock.now(), LedgerUnusable("the ledger is gone"))
    assert (done, len(bench.broker.cancelled)) == ("cancelled", 1)
    assert "the ledger is gone" in bench.inbox.alerts[0].body and record.halt_id in bench.inbox.alerts[0].body


def requests() -> dict[str, Callable[[Path], object]]:
    """Ways in which a file HALT comes to be, not one of which can be read as text."""
    return {
        "a folder": lambda path: path.mkdir(),
        "a folder with something in it": lambda path: (path / "more").mkdir(parents=True),
        "a link to nothing": lambda path: path.symlink_to("nowhere"),
        "a pipe that never speaks": os.mkfifo,
        "bytes of another encoding": lambda path: path.write_bytes("prêt".encode("latin-1")),
        "what never ends": lambda path: path.symlink_to("/dev/zero"),
    }


@pytest.mark.parametrize("kind", requests())
def test_whatever_bears_the_name_halt_halts_once(bench: Bench, kind: str) -> None:
    deps = replace(bench.deps, fs=(fs := DurableFs()), latch=Latch(bench.root, fs))
    deps.latch.arm(by="me", at=bench.clock.now())
    requests()[kind](deps.folder.halt_request)
    for _ in range(2):
        honour_halt_request(deps, D)
    standing = deps.latch.read()
    assert (standing.name, standing.later) == ("MANUAL", ()) and "the file HALT was found" in standing.reason
    assert halts.require(deps.ledger, standing.halt_id).name == "MANUAL" and len(bench.broker.cancelled) == 1
    stays = kind == "a folder with something in it"
    assert os.path.lexists(deps.folder.halt_request) is stays
    titles = ["HALTED by MANUAL", *(["the file HALT cannot be removed"] if stays else [])]
    assert [alert.title for alert in bench.inbox.alerts] == titles
