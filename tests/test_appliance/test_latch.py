"""The halt latch, attacked by the numbers of its invariants (C1, C2)."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.controls.latch import FILE_NAME, PREPARED_NAME, Latch, LatchState
from appliance.ledger import Ledger, halts
from appliance.system.state_folder import DurableFs
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
    "content", [b"", b"{", b"[]", b'{"state": "armed"}', b'{"state": "open"}', b"\xff\xfe", b'"armed"', b"null", b"[" * 100_000]
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
    assert found.sentence() == "ARMED since 2024-03-12 13:00:00 UTC by me"
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
    assert second.later == ("2024-03-12 14:00:00 UTC MANUAL: stop",)


def test_a_halt_on_a_fresh_device_needs_rearm_not_arm(latch: Latch) -> None:
    latch.halt("MANUAL", "stop", AT)
    with pytest.raises(FixInput, match="a halt is in force"):
        latch.arm(by="me", at=LATER)


def test_only_the_standing_halt_with_a_reason_is_rearmed(latch: Latch) -> None:
    latch.arm(by="me", at=AT)
    halt = latch.halt("MANUAL", "stop", AT)
    with pytest.raises(FixInput, match="is not in force"):
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


class Stubborn(DurableFs):
    """A disk that takes no content, and names where it is told so; it counts what it refused."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.count = refused, 0

    def _ask(self, what: str) -> None:
        if what in self.refused:
            self.count += 1
            raise OSError(28, "No space left on device")

    def read(self, path: Path) -> bytes | None:
        self._ask("read")
        return super().read(path)

    def write(self, path: Path, content: bytes) -> None:
        self._ask("write")
        super().write(path, content)

    def rename(self, path: Path, to: Path) -> None:
        self._ask("rename")
        super().rename(path, to)

    def remove(self, path: Path) -> None:
        self._ask("remove")
        super().remove(path)


def test_a_latch_that_cannot_be_read_counts_as_halted_and_says_so(latch: Latch, tmp_path: Path) -> None:
    latch.arm(by="me", at=AT)
    failing = Stubborn("read")
    found = Latch(tmp_path, failing).read()
    assert failing.count == 1 and latch.read().is_armed, "the fault did not happen"
    assert (found.is_armed, found.is_fresh, found.name, len(found.halt_id)) == (False, False, "LATCH_UNREADABLE", 8)


def test_an_instant_that_is_none_is_shown_as_it_stands(latch: Latch, tmp_path: Path) -> None:
    """A file that a person wrote by hand: it is halted, and its sentence can still be read."""
    latch.arm(by="me", at=AT)
    record = latch.halt("MANUAL", "stop", AT)
    (tmp_path / FILE_NAME).write_text(json.dumps({**vars(record), "at": "noon", "later": []}))
    assert latch.read().sentence() == f"HALTED by MANUAL at noon, halt id {record.halt_id}: stop"


def test_closing_needs_no_reading_and_no_room(latch: Latch, tmp_path: Path) -> None:
    latch.arm(by="me", at=AT)
    Latch(tmp_path, Stubborn("read", "write", "remove")).close()
    found = latch.read()
    assert (found.name, found.is_armed, len(found.halt_id)) == ("CLOSED", False, 8)
    assert found.sentence() == f"HALTED by CLOSED, halt id {found.halt_id}: {found.reason}"
    with pytest.raises(FixInput, match="first arming does not clear it"):
        latch.arm(by="me", at=LATER)


def test_a_halt_on_a_full_disk_closes_the_latch_and_is_named_once_there_is_room(latch: Latch, tmp_path: Path) -> None:
    latch.arm(by="me", at=AT)
    full = Stubborn("write")
    record = Latch(tmp_path, full).halt("MANUAL", "stop", LATER)
    assert full.count == 1 and (record.name, record.reason) == ("MANUAL", "stop")
    assert (latch.read().name, latch.read().halt_id) == ("CLOSED", record.halt_id)
    assert latch.halt("MANUAL", "stop", LATER) == record == latch.read()


def test_two_armings_at_one_instant_are_closed_by_different_halts(latch: Latch) -> None:
    latch.arm(by="me", at=AT)
    first = latch.halt("MANUAL", "stop", AT)
    latch.rearm(halt_id=first.halt_id, reason="over", by="me", at=AT)
    second = latch.halt("MANUAL", "stop", AT)
    latch.rearm(halt_id=second.halt_id, reason="over", by="me", at=AT)
    third = latch.halt("MANUAL", "stop", AT)
    assert len({first.halt_id, second.halt_id, third.halt_id}) == 3


@pytest.mark.parametrize(("refused", "name"), [((), "CLOSED"), (("write",), "LATCH_MISSING")])
def test_a_device_that_an_older_release_armed_is_closed_by_other_means(
    latch: Latch, tmp_path: Path, refused: tuple[str, ...], name: str
) -> None:
    latch.arm(by="me", at=AT)
    (tmp_path / PREPARED_NAME).unlink()
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        halts.record_armed(ledger, AT)
    Latch(tmp_path, Stubborn(*refused)).close()
    assert latch.read().name == name


