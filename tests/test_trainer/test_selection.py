"""Features are chosen from training rows alone, and the choice travels inside the graph."""

from __future__ import annotations

import numpy as np
import pytest

from signals.errors import FixInput
from signals.indicators.catalogue import CATALOGUE
from trainer.learners.base import Matrix, Rows
from trainer.learners.ensembles.chosen import Chosen
from trainer.learners.export import export
from trainer.learners.lgbm import LightGbm
from trainer.learners.parameters import LightGbmConfig
from trainer.validation.splits.cpcv import splits
from trainer.validation.splits.selection import FEATURE_SETS, FeatureSelection, FeatureSet, doubles

SMALL = FeatureSet("small", 3, 5)
ROWS, FEATURES, BARS_A_SESSION = 2_400, 12, 8


def learner(seed: int = 1) -> LightGbm:
    return LightGbm(LightGbmConfig(trees=25, num_leaves=7, min_data_in_leaf=40, learning_rate=0.1), seed)


def material(seed: int = 3) -> tuple[Matrix, np.ndarray, tuple[str, ...], Rows]:
    """Three features that say something, one that repeats the first, one that never varies, and noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    x[:, 8] = x[:, 0] * 2.0 + 0.01 * rng.normal(size=ROWS)
    x[:, 11] = 1.0
    target = 0.5 * x[:, 0] + 0.4 * x[:, 4] - 0.4 * x[:, 7] + rng.normal(size=ROWS)
    x[::50, 4] = np.nan
    return x, target, tuple(f"n{column}" for column in range(FEATURES)), np.arange(ROWS) // BARS_A_SESSION


def chosen(wanted: FeatureSet = SMALL) -> FeatureSelection:
    return FeatureSelection(learner(), wanted, purge=2, seed=5)


def test_what_says_something_is_chosen_and_a_double_is_not() -> None:
    x, target, names, sessions = material()
    choice = chosen().choose(x, target, np.ones(ROWS), names, sessions)
    assert doubles(x).tolist() == [8, 11] == choice.doubled.tolist()
    assert {0, 4, 7} <= set(choice.columns.tolist()) and not {8, 11} & set(choice.columns.tolist())
    assert SMALL.fewest <= len(choice.columns) <= SMALL.most
    assert all(choice.kept[column] >= 0.6 for column in (0, 4, 7))


def test_the_graph_takes_the_whole_table_and_what_was_not_chosen_moves_no_score() -> None:
    """The device computes every feature; the same rows give the same bytes."""
    x, target, names, sessions = material()
    model, again = (Chosen(learner(), chosen()).fit(x, target, np.ones(ROWS), names, sessions) for _ in range(2))
    assert export(model, x).parity.max_difference <= 2e-5 and model.to_onnx() == again.to_onnx()
    kept = chosen()(x, target, np.ones(ROWS), names, sessions)
    other = x.copy()
    other[:, [column for column, name in enumerate(names) if name not in kept]] = 99.0
    assert 3 <= len(kept) <= 5 and np.array_equal(model.predict(x), model.predict(other)) and model.names == names


def test_a_choice_made_on_the_test_fold_is_caught() -> None:
    """A feature that is noise in training and the answer in one test fold: a choice inside the fold never sees it.

    The planted choice on all rows takes it for the fold that it betrays; choosing fold by fold does not, and gives the same
    choice whatever stands in the test rows.
    """
    rng = np.random.default_rng(9)
    x, _, names, sessions = material()
    target = rng.normal(size=ROWS)  # nothing to be learned
    split = next(iter(splits(sessions, sessions + 2, groups=6, test_groups=2, embargo=2)))
    betrayed = x.copy()
    betrayed[split.test, 5] = target[split.test]
    train = split.train
    weight = np.ones(ROWS)
    honest = Chosen(learner(), chosen())
    inside = honest.fit(betrayed[train], target[train], weight[train], names, sessions[train])
    clean = honest.fit(x[train], target[train], weight[train], names, sessions[train])
    assert inside.to_onnx() == clean.to_onnx()
    outside = chosen().choose(betrayed, target, weight, names, sessions)
    own = chosen().choose(betrayed[train], target[train], weight[train], names, sessions[train])
    assert 5 in outside.columns and outside.loss[5] > 5 * np.abs(own.loss).max()  # the fault happened
    leaked = tuple(names[column] for column in outside.columns)
    faulty = Chosen(learner(), lambda *_: leaked).fit(betrayed[train], target[train], weight[train], names, sessions[train])
    assert faulty.to_onnx() != inside.to_onnx()


def test_sets_are_sized_and_named() -> None:
    """The raw set is by name, and refuses a table without them; a set larger than what differs is refused."""
    names = tuple(row.name for row in CATALOGUE)
    x = np.random.default_rng(1).normal(size=(50, len(names))).astype(np.float32)
    raw = chosen(FEATURE_SETS["transformer_raw"]).choose(x, x[:, 0].astype(float), np.ones(50), names, np.arange(50))
    assert [names[column] for column in raw.columns] == sorted(FEATURE_SETS["transformer_raw"].named, key=names.index)
    sizes = {name: (each.fewest, each.most) for name, each in FEATURE_SETS.items() if not each.named}
    assert sizes == {"boosting_optimal": (80, 120), "neural_optimal": (40, 60), "ensemble_base": (60, 80)}
    small = material()
    with pytest.raises(FixInput, match="10 features differ and 80 are needed"):
        chosen(FEATURE_SETS["boosting_optimal"]).choose(small[0], small[1], np.ones(ROWS), small[2], small[3])
    with pytest.raises(FixInput, match="no return_1"):
        chosen(FEATURE_SETS["transformer_raw"]).choose(small[0], small[1], np.ones(ROWS), small[2], small[3])
