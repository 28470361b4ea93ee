"""Out-of-fold proofs: no hindsight, no holdout; noise stays noise, a signal is found and a planted leak shouts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from signals.errors import TooLittleHistory
from signals.features.panel import FeaturePanel
from tests.fakes.bars import synthetic_bars
from tests.fakes.labelled import market, with_features
from trainer.labels.horizon import horizon_labels
from trainer.learners.lgbm import LightGbm
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import CpcvConfig, RecipeConfig
from trainer.samples.samples import Samples, samples, seal_holdout
from trainer.tasks.rank_return import FOLD_DEPENDENCE, LEAK_IC, warnings
from trainer.validation.ic import overlapping_mean, rank_ic
from trainer.validation.proof import figures, prove
from trainer.validation.splits.oof import cross_validate, folds, walk_forward

LEARNER = LightGbm(LightGbmConfig(trees=20, num_leaves=4, min_data_in_leaf=100, max_bin=31), seed=1)
CPCV = CpcvConfig(groups=5, test_groups=2, embargo_sessions=5, holdout_sessions=40)


def no_step(_: str) -> None:
    """Nobody watches."""


def worth(rows: Samples, bars):  # type: ignore[no-untyped-def]
    proof = prove(rows, LEARNER, CPCV, workers=2, step=no_step)
    return proof, figures(proof, bars, 5)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_noise_stays_noise(seed: int) -> None:
    """Folds that train on each other widen the null of the cross-validated t to about 1.4; walking forward, 1."""
    proof, found = worth(*market(seed))
    assert abs(found.ic.t) < 3.0 * FOLD_DEPENDENCE
    assert abs(found.ic_walk_forward.t) < 3.0
    assert abs(found.ic.mean) < LEAK_IC
    told = warnings(found, proof, RecipeConfig(cpcv=CPCV), "point-in-time")
    assert sum("not distinguishable" in warning for warning in told) >= 1


def test_a_planted_signal_is_found_by_both_evaluations() -> None:
    _, found = worth(*market(4, strength=0.15))
    assert found.ic.t > 3.0 and found.ic_walk_forward.t > 2.0
    assert 0.05 < found.ic.mean < 0.17
    assert found.curve[-1] > 0 > found.curve[0]


def test_a_feature_that_has_seen_the_label_is_called_a_leak() -> None:
    proof, found = worth(*market(5, strength=0.4))
    told = warnings(found, proof, RecipeConfig(cpcv=CPCV), "point-in-time")
    assert any("leak until proven otherwise" in warning for warning in told)


def test_every_session_weighs_the_same_and_targets_are_ranks_of_that_session() -> None:
    rows, _ = market(6)
    per_session = np.bincount(rows.t0, weights=rows.weight)
    assert np.ptp(per_session[per_session > 0]) < 1e-9
    assert rows.weight.mean() == pytest.approx(1.0)
    sums = np.bincount(rows.t0, weights=rows.target)
    assert np.abs(sums).max() < 1e-9


def test_sessions_with_fewer_than_ten_labelled_names_give_no_rows() -> None:
    bars = synthetic_bars(1, sessions=60, symbols=9)
    values = np.zeros((60, 9, 1), dtype=np.float32)
    panel = FeaturePanel(bars.sessions, bars.symbols, ("a",), values, bars.eligible)
    with pytest.raises(TooLittleHistory, match="10 eligible names"):
        samples(panel, horizon_labels(bars, 5))


def test_nothing_in_the_holdout_or_its_gap_changes_a_score_or_a_figure() -> None:
    """Other features, labels and targets there, the same proof to the bit."""
    rows, bars = market(7, strength=0.1)
    open_rows, seal = seal_holdout(rows, CPCV.holdout_sessions, CPCV.embargo_sessions)
    assert seal is not None
    hidden = rows.t1 + CPCV.embargo_sessions >= seal.first
    assert hidden.sum() == len(rows) - len(open_rows) > seal.rows
    rng = np.random.default_rng(0)
    forged = replace(
        rows,
        label=np.where(hidden, rng.normal(size=len(rows)), rows.label),
        target=np.where(hidden, rng.normal(size=len(rows)), rows.target),
    )
    forged = with_features(forged, np.where(hidden[:, None], rng.normal(size=rows.features.shape), rows.features).astype(np.float32))
    proof, found = worth(rows, bars)
    forged_proof, forged_found = worth(forged, bars)
    np.testing.assert_array_equal(proof.oof.scores, forged_proof.oof.scores)
    np.testing.assert_array_equal(proof.walk_forward, forged_proof.walk_forward)
    assert (found.ic, found.spread, found.capacity) == (forged_found.ic, forged_found.spread, forged_found.capacity)


def test_no_test_label_reaches_the_model_that_scores_it() -> None:
    """Forging the targets of one group's sessions changes none of the scores that its own tests get."""
    rows, _ = market(8, strength=0.1)
    shape = {"groups": 4, "test_groups": 1, "embargo": 5, "workers": 1, "step": no_step}
    first = rows.t0 < np.quantile(np.unique(rows.t0), 0.2)
    honest = cross_validate(rows, LEARNER, **shape)
    forged = cross_validate(replace(rows, target=np.where(first, -3.0, rows.target)), LEARNER, **shape)
    np.testing.assert_array_equal(honest.scores[0][first], forged.scores[0][first])
    last = rows.t0 > np.quantile(np.unique(rows.t0), 0.8)
    assert not np.array_equal(honest.scores[0][last], forged.scores[0][last])


