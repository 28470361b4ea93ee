"""One whole session, again for every single thing that can go wrong in it: each commit, each question, each post (J3).

A kill loses the process before or after the commit or the call; an error is an answer that does not come, once. Every
run ends as the calm one: armed, five orders, each sent once and filled, both books equal. Writes that are torn or
find no room are swept in `test_recovery_power` and `test_faults_machine`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from tests.fakes.broker import Crash, Fault
from tests.fakes.rehearsal import ENTRIES, Rehearsal, at, broken_rules, calm

UNTIL = {"reconcile_morning": "09:00", "trade": "09:26", "confirm": "15:45", "reconcile_close": "23:00"}
Spoil = Callable[[Rehearsal], None]


def day(spoil: Spoil, deadly: dict[str, list[tuple[int, bool]]] | None = None) -> Rehearsal:
    """Live through the session with one thing spoilt; returns the device after its close."""
    with tempfile.TemporaryDirectory() as folder:
        life = calm(Path(folder))
        spoil(life)
        for name, hour in zip(ENTRIES, ("08:00", "09:10", "09:45", "16:20"), strict=True):
            life.to(hour)
            if name == "confirm":
                life.broker.auction(lambda order: Decimal(1))
            if name == "reconcile_close":
                life.broker.close()
            life.attend(name, list((deadly or {}).get(name, [])), at(UNTIL[name]))
        life.night()
        assert broken_rules(life) == []
        assert life.latch.read().is_armed
        assert life.ended == [(name, "done") for name in ENTRIES]
        assert life.seen["ended filled"] == len(life.broker.accepted) == 5
        return life


def nothing(life: Rehearsal) -> None:
    """The calm session."""


def test_every_commit_of_every_job_may_be_the_last_thing_that_it_does() -> None:
    """Killed before and after each, twice in a row: F01 to F12 wherever they fall."""
    commits = day(nothing).commits
    assert list(commits) == list(ENTRIES) and min(commits.values()) >= 3 and commits["trade"] >= 16
    for name, total in commits.items():
        for number in range(1, total + 1):
            for is_after in (False, True):
                life = day(nothing, {name: [(number, is_after), (number, is_after)]})
                assert life.seen["crash"] >= 1, (name, number)


@pytest.mark.parametrize("kind", ["no answer", "killed"])
def test_every_question_to_the_broker_may_stay_without_an_answer(kind: str) -> None:
    total = day(nothing).broker.reads
    assert total > 20
    for number in range(1, total + 1):
        reached: list[int] = []

        def strike(asked: int, number: int = number, reached: list[int] = reached) -> bool:
            if asked != number or reached:
                return False
            reached.append(asked)
            if kind == "killed":
                raise Crash
            return True

        def spoil(life: Rehearsal, strike: Callable[[int], bool] = strike) -> None:
            life.broker.reads, life.broker.unreachable = 0, strike

        life = day(spoil)
        if reached:
            assert life.seen["crash" if kind == "killed" else "try again"] == 1, number


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.DROP_BEFORE, Fault.DROP_AFTER])
def test_every_post_may_be_lost_on_its_way_or_back(fault: Fault) -> None:
    for number in range(5):

        def spoil(life: Rehearsal, number: int = number) -> None:
            life.broker.is_unique = False  # only we stand between the fault and a second order
            life.broker.fault = lambda post: fault if post == number else Fault.NONE

        life = day(spoil)
        resent = fault in (Fault.CRASH_BEFORE, Fault.DROP_BEFORE)
        assert len(life.broker.posts) == 5 + resent, number
