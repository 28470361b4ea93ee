"""Ctrl-C at a terminal ends a long command with one sentence: what there is of it, and how to go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fakes.curated import curate
from tests.fakes.labelled import market, with_features
from tests.fakes.terminal import Person
from trainer.commands.training import _kept
from trainer.runs.run_folder import checkpoints_of
from trainer.samples.samples import Samples, seal_holdout
from trainer.training.stages import Stages
from trainer.validation.proof import Proof
from trainer.validation.splits.oof import OutOfFold


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough for the shipped recipe: a shorter one is refused, and on a busy machine before anybody presses a key."""
    return curate(tmp_path_factory.mktemp("market"), sessions=700)


@pytest.mark.parametrize(
    ("words", "bar", "said"),
    [
        ("train --sleeve equities_xs --seeds 50 --run run", "training", "no run was written. Run the same command: it begins again"),
        pytest.param(
            "search --sleeve equities_xs --trials 4000 --to found",
            "searching",
            "the trials that were done are kept in found. Run the same",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_who_ends_work_on_a_terminal_reads_what_is_kept_and_how_to_go_on(
    data: Path, tmp_path: Path, words: str, bar: str, said: str
) -> None:
    """It would take hours by itself; no word of the library that reads the command line, no traceback."""
    person = Person(tmp_path, *words.split(), "--data", str(data), columns=160)
    person.sees(bar)
    person.leaves(f"{bar}: ended by a person; {said}")
    assert person.ends() == 5
    assert "Aborted" not in person.shown and "Traceback" not in person.shown
    assert not (tmp_path / "run").exists()


def test_a_training_says_what_of_it_another_one_goes_on_from(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert _kept(run, 0).what == "no run was written"
    assert _kept(run, 20).what == "the trials that were done are kept, no run was written"
    checkpoints_of(run).mkdir()
    assert f"--run {run}: it goes on" in _kept(run, 0).fix


def test_a_proof_is_taken_up_for_the_same_question_rows_and_program_alone(tmp_path: Path) -> None:
    rows, _ = market(1, sessions=200, symbols=12)

    def proved(number: float, key: str = "trial", of: Samples = rows, program: str = "1.0+a") -> float:
        def made() -> Proof:
            open_rows, seal = seal_holdout(of, 40, 5)
            scores = np.full(len(open_rows), number)
            return Proof(open_rows, seal, OutOfFold(scores[None], np.array([1]), np.array([0])), None, scores)

        found = Stages(tmp_path / "run", lambda name: None, program).proved(of, 40, 5, key, made)
        assert len(found.walk_forward) == len(found.rows)
        return float(found.walk_forward[0])

    assert proved(1.0) == 1.0 == proved(2.0), "the same is taken up"
    assert proved(2.0, program="1.0+b") == 2.0
    assert proved(3.0, of=rows.where(rows.column != 3)) == 3.0
    revised = rows.features.copy()
    revised[len(revised) // 2, 1] += 1.0
    assert proved(4.0, of=with_features(rows, revised)) == 4.0
    assert proved(5.0, key="other") == 5.0
    assert proved(6.0) == 1.0
