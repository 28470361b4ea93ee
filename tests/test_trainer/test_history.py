"""The chained history: nothing can be changed, taken out, put in or cut off without being seen."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signals.errors import FixInput, Locked
from trainer.promotion.history import CHAMPIONS, append, champion, next_version, read
from trainer.runs import chain
from trainer.runs.chain import FIRST, ChainAnchor
from trainer.runs.run_folder import exclusive

AT = [f"2026-0{month}-01T00:00:00+00:00" for month in range(1, 8)]
SPEC = {"spec_hash": "s", "horizon": 5, "config_hash": "c"}


def record(event: str, version: str | None, at: str, sleeve: str = "xs", **recipe: object) -> dict[str, object]:
    return {"event": event, "version": version, "at": at, "sleeve": sleeve, **SPEC, **recipe}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Promoted 1.0.0, refused, promoted 1.0.1, rolled back to 1.0.0."""
    told = [("promoted", "1.0.0"), ("refused", None), ("promoted", "1.0.1"), ("rolled_back", "1.0.0")]
    for (event, version), at in zip(told, AT, strict=False):
        append(tmp_path / CHAMPIONS, record(event, version, at))
    return tmp_path / CHAMPIONS


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_records_come_back_in_order_and_chained(path: Path) -> None:
    known = read(path)
    assert [r["number"] for r in known.records] == [1, 2, 3, 4]
    assert [r["previous"] for r in known.records] == [FIRST, *known.hashes[:-1]]
    assert known.anchor == ChainAnchor(4, known.hashes[-1])


def test_a_folder_without_a_history_has_an_empty_one(tmp_path: Path) -> None:
    assert read(tmp_path / CHAMPIONS).anchor == ChainAnchor(0, FIRST)


@pytest.mark.parametrize("gone", range(4))
def test_a_record_that_is_taken_out_is_seen(path: Path, gone: int) -> None:
    whole = lines(path)
    path.write_bytes(b"".join(whole[:gone] + whole[gone + 1 :]))
    with pytest.raises(FixInput, match=r"removed, changed or put in|cut or replaced"):
        read(path)


@pytest.mark.parametrize("at", range(4))
def test_a_record_that_is_changed_is_seen(path: Path, at: int) -> None:
    whole = lines(path)
    whole[at] = whole[at].replace(b'"sleeve":"xs"', b'"sleeve":"zz"')
    path.write_bytes(b"".join(whole))
    with pytest.raises(FixInput, match=r"removed, changed or put in|cut or replaced"):
        read(path)


def test_a_record_that_is_put_in_is_seen(path: Path) -> None:
    whole = lines(path)
    path.write_bytes(b"".join([*whole[:2], whole[1], *whole[2:]]))
    with pytest.raises(FixInput, match="line 3"):
        read(path)


def test_a_history_rewritten_with_a_whole_chain_is_seen_by_its_anchor(path: Path, tmp_path: Path) -> None:
    """Hashing every line again makes a chain that holds; the anchor next to it does not fit."""
    other = tmp_path / "other" / CHAMPIONS
    for known in read(path).records[:-1]:
        chain.append(other, {k: v for k, v in known.items() if k != "previous"}, fix="")
    chain.append(other, {**record("promoted", "9.0.0", AT[3]), "number": 4}, fix="")
    shutil.copy(other, path)
    with pytest.raises(FixInput, match="cut or replaced"):
        read(path)


def test_an_anchor_that_is_gone_or_unreadable_is_seen(path: Path) -> None:
    anchor = path.with_suffix(".jsonl.head")
    anchor.write_text("three x")
    with pytest.raises(FixInput, match="cannot be read"):
        read(path)
    anchor.unlink()
    with pytest.raises(FixInput, match="is gone"):
        read(path)


def test_a_crash_between_the_line_and_its_anchor_loses_nothing(path: Path) -> None:
    before = path.with_suffix(".jsonl.head").read_bytes()
    append(path, record("promoted", "1.0.2", AT[4]))
    path.with_suffix(".jsonl.head").write_bytes(before)
    assert len(read(path).records) == 5
    append(path, record("refused", None, AT[5]))
    assert read(path).anchor.records == 6


def test_half_a_line_of_a_crash_never_happened(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b'{"event":"prom')
    assert len(read(path).records) == 4
    append(path, record("refused", None, AT[4]))
    assert [json.loads(line)["number"] for line in lines(path)] == [1, 2, 3, 4, 5]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_no_byte_can_be_changed_unseen(path: Path, data: st.DataObject) -> None:
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
    try:
        path.write_bytes(whole[:place] + bytes([other]) + whole[place + 1 :])
        with pytest.raises(FixInput):
            read(path)
    finally:
        path.write_bytes(whole)


APPEND = "import sys; from pathlib import Path; from trainer.runs import chain\n"
APPEND += "for n in range(25): chain.append(Path(sys.argv[1]), {'by': sys.argv[2], 'n': n}, fix='')"


def test_a_reader_that_finds_no_file_while_another_begins_it_reads_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "new.jsonl", chain.unanchored

    def overtaken(at: Path, *, fix: str) -> chain.Chain:
        found = seen(at, fix=fix)
        monkeypatch.setattr(chain, "unanchored", seen)
        chain.extend(path, ({"n": 0}, {"n": 1}), fix=fix)  # between the file and its anchor
        return found

    monkeypatch.setattr(chain, "unanchored", overtaken)
    assert [record["n"] for record in chain.read(path, fix="").records] == [0, 1]


def test_two_processes_that_append_at_once_lose_no_record(tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    writers = [subprocess.Popen([sys.executable, "-c", APPEND, str(path), name]) for name in "ab"]
    while any(writer.poll() is None for writer in writers):
        chain.read(path, fix="")  # a reader between a line and its anchor sees neither as missing
    assert [writer.returncode for writer in writers] == [0, 0]
    records = chain.read(path, fix="").records
    for name in "ab":
        assert [r["n"] for r in records if r["by"] == name] == list(range(25))
    assert len({r["previous"] for r in records}) == 50


def test_two_promotions_at_once_are_refused(tmp_path: Path) -> None:
    with exclusive(tmp_path, "promotion"), pytest.raises(Locked, match="another promotion"), exclusive(tmp_path, "promotion"):
        pass


def test_who_was_champion_when(path: Path) -> None:
    """Refusals crown nobody; a rollback crowns an earlier version."""
    known = read(path)
    whens = ["2025-12-31", "2026-01-15", "2026-02-15", "2026-03-15", "2026-04-15"]
    asked = [champion(known, "xs", datetime.fromisoformat(when).replace(tzinfo=UTC)) for when in whens]
    assert [found and found["version"] for found in asked] == [None, "1.0.0", "1.0.0", "1.0.1", "1.0.0"]
    now = champion(known, "xs")
    assert now is not None and now["event"] == "rolled_back"
    assert champion(known, "another") is None


@pytest.mark.parametrize(
    ("recipe", "version"), [({}, "1.0.2"), ({"config_hash": "d"}, "1.1.0"), ({"horizon": 10}, "2.0.0"), ({"spec_hash": "t"}, "2.0.0")]
)
def test_the_version_says_what_changed_and_none_is_given_twice(path: Path, recipe: dict[str, object], version: str) -> None:
    """After a rollback the next version is above the one that was left."""
    assert next_version(read(path), "xs", **{**SPEC, **recipe}) == version  # type: ignore[arg-type]
    assert next_version(read(path), "another", **SPEC) == "1.0.0"  # type: ignore[arg-type]
