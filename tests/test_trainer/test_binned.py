"""Bins that trials share differ from a fit's own by where they are cut only, and reach nothing that is published."""

from __future__ import annotations

import ast
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from dask.tokenize import tokenize

from signals.market.bars import Floats
from tests.fakes.labelled import market, with_features
from trainer.learners.base import SharesBins
from trainer.learners.bins import Bins
from trainer.learners.fanout import RowSet
from trainer.learners.lgbm import LightGbm, LightGbmModel
from trainer.learners.linear import Ridge
from trainer.learners.parameters import LightGbmConfig, Objective, RidgeConfig
from trainer.recipes.base import CpcvConfig
from trainer.samples.samples import Samples
from trainer.search.binned import BinnedRows
from trainer.validation.proof import prove
from trainer.validation.splits.oof import score_unseen

ROOT = Path(__file__).resolve().parents[2]
CONFIG = LightGbmConfig(trees=8, num_leaves=7, min_data_in_leaf=30, max_bin=15)


@pytest.fixture(scope="module")
def rows() -> Samples:
    return market(5, strength=0.3, sessions=160)[0]


def halves(rows: Samples) -> tuple[np.ndarray, np.ndarray]:
    middle = int(np.median(rows.t0))
    return np.flatnonzero(rows.t1 < middle), np.flatnonzero(rows.t0 >= middle)


def fitted_in(bins: Bins, learner: LightGbm, rows: Samples, chosen: np.ndarray) -> LightGbmModel:
    return learner.fit_binned(bins, chosen, rows.target[chosen], rows.weight[chosen], rows.names, rows.t0[chosen])


def shared(rows: Samples, learner: LightGbm) -> Floats:
    train, test = halves(rows)
    return BinnedRows.of(rows).score(learner, RowSet.of(train), RowSet.of(test))


def own(rows: Samples, learner: LightGbm) -> Floats:
    train, test = halves(rows)
    return score_unseen(rows, learner, RowSet.of(train), RowSet.of(test))


def trees(model: LightGbmModel) -> str:
    return model.text.split("\nparameters:")[0]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": Objective.QUANTILE},
        {"objective": Objective.RANK},
        {"monotone": {"a": 1}},
        {"min_data_in_leaf": 1},
        {"num_leaves": 2, "bagging_fraction": 1.0},
    ],
)
def test_bins_of_the_very_rows_of_a_fit_give_the_trees_of_a_fit_of_its_own(rows: Samples, changes: dict[str, object]) -> None:
    learner = LightGbm(CONFIG.model_copy(update=changes), seed=1)
    part = rows.where(np.isin(np.arange(len(rows)), halves(rows)[0]))
    alone = learner.fit(part.features, part.target, part.weight, part.names, part.t0)
    binned = fitted_in(learner.bins(part.features, part.names), learner, part, np.arange(len(part)))
    assert trees(binned) == trees(alone)


@pytest.mark.parametrize("objective", list(Objective))
@pytest.mark.parametrize("patience", [0, 3])
def test_a_fit_takes_the_rows_that_it_needs_out_of_the_bins_of_all(rows: Samples, objective: Objective, patience: int) -> None:
    """Another route to the same: LightGBM bins a fit's rows again by the cuts of a dataset of all rows."""
    learner = LightGbm(CONFIG.model_copy(update={"objective": objective, "patience": patience}), seed=1)
    settings = {**learner._parameters(rows.names), "feature_pre_filter": False}
    whole = lightgbm.Dataset(rows.features, np.zeros(len(rows)), params=settings, free_raw_data=False)
    train, _ = halves(rows)

    def anew(part: np.ndarray) -> lightgbm.Dataset:
        return lightgbm.Dataset(rows.features[train[part]], reference=whole, params=settings, feature_name=list(rows.names))

    material = (rows.target[train], rows.weight[train], rows.names, rows.t0[train])
    found = fitted_in(learner.bins(rows.features, rows.names), learner, rows, train)
    assert trees(found) == trees(learner._fit(anew, *material, settings))


def test_shared_bins_never_see_a_label_that_is_not_fitted_on(rows: Samples) -> None:
    _, test = halves(rows)
    target = rows.target.copy()
    target[test] = 1e6
    learner = LightGbm(CONFIG, seed=1)
    np.testing.assert_array_equal(shared(replace(rows, target=target), learner), shared(rows, learner))


def test_shared_bins_see_the_quantiles_of_tested_features_and_a_fit_of_its_own_does_not(rows: Samples) -> None:
    """Why they reach no figure: a tested feature moved far away moves the cuts, and with them the model."""
    train, test = halves(rows)
    moved = rows.features.copy()
    moved[test] += 1000.0
    learner, there = LightGbm(CONFIG, seed=1), with_features(rows, moved)
    alone, alone_there = (learner.fit(r.features[train], r.target[train], r.weight[train], r.names) for r in (rows, there))
    assert alone.text == alone_there.text
    binned, binned_there = (fitted_in(learner.bins(r.features, r.names), learner, r, train) for r in (rows, there))
    assert trees(binned) != trees(binned_there)


