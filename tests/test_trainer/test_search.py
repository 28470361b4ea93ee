"""A search keeps and counts every trial, whatever became of it, and repeats itself however it is run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest

from signals.config import parse
from signals.errors import BadConfig, FixInput, Locked
from signals.market.bars import Opens
from tests.fakes.labelled import market
from trainer.learners.base import FitDevice
from trainer.learners.fanout import RowSet
from trainer.learners.parameters import LightGbmConfig
from trainer.learners.table import learner_named
from trainer.recipes.base import CpcvConfig, RecipeConfig, SearchConfig
from trainer.runs import chain
from trainer.runs.run_folder import exclusive
from trainer.search import trial_log
from trainer.search.arena import Arena
from trainer.search.binned import BinnedRows
from trainer.search.run import Found, SearchPlan, search, steps
from trainer.search.trial_log import TrialOutcome
from trainer.validation.deciles import book_returns, next_opens
from trainer.validation.splits.oof import folds, walk_forward

CONFIG = RecipeConfig(
    lightgbm=LightGbmConfig(trees=5, num_leaves=4, min_data_in_leaf=50, max_bin=15),
    cpcv=CpcvConfig(groups=4, holdout_sessions=0),
    search=SearchConfig(
        rules={"b": 1},
        startup_trials=3,
        pruning_trials=2,
        warmup_folds=1,
        lightgbm={"num_leaves": (2, 4, 8), "learning_rate": (0.05, 0.2), "lambda_l2": (0, 10)},
    ),
)
IDENTITY = {"sleeve": "test", "snapshot_id": "0"}


@pytest.fixture(scope="module")
def following() -> Opens:
    return next_opens(market(3, strength=0.1, sessions=200)[1], ())


@pytest.fixture(scope="module")
def arena(following: Opens) -> Arena:
    return Arena.book(market(3, strength=0.1, sessions=200)[0], following, 5)


def no_step(_: str) -> None:
    """Nobody watches."""


def plan(folder: Path, trials: int = 6, seed: int = 1, workers: int = 1) -> SearchPlan:
    return SearchPlan(folder, folder, trials, seed, FitDevice.CPU, workers)


def run(arena: Arena, folder: Path, config: RecipeConfig = CONFIG, **changes: int) -> Found:
    return search(config, arena, IDENTITY, plan(folder, **changes), no_step)


@pytest.fixture(scope="module")
def found(arena: Arena, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Found]:
    folder = tmp_path_factory.mktemp("search")
    return folder, run(arena, folder)


def lines(folder: Path) -> list[bytes]:
    return (folder / trial_log.FILE).read_bytes().splitlines(keepends=True)


def test_every_trial_is_there_with_its_parameters_and_returns(found: tuple[Path, Found]) -> None:
    folder, result = found
    study = trial_log.read(folder).studies[result.study]
    assert [trial.number for trial in study.trials] == list(range(6)) and result.history.tries == 6
    assert set(study.baselines) == {"as configured", "ridge", "+1 b"}
    complete = [trial for trial in study.trials if trial.state is TrialOutcome.COMPLETED]
    assert {len(trial.net) for trial in complete} == {len(study.sessions)}
    assert all(set(trial.parameters) == {"num_leaves", "learning_rate", "lambda_l2"} for trial in study.trials)
    assert result.best.sharpe == max(trial.sharpe for trial in complete)
    assert result.config.lightgbm.num_leaves == result.best.parameters["num_leaves"]


def test_a_trial_s_returns_are_those_of_its_walk_forward_scores(arena: Arena, following: Opens, found: tuple[Path, Found]) -> None:
    learner = learner_named(found[1].config.learner, found[1].config, 1, FitDevice.CPU)
    rows, scores = BinnedRows.of(arena.rows), np.full(len(arena.rows), np.nan)
    for train, test in folds(arena.rows.t0, arena.rows.t1, 4):
        scores[test] = rows.score(learner, RowSet.of(train), RowSet.of(test))
    again = book_returns(arena.rows.dense(scores), following, 5)
    np.testing.assert_array_equal(again.net, found[1].best.net)
    days = [str(day) for day in arena.rows.sessions[again.rows]]
    assert days == list(trial_log.read(found[0]).studies[found[1].study].sessions)


def test_baselines_are_fitted_in_bins_of_each_split_s_own(arena: Arena, found: tuple[Path, Found]) -> None:
    learner = learner_named(CONFIG.learner, CONFIG, 1, FitDevice.CPU)
    scores = walk_forward(arena.rows, learner, groups=4, workers=1, step=no_step)
    kept = trial_log.read(found[0]).studies[found[1].study].baselines["as configured"]
    np.testing.assert_array_equal(arena.net(scores), kept)


def test_a_study_says_whether_its_trials_shared_bins(found: tuple[Path, Found], arena: Arena, tmp_path: Path) -> None:
    assert trial_log.read(found[0]).studies[found[1].study].identity["bins"] == "shared"
    ridge = CONFIG.model_copy(update={"learner": "ridge"})
    assert run(arena, tmp_path, config=ridge, trials=1).history.studies.popitem()[1].identity["bins"] is None  # type: ignore[attr-defined]


def test_stopping_and_resuming_or_more_workers_change_no_byte(arena: Arena, found: tuple[Path, Found], tmp_path: Path) -> None:
    run(arena, tmp_path, trials=2)
    run(arena, tmp_path, trials=6, workers=2)
    assert lines(tmp_path) == lines(found[0])


def test_asking_for_as_many_trials_again_runs_none(arena: Arena, found: tuple[Path, Found]) -> None:
    before = lines(found[0])
    assert run(arena, found[0]).best.number == found[1].best.number
    assert lines(found[0]) == before


def test_another_seed_is_another_study_whose_trials_count_too(arena: Arena, tmp_path: Path) -> None:
    run(arena, tmp_path, trials=2)
    again = run(arena, tmp_path, trials=2, seed=2)
    assert len(again.history.studies) == 2 and again.history.tries == 4


def test_steps_are_foretold(arena: Arena, tmp_path: Path) -> None:
    told: list[str] = []
    search(CONFIG, arena, IDENTITY, plan(tmp_path, trials=2), told.append)
    assert len(told) == steps(CONFIG, 2)


def test_a_trial_that_fails_is_kept_with_its_reason_and_the_search_goes_on(arena: Arena, tmp_path: Path) -> None:
    """A share so small that no row is beyond it leaves nothing to tell apart."""
    space = SearchConfig(rules={}, batch=4, startup_trials=8, logistic={"share": (1e-9, 0.3)})
    config = RecipeConfig(learner="logistic", cpcv=CONFIG.cpcv, search=space)
    result = run(arena, tmp_path, config=config, trials=4)
    states = {trial.parameters["share"]: trial for trial in result.history.studies[result.study].trials}
    assert states[1e-9].state is TrialOutcome.FAILED and "both extremes" in states[1e-9].reason
    assert states[0.3].state is TrialOutcome.COMPLETED and result.history.tries == 4


def test_laggards_are_pruned_and_keep_the_returns_they_have(arena: Arena, tmp_path: Path) -> None:
    result = run(arena, tmp_path, trials=14)
    study = result.history.studies[result.study]
    pruned = [trial for trial in study.trials if trial.state is TrialOutcome.PRUNED]
    assert pruned and all(0 < len(trial.net) < len(study.sessions) for trial in pruned)
    assert result.history.tries == 14


def test_a_process_that_dies_leaves_a_trial_that_counts(arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException):
        pass

    def die(*_: object) -> None:
        raise Died

    run(arena, tmp_path, trials=2)
    with monkeypatch.context() as patch:
        patch.setattr("trainer.search.run.attempt", die)
        with pytest.raises(Died):
            run(arena, tmp_path, trials=4)
    result = run(arena, tmp_path, trials=6)
    states = [trial.state for trial in result.history.studies[result.study].trials]
    assert states[2:4] == [TrialOutcome.INTERRUPTED] * 2 and len(states) == 6 and result.history.tries == 6


@pytest.fixture
def copy(found: tuple[Path, Found], tmp_path: Path) -> Path:
    for name in (trial_log.FILE, f"{trial_log.FILE}.head", "optuna.db"):
        (tmp_path / name).write_bytes((found[0] / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("taken", [1, 6, -2])
def test_a_record_taken_out_breaks_the_chain(copy: Path, taken: int) -> None:
    kept = lines(copy)
    del kept[taken]
    (copy / trial_log.FILE).write_bytes(b"".join(kept))
    with pytest.raises(FixInput, match="removed, changed or put in"):
        trial_log.read(copy)


def test_a_record_that_was_changed_breaks_the_chain(copy: Path) -> None:
    changed = lines(copy)
    changed[4] = changed[4].replace(b'"number":0', b'"number":7')
    (copy / trial_log.FILE).write_bytes(b"".join(changed))
    with pytest.raises(FixInput, match="removed, changed or put in"):
        trial_log.read(copy)


def test_records_taken_off_the_end_are_missed(copy: Path) -> None:
    (copy / trial_log.FILE).write_bytes(b"".join(lines(copy)[:-2]))
    with pytest.raises(FixInput, match="cut or replaced"):
        trial_log.read(copy)


def test_a_record_that_was_put_back_shows_against_the_sampler_s_storage(arena: Arena, copy: Path) -> None:
    """An older copy of the file with the anchor that it had then is a chain that holds."""
    last = max(at for at, line in enumerate(lines(copy)) if json.loads(line)["kind"] == "started")
    (copy / trial_log.FILE).write_bytes(b"".join(lines(copy)[: last - 1]))
    (copy / f"{trial_log.FILE}.head").unlink()
    known = chain.unanchored(copy / trial_log.FILE, fix="").anchor
    (copy / f"{trial_log.FILE}.head").write_text(f"{known.records} {known.head}\n")
    assert trial_log.read(copy).anchor == known
    with pytest.raises(FixInput, match="missing from the record"):
        run(arena, copy)


def test_a_sampler_that_lost_its_memory_is_given_it_back(arena: Arena, copy: Path, tmp_path: Path) -> None:
    """The storage is the sampler's memory only: rebuilt from the record it goes on as if it had never been lost."""
    before = lines(copy)
    (copy / "optuna.db").unlink()
    assert run(arena, copy).history.tries == 6 and lines(copy) == before
    run(arena, copy, trials=8)
    run(arena, tmp_path / "whole", trials=8)
    assert lines(copy) == lines(tmp_path / "whole")


