"""Sessions of kills, lost answers, late look-ups, outages: one order per intent at most, none lost, resolved or halted.

The rules are judged by the fake broker's log, in `tests.fakes.rehearsal.broken_rules`.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.jobs.confirm import confirm
from appliance.jobs.reconcile import reconcile
from appliance.jobs.trade import trade
from appliance.ledger import intents, plans
from appliance.ledger.intents import IntentState
from appliance.schedule.job import JobReport
from tests.fakes.broker import Fault
from tests.fakes.rehearsal import ENTRIES, D, Rehearsal, at, broken_rules, calm, rehearse

SLICES = [range(0, 250), pytest.param(range(250, 500), marks=pytest.mark.slow)]
MANY, CALM = range(500, 20_000), range(20)

# what every 250 sessions must have reached for their silence to mean anything
WITNESSES = (
    "crash",
    "resend",
    "found by look-up",
    "found SENDING",
    "follow-up",
    "flip",
    "traded",
    "halted",
    "partial fill",
    "halted by UNKNOWN_ORDER",
    "halted by UNKNOWN_BROKER_STATE",
    "cancel all",
    "nobody heard",
    "refused by a limit",
    "trade done",
    "trade halted",
    "confirm done",
    "confirm halted",
    "not started",
    "try again",
    "ended filled",
    "ended expired",
    "ended refused",
    "ended denied",
    "ended lapsed",
    "ended canceled",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def campaign(seeds: range) -> Counter[str]:
    """Rehearse every seed and assert that no rule was broken; return what was reached."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            life = rehearse(Path(folder), seed)
            assert broken_rules(life) == [], f"seed {seed}"
            seen += life.seen
    return seen


@pytest.mark.parametrize("seeds", SLICES, ids=lambda seeds: f"from {seeds.start}")
def test_seeded_sessions_of_kills_and_faults_break_no_rule_and_reach_every_fault(seeds: range) -> None:
    """J1: 250 sessions, and as many again by `make chaos`; each rule of `tests.fakes.rehearsal.broken_rules` after each of them."""
    seen = campaign(seeds)
    assert [name for name in WITNESSES if seen[name] == 0] == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many_thousand_seeded_sessions_break_no_rule() -> None:
    seen = campaign(MANY)
    print(sorted(seen.items()))
    assert seen["crash"] > 20_000


def test_sessions_without_a_fault_all_trade_and_none_halts() -> None:
    """I12: nothing but partial fills happens; every job ends well and every order is at the broker."""
    for seed in CALM:
        with tempfile.TemporaryDirectory() as folder:
            life = rehearse(Path(folder), seed, is_calm=True)
            assert broken_rules(life) == [], seed
            assert life.latch.read().is_armed, seed
            assert life.ended == [(name, "done") for name in ENTRIES], seed
            assert [alert.key for alert in life.inbox.alerts if alert.key.startswith("halt")] == []
            posted = {intent.key.client_order_id for _, intent in life.broker.posts}
            deps = life.open()
            planned = {i.key.client_order_id for i in plans.require(deps.ledger, D).intents if i.waits_for is None}
            deps.close()
            assert planned <= posted, seed


def test_the_same_seed_gives_the_same_session() -> None:
    """I14: to the order, the instant and the byte of the latch."""
    for seed in range(8):
        found = []
        for _ in range(2):
            with tempfile.TemporaryDirectory() as folder:
                life = rehearse(Path(folder), seed)
                content = [(name, content) for name, content in life.fs.written]
                found.append((life.broker.posts, life.broker.accepted, content, life.ended, life.seen))
        assert found[0] == found[1], seed


def test_a_calm_session_trades_to_its_end(root: Path) -> None:
    life = calm(root)
    _day(life)
    assert broken_rules(life) == []
    assert life.latch.read().is_armed
    assert life.seen["ended filled"] == len(life.broker.posts) == 5


