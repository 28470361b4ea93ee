"""The halt latch, attacked by the numbers of its invariants (C1, C2)."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.fs import DurableFs
from appliance.latch import FILE_NAME, Latch, LatchState
from signals.errors import DeviceHalted, FixInput

AT = datetime(2024, 3, 12, 13, 0, tzinfo=UTC)
LATER = datetime(2024, 3, 12, 14, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def latch(tmp_path: Path) -> Latch:
    return Latch(tmp_path, DurableFs())


def test_a_fresh_device_is_halted_and_says_nothing_is_wrong(latch: Latch) -> None:
    record = latch.read()
    assert record.state is LatchState.HALTED and record.is_fresh
    assert record.sentence() == "HALTED: nothing is wrong; no orders are sent until you arm it"
    with pytest.raises(DeviceHalted, match="appliance arm"):
        latch.require_armed()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"state": "armed"}', b'{"state": "open"}', b"\xff\xfe", b'"armed"', b"null"]
)
def test_a_file_that_cannot_be_read_counts_as_halted(latch: Latch, tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    record = latch.read()
    assert not record.is_armed and not record.is_fresh
    with pytest.raises(FixInput, match="first arming does not clear it"):
        latch.arm(by="me", at=AT)


def test_arming_is_durable_and_survives_another_process(latch: Latch, tmp_path: Path) -> None:
    latch.arm(by="me", at=AT)
    found = Latch(tmp_path, DurableFs()).read()
    assert found.is_armed
    assert found.sentence() == f"ARMED since {AT.isoformat()} by me"
    latch.require_armed()


def test_a_halt_is_on_disk_when_it_returns(latch: Latch, tmp_path: Path) -> None:
    latch.arm(by="me", at=AT)
    record = latch.halt("DRAWDOWN", "too deep", AT)
    found = Latch(tmp_path, DurableFs()).read()
    assert found == record and found.name == "DRAWDOWN" and len(found.halt_id) == 8
    with pytest.raises(DeviceHalted, match=record.halt_id):
        latch.require_armed()


def test_a_later_halt_is_added_and_never_written_over_the_first(latch: Latch) -> None:
    latch.arm(by="me", at=AT)
    first = latch.halt("DRAWDOWN", "too deep", AT)
    second = latch.halt("MANUAL", "stop", LATER)
    assert (second.halt_id, second.name, second.reason) == (first.halt_id, "DRAWDOWN", "too deep")
    assert second.later == (f"{LATER.isoformat()} MANUAL: stop",)


def test_a_halt_on_a_fresh_device_needs_rearm_not_arm(latch: Latch) -> None:
    latch.halt("MANUAL", "stop", AT)
    with pytest.raises(FixInput, match="a halt stands"):
        latch.arm(by="me", at=LATER)


def test_only_the_standing_halt_with_a_reason_is_rearmed(latch: Latch) -> None:
    latch.arm(by="me", at=AT)
    halt = latch.halt("MANUAL", "stop", AT)
    with pytest.raises(FixInput, match="does not stand"):
        latch.rearm(halt_id="00000000", reason="fine", by="me", at=LATER)
    with pytest.raises(FixInput, match="reason"):
        latch.rearm(halt_id=halt.halt_id, reason="  ", by="me", at=LATER)
    assert not latch.read().is_armed
    assert latch.rearm(halt_id=halt.halt_id, reason="it was a test", by="me", at=LATER).is_armed
    with pytest.raises(FixInput, match="nothing to clear"):
        latch.rearm(halt_id=halt.halt_id, reason="again", by="me", at=LATER)


def test_a_fresh_device_cannot_be_rearmed(latch: Latch) -> None:
    with pytest.raises(FixInput, match="never armed"):
        latch.rearm(halt_id="", reason="please", by="me", at=AT)


def test_arming_an_armed_device_changes_nothing(latch: Latch, tmp_path: Path) -> None:
    latch.arm(by="me", at=AT)
    before = (tmp_path / FILE_NAME).read_bytes()
    latch.arm(by="you", at=LATER)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_full_disk_leaves_the_latch_as_it_was_and_the_caller_knows(latch: Latch, tmp_path: Path) -> None:
    latch.arm(by="me", at=AT)

    class FullFs(DurableFs):
        def write(self, path: Path, content: bytes) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        Latch(tmp_path, FullFs()).halt("MANUAL", "stop", LATER)
    assert latch.read().is_armed


def test_nothing_but_a_person_s_command_and_a_replay_s_own_folder_opens_the_latch() -> None:
    """Every call of arm and rearm in the program, enumerated."""
    openers = set()
    for path in (ROOT / "appliance").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in ("arm", "rearm"):
                openers.add((path.relative_to(ROOT / "appliance").as_posix(), ast.unparse(node.func)))
    assert openers == {
        ("commands/setup.py", "device.latch.arm"),
        ("commands/safety.py", "device.latch.rearm"),
        ("commands/safety.py", "halts.rearm"),  # the ledger's record of it
        ("replay.py", "device.latch.arm"),
        ("tui/demo/day.py", "halts.rearm"),  # an invented ledger in a temporary folder; its latch is never read
    }