def test_many_threads_fit_from_the_same_bins_as_one_does(rows: Samples) -> None:
    binned = BinnedRows.of(rows)
    train, test = (RowSet.of(part) for part in halves(rows))
    learners = [
        LightGbm(CONFIG.model_copy(update={"num_leaves": leaves, "max_bin": bins}), seed=1) for leaves in range(2, 8) for bins in (7, 15)
    ] * 3
    one_by_one = [BinnedRows.of(rows).score(learner, train, test) for learner in learners[:12]] * 3
    with ThreadPoolExecutor(6) as pool:
        at_once = list(pool.map(lambda learner: binned.score(learner, train, test), learners, timeout=60))
    np.testing.assert_array_equal(at_once, one_by_one)


def test_bins_are_cut_once_for_all_fits(rows: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[int] = []
    make = LightGbm.bins

    def counted(learner: LightGbm, *what: object) -> Bins:
        cut.append(learner.config.max_bin)
        return make(learner, *what)  # type: ignore[arg-type]

    monkeypatch.setattr(LightGbm, "bins", counted)
    binned = BinnedRows.of(rows)
    train, test = (RowSet.of(part) for part in halves(rows))
    for max_bin in (15, 7, 15, 7):
        binned.score(LightGbm(CONFIG.model_copy(update={"max_bin": max_bin}), seed=1), train, test)
    assert cut == [15, 7]


def test_a_learner_without_bins_is_fitted_as_ever(rows: Samples) -> None:
    ridge = Ridge(RidgeConfig())
    assert not isinstance(ridge, SharesBins)
    np.testing.assert_array_equal(shared(rows, ridge), own(rows, ridge))  # type: ignore[arg-type]


def test_rows_of_no_weight_are_scored_and_not_learned_from(rows: Samples) -> None:
    train, test = halves(rows)
    weight = rows.weight.copy()
    weight[train[: len(train) // 2]] = 0.0
    target = np.where(weight == 0.0, 1e6, rows.target)
    learner = LightGbm(CONFIG, seed=1)
    masked = shared(replace(rows, weight=weight, target=target), learner)
    np.testing.assert_array_equal(masked, shared(replace(rows, weight=weight), learner))
    assert masked.shape == (len(test),) and not np.array_equal(masked, shared(rows, learner))


def test_rows_that_travel_are_binned_once_where_they_arrive(rows: Samples) -> None:
    learner, (train, test) = LightGbm(CONFIG, seed=1), (RowSet.of(part) for part in halves(rows))
    here = BinnedRows.of(rows)
    there, again = (pickle.loads(pickle.dumps(here)) for _ in range(2))
    assert there is again and there is not here
    np.testing.assert_array_equal(there.score(learner, train, test), here.score(learner, train, test))


@pytest.mark.parametrize("part", ["features", "target", "weight", "t0", "t1", "column", "label"])
def test_rows_that_differ_in_anything_are_other_rows_where_they_arrive(rows: Samples, part: str) -> None:
    """Two searches that follow one another on a cluster may differ in their labels only."""
    here, changed = BinnedRows.of(rows), getattr(rows, part) + np.ones(1, getattr(rows, part).dtype)
    other = BinnedRows.of(with_features(rows, changed) if part == "features" else replace(rows, **{part: changed}))
    pickle.loads(pickle.dumps(here))
    arrived = pickle.loads(pickle.dumps(other))
    np.testing.assert_array_equal(getattr(arrived.rows, part), changed)
    assert tokenize(other) != tokenize(here) == tokenize(BinnedRows.of(rows))


def test_a_proof_never_takes_rows_out_of_shared_bins(rows: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("shared bins in a figure that is published")

    monkeypatch.setattr(Bins, "__init__", refuse)
    monkeypatch.setattr(lightgbm.Dataset, "subset", refuse)
    proof = prove(
        rows, LightGbm(CONFIG, seed=1), CpcvConfig(groups=4, embargo_sessions=5, holdout_sessions=0), workers=2, step=lambda _: None
    )
    assert bool(np.isfinite(proof.oof.scores).all())


def test_only_a_search_can_reach_shared_bins() -> None:
    """Every name by which they can be had, wherever it stands in the program."""
    doors, allowed = {"Bins", "BinnedRows", "SharesBins", "fit_binned"}, {"trainer/learners", "trainer/search"}
    users = {
        path.parent.relative_to(ROOT).as_posix()
        for package in ("signals", "portfolio", "execution", "appliance", "trainer")
        for path in (ROOT / package).rglob("*.py")
        if any(door in path.read_text() for door in doors)
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in doors) or (isinstance(node, ast.alias) and node.name in doors)
    }
    assert users == allowed