def _day(life: Rehearsal) -> list[JobReport | None]:
    reports = [life.run(reconcile, [], at("09:00"))]
    life.to("09:10")
    reports.append(life.run(trade, [], at("09:26")))
    life.to("09:30")
    life.broker.auction(lambda order: Decimal(1))
    life.to("09:45")
    reports.append(life.run(confirm, [], at("15:45")))
    life.to("16:00")
    life.broker.close()
    life.to("16:20")
    reports.append(life.run(reconcile, [], at("23:00")))
    return reports


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.DROP_BEFORE, Fault.DROP_AFTER])
@pytest.mark.parametrize("lag", [0.0, 20.0], ids=["at once", "listed after 20 s"])
def test_a_lost_request_or_answer_costs_time_and_nothing_else(root: Path, fault: Fault, lag: float) -> None:
    """F05, F06, F13, F14, F26: the order is there exactly once, by adoption or by one resend."""
    life = calm(root)
    life.broker.lag = lag
    life.broker.is_unique = False  # only we stand between the fault and a second order
    life.broker.fault = lambda number: fault if number == 1 else Fault.NONE
    _day(life)
    assert broken_rules(life) == []
    assert life.latch.read().is_armed
    assert life.seen["ended filled"] == 5
    resent = fault in (Fault.CRASH_BEFORE, Fault.DROP_BEFORE)
    assert (life.seen["resend"], len(life.broker.posts)) == ((1, 6) if resent else (0, 5))


def test_the_journal_holds_sending_before_the_broker_sees_the_order(root: Path) -> None:
    """B2: at the moment of the post, another reader of the file finds the row."""
    life = calm(root)
    found: list[tuple[IntentState, int]] = []
    accept = life.broker.submit

    def submit(intent):  # type: ignore[no-untyped-def]
        reader = life.open()
        entry = intents.require(reader.ledger, intent.key.client_order_id)
        found.append((entry.state, entry.posts))
        reader.close()
        return accept(intent)

    life.broker.submit = submit  # type: ignore[method-assign]
    _day(life)
    assert found == [(IntentState.SENDING, 1)] * 5


def test_the_same_job_run_twice_changes_nothing(root: Path) -> None:
    """B4: a second run of each job sends nothing and moves nothing."""
    life = calm(root)
    life.to("09:10")
    first = life.run(trade, [], at("09:26"))
    posts, states = len(life.broker.posts), _states(life)
    assert life.run(trade, [], at("09:26")) is not None
    assert (len(life.broker.posts), _states(life)) == (posts, states)
    assert first is not None
    assert first.figures["at_broker"] == posts == 4


def _states(life: Rehearsal) -> dict[str, IntentState]:
    deps = life.open()
    states = {entry.client_order_id: entry.state for entry in intents.of_session(deps.ledger, D)}
    deps.close()
    return states


def test_a_device_that_was_off_for_days_trades_nothing_of_the_past(root: Path) -> None:
    """F54: the plan is of D; the device comes back three sessions later."""
    life = calm(root)
    life.clock.advance(at("09:10").replace(day=15))
    report = life.run(reconcile, [], at("16:00").replace(day=15))
    assert report is not None
    assert life.broker.posts == []
    assert set(_states(life).values()) == {IntentState.DENIED}


def test_a_broker_that_cannot_be_reached_until_the_window_closes_gets_no_order(root: Path) -> None:
    """F15: nothing is sent, and nothing is sent later."""
    life = calm(root)
    life.broker.unreachable = lambda number: True
    life.to("09:10")
    assert life.run(trade, [], at("09:26")) is None
    life.broker.unreachable = lambda number: False
    life.to("09:28")
    assert life.run(trade, [], at("09:29")) is not None
    assert life.broker.posts == []
    deps = life.open()
    opg = [e for e in intents.of_session(deps.ledger, D) if e.intent.waits_for is None]
    assert {(e.state, e.reason) for e in opg} == {(IntentState.DENIED, "its window closed before it was sent")}
    deps.close()