def test_a_line_that_a_crash_cut_short_is_no_record_and_gets_out_of_the_way(copy: Path) -> None:
    whole = (copy / trial_log.FILE).read_bytes()
    (copy / trial_log.FILE).write_bytes(whole + b'{"kind":"sta')
    before = trial_log.read(copy).anchor
    assert trial_log.append(copy, {"kind": "note"}).records == before.records + 1
    assert (copy / trial_log.FILE).read_bytes().startswith(whole + b'{"kind":"note"')


def test_two_searches_do_not_share_a_folder(arena: Arena, tmp_path: Path) -> None:
    with exclusive(tmp_path, "search"), pytest.raises(Locked, match="another search"):
        run(arena, tmp_path)


def test_any_database_url_can_hold_the_sampler_s_memory(arena: Arena, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    search(CONFIG, arena, IDENTITY, replace(plan(tmp_path / "s", trials=1), storage=url), no_step)
    (study,) = optuna.get_all_study_summaries(url)
    assert study.n_trials == 1


@pytest.mark.parametrize("url", ["nonsense", "postgresql://user:secret@127.0.0.1:1/trials", "sqlite:////nonexistent/folder/x.db"])
def test_a_storage_that_does_not_open_is_said_without_its_password(arena: Arena, tmp_path: Path, url: str) -> None:
    with pytest.raises(FixInput, match="storage cannot be opened") as caught:
        search(CONFIG, arena, IDENTITY, replace(plan(tmp_path, trials=1), storage=url), no_step)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "match"), [({"leaves": [3]}, "no parameter of it"), ({"num_leaves": [1]}, "num_leaves"), ({"num_leaves": "many"}, "search")]
)
def test_a_search_space_is_checked_when_it_is_read(values: dict[str, object], match: str) -> None:
    with pytest.raises(BadConfig, match=match):
        parse({"search": {"lightgbm": values}}, RecipeConfig, where="test")


def test_the_ranges_are_those_of_the_specification() -> None:
    assert RecipeConfig().search.lightgbm == {
        "num_leaves": (31, 63, 127),
        "max_depth": (-1, 7, 11),
        "learning_rate": (0.01, 0.05, 0.1),
        "min_data_in_leaf": (50, 200),
        "feature_fraction": (0.6, 0.9),
        "bagging_fraction": (0.6, 0.9),
        "lambda_l1": (0, 10),
        "lambda_l2": (0, 10),
    }
