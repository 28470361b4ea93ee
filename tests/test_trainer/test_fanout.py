"""Fits on a real Dask cluster of processes are those of this machine, to the bit, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster

from signals.errors import StoreUnreachable
from tests.fakes.labelled import market
from tests.test_trainer import test_directions as directions
from tests.test_trainer import test_session_figures as session_minutes
from trainer.learners.base import FitDevice
from trainer.learners.fanout import RowSet, cluster, side_by_side
from trainer.learners.lgbm import LightGbm, LightGbmModel
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import CpcvConfig, RecipeConfig, SearchConfig
from trainer.samples.samples import Samples
from trainer.search import trial_log
from trainer.search.arena import Arena
from trainer.search.run import SearchPlan, search
from trainer.tasks.barrier_classes.comparison import Comparison, compare_learners
from trainer.validation.deciles import next_opens
from trainer.validation.splits.oof import cross_validate

LEARNER = LightGbm(LightGbmConfig(trees=10, num_leaves=4, min_data_in_leaf=50, max_bin=15), seed=1)
SHAPE = {"groups": 5, "test_groups": 2, "embargo": 5}


def no_step(_: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Slow:
    """LightGBM that says who fits and takes its time, so that a worker can be killed at work."""

    diary: Path
    device: FitDevice = FitDevice.CPU

    def fit(self, features, target, weight, names, sessions=None) -> LightGbmModel:  # type: ignore[no-untyped-def]
        (self.diary / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(0.3)
        return LEARNER.fit(features, target, weight, names)


@pytest.fixture(scope="module")
def rows() -> Samples:
    return market(1, sessions=150)[0]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", host="127.0.0.1") as local:
        yield local.scheduler_address


def test_a_cluster_gives_the_scores_of_this_machine(rows: Samples, address: str) -> None:
    here = cross_validate(rows, LEARNER, workers=1, step=no_step, **SHAPE)
    with cluster(address):
        there = cross_validate(rows, LEARNER, workers=1, step=no_step, **SHAPE)
    np.testing.assert_array_equal(there.scores, here.scores)


@pytest.mark.slow
def test_minutes_of_many_names_and_the_learners_of_bars_are_on_a_cluster_what_they_are_here(address: str, tmp_path: Path) -> None:
    """Features of every name, and a whole comparison at two horizons but for the time that it took."""
    figures, compared = _of_minutes(tmp_path)
    with cluster(address):
        again, there = _of_minutes(tmp_path)
    assert [name for name in figures if not np.array_equal(figures[name], again[name], equal_nan=True)] == []
    for one, other in zip(compared.cells, there.cells, strict=True):
        np.testing.assert_array_equal(one.figures.by_session, other.figures.by_session)
    np.testing.assert_array_equal(compared.test.by_session, there.test.by_session)
    assert compared.reasons == there.reasons and [cell.name for cell in compared.cells] == [cell.name for cell in there.cells]


def _of_minutes(folder: Path) -> tuple[dict[str, np.ndarray], Comparison]:
    kinds = {kind: directions.learner(kind) for kind in ("lightgbm", "logistic")}
    horizons = (directions.market(0.5), directions.market(0.5, seed=4, horizon=10))
    words = {"reference": directions.learner("lightgbm"), "cost_bps": 0.5, "seed": 7, "step": no_step, "record": directions.on_record()}
    return session_minutes.found(folder), compare_learners(horizons, kinds, **words)  # type: ignore[arg-type]


def test_a_search_on_a_cluster_writes_the_bytes_of_a_local_one(address: str, tmp_path: Path) -> None:
    labelled, bars = market(3, strength=0.1, sessions=150)
    arena = Arena.book(labelled, next_opens(bars, ()), 5)
    config = RecipeConfig(
        lightgbm=LEARNER.config,
        cpcv=CpcvConfig(groups=3, holdout_sessions=0),
        search=SearchConfig(rules={}, lightgbm={"num_leaves": (2, 4), "lambda_l2": (0, 10)}),
    )
    search(config, arena, {}, SearchPlan(tmp_path / "here", tmp_path / "here", 2, 1, FitDevice.CPU, 1), no_step)
    with cluster(address):
        search(config, arena, {}, SearchPlan(tmp_path / "there", tmp_path / "there", 2, 1, FitDevice.CPU, 1), no_step)
    assert (tmp_path / "here" / trial_log.FILE).read_bytes() == (tmp_path / "there" / trial_log.FILE).read_bytes()


@pytest.mark.slow
def test_a_killed_worker_costs_time_and_nothing_else(rows: Samples, address: str, tmp_path: Path) -> None:
    here = cross_validate(rows, LEARNER, workers=1, step=no_step, **SHAPE)
    with Client(address) as client:
        victim = next(iter(client.run(os.getpid).values()))

    def kill() -> None:
        while not any(path.name.startswith(f"{victim}-") for path in tmp_path.iterdir()):
            time.sleep(0.02)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with cluster(address):
        there = cross_validate(rows, Slow(tmp_path), workers=1, step=no_step, **SHAPE)
    killer.join()
    np.testing.assert_array_equal(there.scores, here.scores)
    assert len(list(tmp_path.iterdir())) > 10, "the killed worker's split was fitted again"


def test_nobody_at_the_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.learners.fanout.CONNECT_SECONDS", 1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(StoreUnreachable, match="no Dask scheduler answers"), cluster(f"tcp://127.0.0.1:{port}"):
            pass


def test_without_an_address_fits_stay_here_and_results_keep_the_jobs_order(rows: Samples) -> None:
    with cluster(""):
        found = list(side_by_side(lambda _, number: number, rows, [(n,) for n in range(20)], workers=2))
    assert found == list(range(20))


def test_the_error_of_a_job_is_raised_and_ends_the_others(rows: Samples) -> None:
    begun: list[int] = []

    def work(_: Samples, number: int) -> int:
        begun.append(number)
        time.sleep(0.005)
        if number == 3:
            raise ArithmeticError("the fourth job")
        return number

    with pytest.raises(ArithmeticError, match="the fourth job"):
        list(side_by_side(work, rows, [(n,) for n in range(500)], workers=2))
    assert 3 in begun and len(begun) < 500


@pytest.mark.parametrize("numbers", [[], [0], [7], [0, 1, 8, 9, 63, 64, 1000]])
def test_row_numbers_survive_packing(numbers: list[int]) -> None:
    assert RowSet.of(np.array(numbers, dtype=np.int64)).numbers.tolist() == numbers
