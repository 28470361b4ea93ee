"""Releases switch in one rename and go back by themselves, wherever power is lost."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

SOURCE = Path(__file__).resolve().parents[2] / "ansible/roles/appliance/files/appliance_release.py"
SPEC = importlib.util.spec_from_file_location("appliance_release", SOURCE)
assert SPEC is not None and SPEC.loader is not None
program: Any = importlib.util.module_from_spec(SPEC)
sys.modules["appliance_release"] = program
SPEC.loader.exec_module(program)

GOOD = ("1.0.0-aa", "1.1.0-bb", "1.2.0-cc")
SICK = "1.3.0-dd"  # installs, starts, is never well
BROKEN = "1.4.0-ee"  # its program does not run


class PowerLost(BaseException):
    """The machine went off."""


class World:
    """A machine with releases, and a switch for its power."""

    def __init__(self, base: Path) -> None:
        self.base, self.running, self.near, self.restarts = base, "", "", 0
        self.calls_left: int | None = None
        (base / "releases").mkdir()
        for name in (*GOOD, SICK, BROKEN):
            self.install(name)

    def install(self, name: str, *, complete: bool = True) -> None:
        folder = self.base / "releases" / name
        folder.mkdir(exist_ok=True)
        if complete:
            (folder / ".complete").write_text(name)

    def releases(self) -> Any:
        return program.Releases(
            self.base,
            restart=self.step(self.restart),
            stop=self.step(self.stop),
            reload=self.step(lambda: None),
            is_well=self.step(self.is_well),
            self_test=lambda folder: "does not run" if folder.name == BROKEN else "",
            near=lambda: self.near,
        )

    def step(self, action: Callable[..., Any]) -> Callable[..., Any]:
        def dies_or_acts(*values: Any) -> Any:
            if self.calls_left is not None:
                if self.calls_left == 0:
                    raise PowerLost
                self.calls_left -= 1
            return action(*values)

        return dies_or_acts

    def restart(self) -> None:
        self.restarts += 1
        link = self.base / "current"
        self.running = link.readlink().name if link.is_symlink() else ""

    def stop(self) -> None:
        self.running = ""

    def is_well(self, _seconds: float) -> str:
        return "" if self.running in GOOD else "not READY within 120 s"

    def boot(self) -> None:
        """Power comes back: the guard settles, then the service starts."""
        self.calls_left = None
        self.releases().settle()
        self.restart()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def activate(world: World, release: str) -> str:
    done: str = world.releases().activate(release, gate=120)
    return done


def history(world: World) -> list[str]:
    return [json.loads(line)["what"] for line in (world.base / "history.jsonl").read_text().splitlines()]


def test_a_release_that_is_well_is_in_force_and_the_one_before_is_remembered(world: World) -> None:
    assert [activate(world, GOOD[0]), activate(world, GOOD[1]), activate(world, GOOD[1])] == ["active", "active", "already"]
    found = world.releases()
    assert (found.named("current"), found.named("previous"), world.running) == (GOOD[1], GOOD[0], GOOD[1])
    assert world.restarts == 2


def test_one_that_is_not_well_in_time_is_gone_back_from(world: World) -> None:
    activate(world, GOOD[0])
    with pytest.raises(program.Refused, match=f"{GOOD[0]} is in force again$") as refused:
        activate(world, SICK)
    assert (refused.value.code, world.running, world.releases().named("current")) == (3, GOOD[0], GOOD[0])
    assert history(world) == ["active", "rolled back"]


def test_a_first_release_that_is_not_well_is_stopped_and_none_is_in_force(world: World) -> None:
    with pytest.raises(program.Refused, match="no release to go back to") as refused:
        activate(world, SICK)
    assert (refused.value.code, world.running, world.releases().named("current")) == (3, "", None)


def test_one_whose_program_does_not_run_is_never_switched_to(world: World) -> None:
    activate(world, GOOD[0])
    with pytest.raises(program.Refused, match="does not run"):
        activate(world, BROKEN)
    assert world.restarts == 1


def test_nothing_is_switched_while_orders_are_near(world: World) -> None:
    """Neither forward nor back nor to read credentials again; the exit code says later."""
    activate(world, GOOD[0])
    activate(world, GOOD[1])
    world.near = "orders are near: not before 10:00"
    found = world.releases()
    for attempt in (lambda: found.activate(GOOD[2], gate=1), lambda: found.rollback(gate=1), lambda: found.restart(gate=1)):
        with pytest.raises(program.Refused, match="orders are near") as refused:
            attempt()
        assert refused.value.code == 5
    assert (world.restarts, world.running) == (2, GOOD[1])
    assert found.activate(GOOD[2], gate=1, whenever=True) == "active"


def test_going_back_by_hand_is_going_to_the_one_before(world: World) -> None:
    activate(world, GOOD[0])
    activate(world, GOOD[1])
    assert world.releases().rollback(gate=1) == "active"
    assert (world.running, world.releases().named("previous")) == (GOOD[0], GOOD[1])


def test_an_incomplete_release_is_none(world: World) -> None:
    world.install("9.9.9-ff", complete=False)
    with pytest.raises(program.Refused, match="not installed"):
        activate(world, "9.9.9-ff")


@pytest.mark.parametrize("release", [GOOD[1], SICK])
@pytest.mark.parametrize("calls", range(4))
def test_power_lost_at_any_step_of_a_switch_ends_with_the_release_that_worked(world: World, release: str, calls: int) -> None:
    """Or with the new one, if its gate had been judged before."""
    activate(world, GOOD[0])
    world.calls_left = calls
    try:
        activate(world, release)
    except PowerLost:
        pass
    except program.Refused:
        assert release == SICK
    world.boot()
    assert world.running == (GOOD[1] if release in GOOD and calls >= 2 else GOOD[0])
    assert not (world.base / "pending").exists()


def test_a_pending_note_that_cannot_be_read_leads_back_all_the_same(world: World) -> None:
    activate(world, GOOD[0])
    activate(world, GOOD[1])
    (world.base / "pending").write_text("{")
    world.boot()
    assert world.running == GOOD[0]


def test_pruning_keeps_what_may_be_needed(world: World) -> None:
    activate(world, GOOD[0])
    activate(world, GOOD[1])
    world.install("0.0.1-old", complete=False)
    assert "0.0.1-old" in world.releases().prune(1)
    assert set(world.releases().complete()) >= {GOOD[0], GOOD[1]}
    assert len(world.releases().complete()) == 3


class Switching(RuleBasedStateMachine):
    """Random updates, rollbacks and power cuts: the machine always runs a release that was well, or is told."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self._folder.name))
        activate(self.world, GOOD[0])

    @rule(release=st.sampled_from([*GOOD, SICK, BROKEN, "absent"]))
    def update(self, release: str) -> None:
        try:
            activate(self.world, release)
        except program.Refused:
            assert release not in GOOD

    @rule()
    def roll_back(self) -> None:
        before = self.world.releases().named("previous")
        try:
            self.world.releases().rollback(gate=1)
            assert self.world.running == before
        except program.Refused:
            assert before is None

    @rule(release=st.sampled_from([*GOOD, SICK]), calls=st.integers(0, 4))
    def lose_power(self, release: str, calls: int) -> None:
        self.world.calls_left = calls
        with contextlib.suppress(PowerLost, program.Refused):
            activate(self.world, release)
        self.world.boot()

    @precondition(lambda self: self.world.restarts > 3)
    @rule(keep=st.integers(0, 3))
    def prune(self, keep: int) -> None:
        self.world.releases().prune(keep)
        for name in (*GOOD, SICK, BROKEN):
            self.world.install(name)

    @invariant()
    def what_runs_is_well_and_is_the_one_in_force(self) -> None:
        found = self.world.releases()
        assert self.world.running in GOOD
        assert found.named("current") == self.world.running
        assert found.named("previous") in (None, *GOOD)
        assert not (self.world.base / "pending").exists()

    def teardown(self) -> None:
        self._folder.cleanup()