def test_what_closes_the_latch_lies_beside_an_open_one_alone(latch: Latch, tmp_path: Path) -> None:
    prepared = tmp_path / PREPARED_NAME
    latch.prepare()
    assert not prepared.exists()
    latch.arm(by="me", at=AT)
    prepared.unlink()
    Latch(tmp_path, Stubborn("write")).prepare()
    assert not prepared.exists()
    latch.prepare()
    latch.prepare()
    assert json.loads(prepared.read_bytes())["state"] == "halted"
    stale = prepared.read_bytes()
    standing = latch.halt("MANUAL", "stop", LATER)
    prepared.write_bytes(stale)
    latch.prepare()
    assert not prepared.exists() and latch.read() == standing


class Killing(DurableFs):
    """Another process kills the device right before or after it is opened."""

    def __init__(self, before: str) -> None:
        self.before, self.kills = before, 0

    def write(self, path: Path, content: bytes) -> None:
        if path.name == self.before and not self.kills:
            if path.name == PREPARED_NAME:
                path.unlink(missing_ok=True)
            self.kills += 1
            Latch(path.parent, DurableFs()).close()
        super().write(path, content)


def test_a_kill_that_arrives_while_the_latch_is_opened_wins(tmp_path: Path) -> None:
    opening = Latch(tmp_path, fs := Killing(FILE_NAME))
    with pytest.raises(FixInput, match="halted while it was being armed"):
        opening.arm(by="me", at=AT)
    assert fs.kills == 1 and (opening.read().is_armed, opening.read().name) == (False, "MANUAL")


def test_what_is_prepared_while_another_process_kills_is_taken_away_again(tmp_path: Path) -> None:
    latch = Latch(tmp_path, DurableFs())
    latch.arm(by="me", at=AT)
    (tmp_path / PREPARED_NAME).unlink()
    fs = Killing(PREPARED_NAME)
    Latch(tmp_path, fs).prepare()
    assert fs.kills == 1 and not latch.read().is_armed and not (tmp_path / PREPARED_NAME).exists()


def test_a_disk_that_is_full_opens_nothing(latch: Latch, tmp_path: Path) -> None:
    with pytest.raises(FixInput, match="stays closed"):
        Latch(tmp_path, Stubborn("write")).arm(by="me", at=AT)
    assert latch.read().is_fresh


def test_a_disk_that_takes_nothing_at_all_halts_this_process_until_the_latch_says_something_else(latch: Latch, tmp_path: Path) -> None:
    latch.arm(by="me", at=AT)
    stuck = Latch(tmp_path, Stubborn("write", "rename", "remove"))
    record = stuck.halt("MANUAL", "stop", LATER)
    assert latch.read().is_armed, "the fault did not happen"
    assert stuck.is_refused and stuck.read() == record and "halt again" in record.reason
    latch.rearm(halt_id=latch.halt("MANUAL", "stop", LATER).halt_id, reason="remounted", by="me", at=LATER)
    assert stuck.read().is_armed and not stuck.is_refused


def test_a_latch_that_is_lost_while_halted_is_the_halt_that_the_ledger_holds(latch: Latch, tmp_path: Path) -> None:
    latch.arm(by="me", at=AT)
    halt = latch.halt("DRAWDOWN", "too deep", AT)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        halts.add(ledger, halts.HaltRow(halt.halt_id, AT, "DRAWDOWN", "drawdown", "too deep", "0.1", None, "halt"))
    (tmp_path / FILE_NAME).unlink()
    assert latch.read() == replace(halt)
    with pytest.raises(FixInput, match="a halt is in force"):
        latch.arm(by="me", at=LATER)
    assert latch.rearm(halt_id=halt.halt_id, reason="it is over", by="me", at=LATER).is_armed


def test_a_latch_that_is_lost_beside_a_ledger_that_was_armed_is_a_halt_of_unknown_cause(latch: Latch, tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.sqlite").close()
    assert latch.read().is_fresh, "a ledger that was never armed is a fresh device's"
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        halts.record_armed(ledger, AT)
    found = latch.read()
    assert found.name == "LATCH_MISSING" and not found.is_armed and not found.is_fresh
    with pytest.raises(FixInput, match="a halt is in force"):
        latch.arm(by="me", at=LATER)
    with pytest.raises(DeviceHalted, match="rearm --halt-id"):
        latch.require_armed()
    assert latch.rearm(halt_id=found.halt_id, reason="the card was changed", by="me", at=LATER).is_armed


def test_a_latch_that_is_lost_with_its_ledger_damaged_is_no_fresh_device(latch: Latch, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database" * 1000)
    assert (latch.read().name, latch.read().is_fresh) == ("LATCH_MISSING", False)


def test_a_latch_that_is_a_folder_is_halted(latch: Latch, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    latch.close()
    assert latch.read().name == "LATCH_UNREADABLE"


def test_words_that_no_file_takes_are_spelled_out(latch: Latch, tmp_path: Path) -> None:
    latch.arm(by="me", at=AT)
    assert latch.halt("MANUAL", "pr\udce9t\n", AT).reason == "pr\\udce9t "
    row = json.loads((tmp_path / FILE_NAME).read_bytes())
    (tmp_path / FILE_NAME).write_text(json.dumps(row | {"reason": "half \ud800"}))
    assert latch.read().sentence().encode().endswith(b"half \\ud800")


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
        ("setup/arming.py", "device.latch.arm"),
        ("commands/halt_and_rearm.py", "device.latch.rearm"),
        ("commands/halt_and_rearm.py", "halts.rearm"),  # the ledger's record of it
        ("runtime/replay.py", "device.latch.arm"),
        ("tui/demo/session.py", "halts.rearm"),  # an invented ledger in a temporary folder; its latch is never read
    }
