"""Which trials count: by sleeve and overlapping sessions, whatever the route, folder, version or copy of the data."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from signals.errors import FixInput
from trainer.learners.base import FitDevice
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import CpcvConfig, RecipeConfig, SearchConfig
from trainer.runs import chain
from trainer.search import trial_log
from trainer.search.counting import Counted, cells, counting
from trainer.search.trial_log import COMPARE, JUDGED, TRAIN, OneTrial, Series, begin, end, recipe_hash, trial_key

DAYS = np.busday_offset(np.datetime64("2020-01-01"), np.arange(120), roll="forward")
RANGE = ("2020-01-01", "2020-06-16")
DATA: dict[str, Any] = {"sleeve": "xs", "spec_hash": "f", "snapshot_id": "s", "symbols": ["A"], "first": RANGE[0], "last": RANGE[1]}
CONFIG = RecipeConfig()


def net(seed: int, mean: float = 0.0) -> Series:
    return Series(DAYS, np.random.default_rng(seed).normal(mean, 0.01, len(DAYS)))


def question(config: RecipeConfig = CONFIG, seed: int = 1, command: str = TRAIN, **changes: Any) -> OneTrial:
    known = {**DATA, **changes}
    key = trial_key(known, config, seed, FitDevice.CPU)
    return OneTrial({"command": command, **known, "trial": key}, key, recipe_hash(known, config, seed))


def tried(data: Path, series: Series | None = None, seed: int = 1, **changes: Any) -> OneTrial:
    asked = question(seed=seed, **changes)
    begin(data, asked)
    if series is not None:
        end(data, asked, series)
    return asked


def count(data: Path, *more: Path, sleeve: str = "xs", first: str = RANGE[0], last: str = RANGE[1]) -> Counted:
    return counting(trial_log.known(data, *more), (sleeve,), first, last)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return dataset(tmp_path / "us")


def dataset(folder: Path) -> Path:
    """A folder that counts as a dataset: it has a manifest."""
    folder.mkdir(parents=True)
    (folder / "manifest.json").touch()
    return folder


def test_a_new_snapshot_seed_recipe_or_range_is_a_further_trial(data: Path) -> None:
    """A nightly version does not start again: what was tried on the one before counts on this one."""
    tried(data, net(1))
    tried(data, net(2), snapshot_id="the next night")
    tried(data, net(3), seed=2)
    tried(data, net(4), config=RecipeConfig(lightgbm=LightGbmConfig(trees=7)))
    tried(data, net(5), symbols=["B"])
    assert count(data).tries == 5 and len(count(data).series) == 5


def test_the_same_question_with_the_same_answer_is_one_trial_by_whichever_command(data: Path) -> None:
    for command in ("train", "compare", "proved", "train"):
        tried(data, net(1), command=command)
    assert count(data).tries == 1
    before = (data / trial_log.FILE).read_bytes()
    tried(data, net(1))
    assert (data / trial_log.FILE).read_bytes() == before


def test_each_draw_of_a_search_counts_and_the_same_search_again_does_not(data: Path) -> None:
    """Two draws of one set of parameters and one of another are three trials, in however many studies they are."""
    for study in ("under these bars", "under others"):
        opening = {"kind": "study", "study": study, "identity": {**DATA, "bars": study}, "sessions": []}
        draws = [{"kind": "started", "study": study, "number": n, "trial": key, "parameters": {"x": key}} for n, key in enumerate("aab")]
        trial_log.append(data, opening, *draws)
    assert count(data).tries == 3


def test_the_same_question_with_another_answer_is_another_trial(data: Path) -> None:
    """Another version of the program, which the key does not name."""
    tried(data, net(1))
    tried(data, net(2))
    assert count(data).tries == 2


def test_what_cannot_change_a_model_is_no_part_of_a_trial() -> None:
    other = CONFIG.model_copy(
        update={"search": SearchConfig(batch=3), "study": "0" * 16, "ridge": CONFIG.ridge.model_copy(update={"alpha": 9.0})}
    )
    assert trial_key(DATA, other, 1, FitDevice.CPU) == trial_key(DATA, CONFIG, 1, FitDevice.CPU)
    assert CONFIG.model_copy(update={"study": "0" * 16}).fingerprint() == CONFIG.fingerprint()
    for changed in (
        CONFIG.model_copy(update={"learner": "ridge"}),
        CONFIG.model_copy(update={"cpcv": CpcvConfig(groups=5)}),
        CONFIG.model_copy(update={"label": CONFIG.label.model_copy(update={"k": 3})}),
    ):
        assert trial_key(DATA, changed, 1, FitDevice.CPU) != trial_key(DATA, CONFIG, 1, FitDevice.CPU)


def test_trials_count_for_their_sleeve_where_sessions_overlap(data: Path) -> None:
    tried(data, net(1))
    tried(data, net(2), sleeve="other")
    tried(data, net(3), first="2010-01-04", last="2012-12-31")
    tried(data, net(4), first="2010-01-04", last="2020-01-01")  # meets in one session
    assert count(data).tries == 2 and count(data, sleeve="other").tries == 1
    assert count(data, first="2010-06-01", last="2010-06-30").tries == 2


def test_compared_cells_count_for_their_sleeve_instrument_and_overlapping_sessions_with_what_became_of_them(data: Path) -> None:
    """Each outcome once, whichever dataset of the folder it is of; one that died is blind, but for what is asked again now."""
    tried(data, net(1))  # a training is no cell
    first = tried(data, net(2), command=COMPARE)
    tried(dataset(data.parent / "us-2"), net(2), command=COMPARE)
    end(data, first, net(3))  # the same cell, as another version of the program gives it
    died = tried(data, None, seed=2, command=COMPARE)
    tried(data, net(4), seed=3, command=COMPARE, symbols=["B"])
    tried(data, net(5), seed=4, command=COMPARE, first="2020-07-01", last="2020-12-31")
    tried(data, net(6), seed=5, command=COMPARE, sleeve="other")

    def counted(own: tuple[str, ...]) -> tuple[list[float], int]:
        found = cells(trial_log.known(data), "xs", "A", *RANGE, own)
        return sorted(one.net[0] for one in found.series), found.blind

    outcomes = sorted(net(seed).net[0] for seed in (2, 3))
    assert counted(()) == (outcomes, 1) and counted((first.key, died.key)) == (outcomes, 0)


def test_a_trial_that_never_ended_counts_and_one_that_does_later_is_the_same(data: Path) -> None:
    tried(data)
    assert (count(data).tries, count(data).blind) == (1, 1)
    tried(data, net(1))
    assert (count(data).tries, count(data).blind) == (1, 0)


def test_a_stack_counts_for_each_of_its_sleeves(data: Path) -> None:
    identity = {"command": "stack", "sleeves": ["a", "b"], "first": RANGE[0], "last": RANGE[1]}
    tried_as = OneTrial(identity, "stack")
    begin(data, tried_as)
    end(data, tried_as, net(1))
    assert [count(data, sleeve=name).tries for name in ("a", "b")] == [1, 1]
    assert len(count(data, sleeve="a").series) == 1 and not count(data, sleeve="c").series


def test_a_book_is_its_training_s_own_trial_and_every_further_setting_is_a_trial(data: Path) -> None:
    key = tried(data, net(1)).key
    for settings in ("plain", "plain", "half"):
        book = OneTrial({**DATA, "command": JUDGED, "trial": key, "settings": settings}, key)
        begin(data, book)
        end(data, book, net(len(settings)))
    assert count(data).tries == 2
    unknown = OneTrial({**DATA, "command": JUDGED, "trial": "older", "settings": "plain"}, "older")
    begin(data, unknown)
    assert count(data).tries == 3


def test_a_retraining_of_a_lineage_is_recorded_and_is_no_trial(data: Path) -> None:
    ancestor = tried(data, net(1)).key
    tried(data, net(2), snapshot_id="later", last="2020-07-01", lineage=ancestor)
    found = count(data)
    assert found.tries == 1 and found.retrained == 1 and len(trial_log.read(data).studies) == 2
    tried(data, net(3), snapshot_id="latest", last="2020-08-03", lineage=ancestor)
    assert count(data).tries == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"lineage": "nobody"},
        {"seed": 2},
        {"config": RecipeConfig(lightgbm=LightGbmConfig(trees=7))},
        {"spec_hash": "g"},
        {"last": RANGE[1]},
    ],
)
def test_what_only_calls_itself_a_retraining_counts(data: Path, changes: dict[str, Any]) -> None:
    """An unknown ancestor, another seed, recipe or features, or no later data: a trial like any other."""
    ancestor = tried(data, net(1)).key
    tried(data, net(2), **{"snapshot_id": "later", "last": "2020-07-01", "lineage": ancestor, **changes})
    assert count(data).tries == 2 and count(data).retrained == 0


def test_datasets_in_one_folder_share_what_was_tried(data: Path) -> None:
    """The same store ingested under another name does not start again; a folder that is no dataset is left alone."""
    tried(data, net(1))
    beside = dataset(data.parent / "us-2")
    assert count(beside).tries == 1
    tried(beside, net(2), seed=2)
    assert count(data).tries == count(beside).tries == 2
    shutil.copytree(beside, data.parent / "runs")
    (data.parent / "runs" / "manifest.json").unlink()
    (data.parent / "runs" / trial_log.FILE).write_text("no chain")
    assert count(data).tries == 2


def test_a_copy_of_a_dataset_takes_its_trials_along_and_what_grew_apart_is_merged(data: Path, tmp_path: Path) -> None:
    tried(data, net(1))
    copy = tmp_path / "elsewhere" / "us"
    shutil.copytree(data, copy)
    tried(data, net(2), seed=2)
    tried(copy, net(3), seed=3)
    assert (count(data).tries, count(copy).tries) == (2, 2)
    head = trial_log.read(copy).anchor.head
    assert head not in trial_log.read(data).heads
    assert trial_log.merge(data, copy) == 3 and trial_log.merge(data, copy) == 0
    assert count(data).tries == 3 and head in trial_log.read(data).heads
    assert trial_log.merge(copy, data) == 3 and count(copy).tries == 3
    assert trial_log.read(data).anchor.head in trial_log.read(copy).heads


def test_a_record_that_is_known_here_keeps_the_hash_that_its_line_has_there(data: Path, tmp_path: Path) -> None:
    """Both merged the same third one, each behind other records: evidence of either is found by both."""
    third, other = dataset(tmp_path / "3" / "us"), dataset(tmp_path / "2" / "us")
    for seed, place in enumerate((third, other, data), 1):
        tried(place, net(seed), seed=seed)
    trial_log.merge(data, third)
    trial_log.merge(other, third)
    lines = chain.read(other / trial_log.FILE, fix="").hashes
    trial_log.merge(data, other)
    assert set(lines) <= trial_log.read(data).heads and count(data).tries == 3


def test_a_record_of_an_older_version_is_merged_from_the_folder_of_its_search(data: Path, tmp_path: Path) -> None:
    """`trials.jsonl` of a search folder, written without an anchor and without keys: every trial of it counts."""
    old = tmp_path / "search-xs"
    identity = {"sleeve": "xs", "snapshot_id": "old", "first": RANGE[0], "last": RANGE[1], "bins": "shared"}
    records: list[dict[str, Any]] = [{"kind": "study", "study": "old", "identity": identity, "sessions": ["2020-01-02"]}]
    records += [{"kind": "started", "study": "old", "number": n, "parameters": {"num_leaves": n}} for n in range(3)]
    for record in records:
        chain.append(old / trial_log.FILE, record, fix="")
    chain.anchor_path(old / trial_log.FILE).unlink()
    assert trial_log.merge(data, old) == 4 and count(data).tries == 3
    (old / trial_log.FILE).write_bytes((old / trial_log.FILE).read_bytes().replace(b'"number":1', b'"number":9'))
    with pytest.raises(FixInput, match="removed, changed or put in"):
        trial_log.merge(data, old)


@pytest.mark.parametrize("spoiled", ["line", "head", "end", "half"])
def test_a_record_that_was_tampered_with_is_refused_by_reader_writer_and_merge(data: Path, tmp_path: Path, spoiled: str) -> None:
    tried(data, net(1))
    tried(data, net(2), seed=2)
    whole = (data / trial_log.FILE).read_bytes()
    lines = whole.splitlines(keepends=True)
    if spoiled == "line":
        (data / trial_log.FILE).write_bytes(whole.replace(b'"completed"', b'"cancelled"'))
    elif spoiled == "head":
        chain.anchor_path(data / trial_log.FILE).unlink()
    elif spoiled == "end":
        (data / trial_log.FILE).write_bytes(b"".join(lines[:-3]))
    else:  # half a line at the end was never written, which is no tampering, but the line before it is missing
        (data / trial_log.FILE).write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    beside = dataset(data.parent / "beside")
    tried_there = question(seed=5)
    for attempt in (lambda: count(beside), lambda: begin(data, tried_there), lambda: trial_log.merge(beside, data)):
        with pytest.raises(FixInput, match=r"changed or put in|cut or replaced|is gone"):
            attempt()


def test_a_crash_between_a_line_and_its_anchor_loses_no_trial(data: Path) -> None:
    tried(data, net(1))
    anchor = chain.anchor_path(data / trial_log.FILE)
    before = anchor.read_bytes()
    trial_log.append(data, {"kind": "started", "study": question().study, "number": 9, "parameters": {}, "trial": "x"})
    anchor.write_bytes(before)
    assert count(data).tries == 2
    with (data / trial_log.FILE).open("ab") as stream:
        stream.write(b'{"kind":"ended","number":9,')
    tried(data, net(2), seed=2)
    assert count(data).tries == 3


WRITER = """
import sys
from pathlib import Path
from tests.test_trainer.test_counting import net, tried
for n in range(6):
    tried(Path(sys.argv[1]), net(n), seed=1000 * int(sys.argv[2]) + n)