Switching.TestCase.settings = settings(max_examples=60, stateful_step_count=12)
TestSwitching = Switching.TestCase


def test_a_release_that_is_damaged_on_the_way_is_refused(tmp_path: Path) -> None:
    """Every file is held to its hash; one too many or too few counts as damage."""
    source = tmp_path / "incoming"
    source.mkdir()
    (source / "requirements.txt").write_text("lock")
    digest = hashlib.sha256(b"lock").hexdigest()
    manifest = {"id": "1-a", "machine": "x", "python": "3.11", "files": {"requirements.txt": digest}}
    (source / "release.json").write_text(json.dumps(manifest))
    assert program.checked(source)["id"] == "1-a"
    (source / "requirements.txt").write_text("lick")
    with pytest.raises(program.Refused, match="damaged"):
        program.checked(source)
    (source / "requirements.txt").write_text("lock")
    (source / "more").touch()
    with pytest.raises(program.Refused, match="does not hold what it says"):
        program.checked(source)


def test_a_release_for_another_machine_is_refused_before_anything_is_built(world: World, tmp_path: Path) -> None:
    source = tmp_path / "incoming"
    source.mkdir()
    (source / "release.json").write_text(json.dumps({"id": "2-b", "machine": "vax", "python": "2.7", "files": {}}))
    with pytest.raises(program.Refused, match=r"is for vax and Python 2\.7"):
        program.install(source, world.releases(), sys.executable)
    assert not (world.base / "releases/2-b").exists()


def test_a_device_that_cannot_say_counts_market_hours_as_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release in force that does not run must not open the window; a state folder without a device needs none."""
    assert program.orders_are_near(tmp_path, tmp_path) == ""
    (tmp_path / "config.yml").touch()
    moments = {"2025-11-12T09:00": True, "2025-11-12T08:44": False, "2025-11-12T16:45": False, "2025-11-15T12:00": False}
    for text, near in moments.items():
        monkeypatch.setattr(program, "datetime", type("Fixed", (), {"now": lambda zone, text=text: _at(text, zone)}))
        assert bool(program.orders_are_near(tmp_path, tmp_path)) is near, text


def _at(text: str, zone: Any) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)
