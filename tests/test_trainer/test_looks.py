"""What was seen of a dataset's sessions is written down once, in a chain, and counted by model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from signals.errors import FixInput
from trainer.runs.looks import JUDGED, LOOKS, Look, made, merge, record, require_as_made, seen, wrote

SHADOW = Look("shadow", "xs", "a" * 64, "2024-03-01", "2024-05-31")


def test_a_model_is_one_look_however_often_and_by_whichever_command_it_is_shown(tmp_path: Path) -> None:
    for look in (SHADOW, SHADOW, Look("backtest", "xs", "a" * 64, "2024-04-01", "2024-06-30")):
        record(tmp_path, look)
    assert len((tmp_path / LOOKS).read_bytes().splitlines()) == 2
    assert seen(tmp_path, "xs", "2024-01-01", "2024-12-31", own=()) == 1
    record(tmp_path, Look("shadow", "xs", "b" * 64, "2024-05-31", "2024-06-30"))
    assert seen(tmp_path, "xs", "2024-01-01", "2024-12-31", own=()) == 2


@pytest.mark.parametrize(
    ("sleeve", "first", "last", "own", "count"),
    [
        ("xs", "2024-05-31", "2025-05-30", (), 1),  # one session in common
        ("xs", "2024-06-03", "2025-05-30", (), 0),
        ("xs", "2023-01-02", "2024-02-29", (), 0),
        ("another", "2024-01-02", "2024-12-31", (), 0),
        ("xs", "2024-01-02", "2024-12-31", ("a" * 64,), 0),  # its own results, which the opening shows anyway
    ],
)
def test_what_counts_is_another_model_of_the_sleeve_on_a_session_of_the_seal(
    tmp_path: Path, sleeve: str, first: str, last: str, own: tuple[str, ...], count: int
) -> None:
    record(tmp_path, SHADOW)
    assert seen(tmp_path, sleeve, first, last, own=own) == count


def test_a_folder_without_looks_was_never_looked_at(tmp_path: Path) -> None:
    assert seen(tmp_path, "xs", "2024-01-01", "2024-12-31", own=()) == 0


def test_a_look_that_was_taken_out_is_seen(tmp_path: Path) -> None:
    record(tmp_path, SHADOW)
    record(tmp_path, Look("shadow", "xs", "b" * 64, "2024-05-31", "2024-06-30"))
    lines = (tmp_path / LOOKS).read_bytes().splitlines(keepends=True)
    for changed in (lines[1:], lines[:1], [lines[0].replace(b"2024-03", b"2023-03"), lines[1]], []):
        (tmp_path / LOOKS).write_bytes(b"".join(changed))
        with pytest.raises(FixInput):
            seen(tmp_path, "xs", "2024-01-01", "2024-12-31", own=())
        with pytest.raises(FixInput):
            record(tmp_path, SHADOW)


@pytest.mark.parametrize("name", JUDGED)
def test_a_run_is_judged_as_its_training_wrote_it(tmp_path: Path, name: str) -> None:
    """Evidence, scores or settings that were changed since are refused; of a run from before, nothing is known."""
    files = {part: part.encode() for part in JUDGED}
    for part, content in files.items():
        (tmp_path / part).write_bytes(content)
    require_as_made(tmp_path, tmp_path, ("a" * 64,))
    record(tmp_path, replace(SHADOW, command="train", made=made(files)))
    require_as_made(tmp_path, tmp_path, ("a" * 64,))
    (tmp_path / name).write_bytes(b"better")
    with pytest.raises(FixInput, match="not what its training wrote"):
        require_as_made(tmp_path, tmp_path, ("a" * 64,))
    (tmp_path / name).unlink()
    with pytest.raises(FixInput, match="cannot be read"):
        require_as_made(tmp_path, tmp_path, ("a" * 64,))


def test_a_model_that_no_training_on_record_wrote_is_not_judged(tmp_path: Path) -> None:
    """A byte more in a model would make it another one, of which no evidence is known: refused, but for what an earlier program trained."""
    older = replace(SHADOW, command="train", model="c" * 64)
    record(tmp_path, older)
    require_as_made(tmp_path, tmp_path, ("b" * 64,))
    record(tmp_path, replace(SHADOW, command="train", made="1" * 64))
    require_as_made(tmp_path, tmp_path, (older.model,))
    with pytest.raises(FixInput, match="no training on this dataset's record wrote the model"):
        require_as_made(tmp_path, tmp_path, ("b" * 64,))


def test_what_was_seen_and_made_on_another_copy_of_the_data_is_merged_once(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        record(folder, SHADOW)
    record(theirs, replace(SHADOW, command="train", model="b" * 64, made="1" * 64))
    for _ in range(2):
        merge(ours, theirs)
        assert seen(ours, "xs", "2024-01-01", "2024-12-31", own=()) == 2
        assert len((ours / LOOKS).read_bytes().splitlines()) == 2
    assert wrote(ours, "train", ("b" * 64,)) == {"1" * 64} and not wrote(ours, "shadow", ("b" * 64,))
    merge(ours, tmp_path / "none")
