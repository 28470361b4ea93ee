"""What was seen of a dataset's sessions is written down once, in a chain, and counted by model."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from signals.errors import FixInput
from signals.market.dataset import manifest_path
from signals.market.manifest import Manifest, PriceBasis, Survivorship
from signals.market.sessions import Calendar, Session, SessionAudit, SessionStatus
from trainer.runs.evidence import Evidence
from trainer.runs.looks import JUDGED, LOOKS, POLICY, Look, asked, made, merge, record, require_as_made, seen, wrote
from trainer.search.challenger import Challenger, entered

SHADOW = Look("shadow", "xs", "a" * 64, "2024-03-01", "2024-05-31")
YEAR = ("xs", "2024-01-01", "2024-12-31")


def dataset(folder: Path, calendar: str = "XNYS") -> Path:
    """A folder with the manifest of a dataset of one session."""
    day = date(2024, 3, 1)
    session = Session(day, *(datetime(2024, 3, 1, hour, tzinfo=UTC) for hour in (14, 21)))
    audit = SessionAudit(day, SessionStatus.GREEN, (), 1, 1, 1, 0)
    known = Manifest(folder.name, 1, "any", Calendar(calendar, (session,)), PriceBasis.RAW, day, day, (audit,), (), Survivorship.UNKNOWN)
    for version in (None, 1):
        manifest_path(folder, version).parent.mkdir(parents=True, exist_ok=True)
        manifest_path(folder, version).write_bytes(known.to_bytes())
    return folder


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


def test_who_saw_the_seal_on_the_dataset_next_to_it_pays_on_both(tmp_path: Path) -> None:
    """The same sessions from another vendor, or in a copy, are the same seal; a model that both show is one look."""
    ours, theirs = dataset(tmp_path / "alpaca"), dataset(tmp_path / "yf")
    record(theirs, SHADOW)
    assert seen(ours, *YEAR, own=()) == seen(theirs, *YEAR, own=()) == 1
    record(ours, SHADOW)
    record(ours, replace(SHADOW, model="b" * 64))
    copy = Path(shutil.copytree(ours, tmp_path / "copy"))
    assert [seen(folder, *YEAR, own=()) for folder in (ours, theirs, copy)] == [2, 2, 2]
    assert seen(ours, "xs", "2024-06-03", "2024-12-31", own=()) == seen(ours, "another", *YEAR[1:], own=()) == 0
    assert seen(ours, *YEAR, own=(SHADOW.model,)) == 1
    for path in (copy / LOOKS, copy / f"{LOOKS}.head"):
        path.unlink()
    manifest_path(theirs, None).unlink()  # what is no dataset is left alone
    assert seen(copy, *YEAR, own=()) == 2


def test_a_look_of_another_market_is_not_charged_and_one_of_an_unknown_market_is(tmp_path: Path) -> None:
    """The market is the calendar of the look's dataset; where one of both does not say, the look counts."""
    ours, theirs, registry = dataset(tmp_path / "us"), dataset(tmp_path / "coins", "24h"), tmp_path / "registry"
    record(theirs, SHADOW)
    merge(registry, theirs)
    assert seen(ours, *YEAR, own=(), more=(registry,)) == 0 and seen(theirs, *YEAR, own=(), more=(registry,)) == 1
    record(registry, replace(SHADOW, model="b" * 64))
    assert seen(ours, *YEAR, own=(), more=(registry,)) == 1
    manifest_path(theirs, None).write_text("{}")
    assert seen(ours, *YEAR, own=(), more=(registry,)) == 2, "nobody knows of which market it is"


def test_a_sight_whose_sleeve_or_sessions_are_unknown_is_charged(tmp_path: Path) -> None:
    for number, lost in enumerate(({"sleeve": ""}, {"first": ""}, {"last": ""}, {"first": "", "last": ""})):
        record(tmp_path, replace(SHADOW, model=str(number), **lost))
    assert seen(tmp_path, *YEAR, own=()) == 4


def test_what_is_judged_on_one_instrument_was_not_seen_on_another_alone(tmp_path: Path) -> None:
    for model, symbol in (("1", "ES"), ("2", "NQ"), ("3", "")):
        record(tmp_path, replace(SHADOW, model=model, symbol=symbol))
    assert seen(tmp_path, *YEAR, own=(), symbol="ES") == 2 and seen(tmp_path, *YEAR, own=()) == 3


def test_questions_are_tries_on_every_dataset_of_the_folder_and_in_the_registry(tmp_path: Path) -> None:
    """On any sessions: each is one more chance of a policy of this sleeve to be accepted by luck."""
    ours, theirs, registry = dataset(tmp_path / "alpaca"), dataset(tmp_path / "yf"), tmp_path / "registry"
    for place, model in ((ours, "one"), (theirs, "one"), (theirs, "two"), (registry, "three")):
        record(place, Look(POLICY, "xs", model, "2020-01-02", "2022-12-30"))
    record(ours, SHADOW)
    assert asked(ours, POLICY, "xs") == {"one", "two"} and asked(ours, POLICY, "xs", more=(registry,)) == {"one", "two", "three"}


def test_questions_that_are_recorded_at_once_are_all_there_and_each_is_there_once(tmp_path: Path) -> None:
    looks = [Look(POLICY, "xs", str(number % 5), "2020-01-02", "2022-12-30") for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda look: record(tmp_path, look), looks))
    assert asked(tmp_path, POLICY, "xs") == set("01234") and len((tmp_path / LOOKS).read_bytes().splitlines()) == 5


def test_a_promotion_keeps_the_looks_in_the_registry_as_it_keeps_the_trials(tmp_path: Path) -> None:
    """A dataset that is ingested again, into another folder, is not unseen; judged again, nothing is added."""
    ours, registry, again = dataset(tmp_path / "a" / "us"), tmp_path / "registry", dataset(tmp_path / "b" / "us")
    record(ours, SHADOW)
    challenger = Challenger(tmp_path / "run", ours, registry, Evidence(sleeve="xs"), "model", "settings", "bars")
    for _ in range(2):
        entered(challenger, None)
    assert seen(again, *YEAR, own=()) == 0 and seen(again, *YEAR, own=(), more=(registry,)) == 1
    assert len((registry / LOOKS).read_bytes().splitlines()) == 1
