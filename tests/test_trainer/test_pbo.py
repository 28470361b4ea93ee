"""The probability of overfitting, by hand and against a plain loop."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import rankdata

from signals.errors import InvariantBroken, TooLittleHistory
from trainer.validation.significance.pbo import Metric, probability_of_overfitting


def loop(performance: np.ndarray, blocks: int, metric: Metric) -> np.ndarray:
    """CSCV as one would write it first: slice, judge, rank."""
    parts = np.array_split(performance[len(performance) % blocks :], blocks)

    def judge(chosen: tuple[int, ...]) -> np.ndarray:
        rows = np.concatenate([parts[i] for i in chosen])
        return rows.mean(axis=0) / (rows.std(axis=0, ddof=1) if metric is Metric.SHARPE else 1.0)

    logits = []
    for inside in combinations(range(blocks), blocks // 2):
        outside = tuple(i for i in range(blocks) if i not in inside)
        best = int(np.argmax(judge(inside)))
        w = rankdata(judge(outside))[best] / (performance.shape[1] + 1)
        logits.append(np.log(w / (1 - w)))
    return np.array(logits)


@pytest.mark.parametrize(("blocks", "count"), [(4, 6), (8, 70), (16, 12_870)])
def test_there_are_as_many_splits_as_halves(blocks: int, count: int) -> None:
    performance = np.random.default_rng(0).normal(size=(64, 3))
    assert len(probability_of_overfitting(performance, blocks=blocks).logits) == count


def test_four_one_day_wonders_are_always_overfit() -> None:
    assert probability_of_overfitting(np.eye(4), blocks=4, metric=Metric.MEAN).pbo == 1.0


def test_a_constant_order_is_never_overfit() -> None:
    found = probability_of_overfitting(np.tile([1.0, 2.0, 3.0, 4.0], (4, 1)), blocks=4, metric=Metric.MEAN)
    assert found.pbo == 0.0
    assert found.logits == pytest.approx([np.log(4.0)] * 6)
    assert found.probability_of_loss == 0.0


@pytest.mark.parametrize("metric", list(Metric))
def test_block_sums_give_what_slices_give(metric: Metric) -> None:
    performance = np.random.default_rng(1).normal(0.02, 1.0, size=(203, 12))
    found = probability_of_overfitting(performance, blocks=8, metric=metric)
    np.testing.assert_allclose(found.logits, loop(performance, 8, metric), atol=1e-12)
    assert found.dropped_rows == 3


def test_leftover_rows_go_from_the_front() -> None:
    performance = np.random.default_rng(2).normal(size=(18, 4))
    poisoned = performance.copy()
    poisoned[:2] = 1e6
    whole, cut = (probability_of_overfitting(p, blocks=4) for p in (poisoned, performance[2:]))
    np.testing.assert_array_equal(whole.logits, cut.logits)
    assert (whole.dropped_rows, cut.dropped_rows) == (2, 0)


def test_skill_is_told_from_luck() -> None:
    rng = np.random.default_rng(3)
    luck = rng.normal(size=(800, 20))
    skill = luck.copy()
    skill[:, 7] += 0.25
    lucky, skilled = (probability_of_overfitting(p, blocks=10) for p in (luck, skill))
    assert lucky.pbo > 0.2 and skilled.pbo < 0.01
    assert skilled.dominates_first and skilled.dominates_second
    assert lucky.degradation_slope < 0.0


def test_ties_take_the_average_rank() -> None:
    """Three identical trials: rank 2 of 3, w = 1/2, lambda = 0, which counts as overfit."""
    found = probability_of_overfitting(np.tile(np.arange(8.0)[:, None], (1, 3)), blocks=4)
    assert found.logits == pytest.approx([0.0] * 6)
    assert found.pbo == 1.0


def test_matrices_that_cannot_be_judged_are_refused() -> None:
    with pytest.raises(InvariantBroken):
        probability_of_overfitting(np.zeros((20, 3)), blocks=5)
    with pytest.raises(InvariantBroken):
        probability_of_overfitting(np.full((20, 3), np.nan), blocks=4)
    with pytest.raises(TooLittleHistory):
        probability_of_overfitting(np.zeros((3, 3)), blocks=4)