def test_walk_forward_trains_on_ended_labels_alone() -> None:
    """Nine sessions in three groups, labels two long: the test of 3, 4, 5 trains on the label of 0 only."""
    t0 = np.arange(9)
    pairs = [(train.tolist(), test.tolist()) for train, test in folds(t0, t0 + 2, 3)]
    assert pairs == [([0], [3, 4, 5]), ([0, 1, 2, 3], [6, 7, 8])]
    with pytest.raises(TooLittleHistory, match="before the first walk-forward test"):
        folds(t0, t0 + 3, 3)


def test_walk_forward_scores_do_not_change_with_the_future() -> None:
    rows, _ = market(9, strength=0.1)
    half = int(np.median(np.unique(rows.t0)))
    later = rows.t0 > half
    forged = replace(rows, target=np.where(later, -rows.target, rows.target))
    honest, changed = (walk_forward(r, LEARNER, groups=5, workers=1, step=no_step) for r in (rows, forged))
    early = ~later & np.isfinite(honest)
    assert early.sum() > 1000
    np.testing.assert_array_equal(honest[early], changed[early])
    assert np.isnan(honest[rows.t0 <= np.quantile(np.unique(rows.t0), 0.19)]).all()


@dataclass(frozen=True)
class Oracle:
    """A learner that looks its targets up: what cross-validation would reward if labels leaked."""

    def fit(self, features, target, weight, names, sessions):  # type: ignore[no-untyped-def]
        table = dict(zip(features[:, 0].tolist(), target.tolist(), strict=True))

        class Memory:
            def predict(self, asked: np.ndarray) -> np.ndarray:
                return np.array([table.get(key, 0.0) for key in asked[:, 0].tolist()])

        return Memory()


def test_a_learner_that_memorises_rows_scores_nothing_out_of_fold() -> None:
    rows, _ = market(10)
    rows = with_features(rows, np.arange(len(rows), dtype=np.float32)[:, None], ("row",))
    oof = cross_validate(rows, Oracle(), groups=4, test_groups=2, embargo=5, workers=1, step=no_step)
    assert (oof.scores == 0.0).all()
    assert np.isnan(rank_ic(rows.dense(oof.scores[0]), rows.dense(rows.label))).all()
    assert overlapping_mean(rank_ic(rows.dense(rows.target), rows.dense(rows.label)), 5).mean == pytest.approx(1.0)