"""


def test_two_trainings_at_once_are_both_on_record(data: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    both = [subprocess.Popen([sys.executable, "-c", WRITER, str(data), str(n)], cwd=root) for n in (1, 2)]
    assert [writer.wait(timeout=120) for writer in both] == [0, 0]
    assert count(data).tries == 12 and trial_log.read(data).anchor.records == 36


def test_a_dataset_that_cannot_be_written_trains_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(chain, "append_line", denied)
    with pytest.raises(FixInput, match="make the dataset's folder writable"):
        tried(data)


def test_what_is_no_trial_is_not_let_in(data: Path, tmp_path: Path) -> None:
    asked = question()
    other = dataset(tmp_path / "other" / "us")
    begin(other, asked)
    for spoiled in ({"net": "???"}, {"state": "asleep"}, {"days": ""}):
        record = {
            "kind": "ended",
            "study": asked.study,
            "number": 0,
            "state": "completed",
            "parameters": {},
            "net": "AAAAAAAAAAA=",
            "reason": "",
            **spoiled,
        }
        folder = tmp_path / str(sorted(spoiled))
        shutil.copytree(other, folder)
        trial_log.append(folder, record)
        with pytest.raises(FixInput, match="cannot be read"):
            trial_log.merge(data, folder)
    assert not (data / trial_log.FILE).exists()
    with pytest.raises(FixInput, match="no record of trials"):
        trial_log.merge(data, tmp_path / "nowhere")


def test_two_sessions_of_one_study_under_one_number_are_two_trials(data: Path, tmp_path: Path) -> None:
    """Copies of a dataset whose searches went on apart: the number is the same, the parameters are not."""
    opening = {"kind": "study", "study": "s", "identity": {**DATA}, "sessions": []}
    started = {"kind": "started", "study": "s", "number": 0, "trial": "a", "parameters": {"x": 1}}
    trial_log.append(data, opening, started)
    other = dataset(tmp_path / "other" / "us")
    trial_log.append(other, opening, {**started, "trial": "b", "parameters": {"x": 2}})
    trial_log.merge(data, other)
    assert count(data).tries == 2


def test_asking_is_trying() -> None:
    assert Counted(()).tries == 1 and replace(Counted(()), blind=3).tries == 3
