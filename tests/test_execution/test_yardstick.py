"""The book of deciles on both hosts: figures by hand, against scipy, and against the trainer's labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from execution.yardstick import lived
from signals.market.bars import opens
from signals.scoring.scores import average_ranks, rank_ic
from tests.fakes.bars import all_filled, synthetic_bars

# Ten names: the decile book of one cohort is long the best name and short the worst, half of equity each.
UP, DOWN = np.arange(10.0), -np.arange(10.0)


def test_two_sessions_by_hand() -> None:
    """One cohort. Name 9 is held long and 0 short, then the other way round: both sides are sold and bought, 2 traded.

    The second book earns 0.5 x 3 % (name 0) - 0.5 x (-1 %) (name 9) = 2 %, and pays 2 x 2.5 bp: 1.95 %. Its IC: the
    returns fall with the number of the name as the scores do, in all places. Impact: each |dw| is 1, c = 0.0001.
    """
    following = np.linspace(0.03, -0.01, 10)
    scores = np.array([UP, DOWN])
    found = lived(scores, all_filled(np.array([following, following])), 1, np.full((2, 10), 1e-4))
    assert found.rows.tolist() == [1]
    assert found.turnover.tolist() == [1.0]
    assert found.net[0] == pytest.approx(0.02 - 2 * 0.00025)
    assert found.ic[0] == pytest.approx(1.0)
    assert found.impact[0] == pytest.approx(1e-4)


def test_a_session_without_scores_is_left_out_and_too_few_make_no_book() -> None:
    nothing = np.full(10, np.nan)
    scores, following = np.array([UP, nothing, UP, UP]), all_filled(np.zeros((4, 10)))
    found = lived(scores, following, 1)
    assert found.rows.tolist() == [2, 3]
    assert found.turnover.tolist() == [0.0, 0.0]
    assert np.isnan(found.impact).all() and np.isnan(found.ic).all()
    assert len(lived(scores, following, 3).rows) == 0


def test_ranks_and_ic_are_those_of_scipy() -> None:
    rng = np.random.default_rng(1)
    scores, labels = rng.normal(size=(20, 40)), rng.integers(0, 7, (20, 40)).astype(float)
    scores[rng.random((20, 40)) < 0.1] = np.nan
    for row in range(20):
        known = np.isfinite(scores[row])
        expected = spearmanr(scores[row, known], labels[row, known]).statistic
        assert rank_ic(scores, labels)[row] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(average_ranks(labels[0]), rankdata(labels[0]))


def test_what_follows_a_session_is_the_trainer_s_own() -> None:
    book = pytest.importorskip("trainer.validation.deciles")
    bars = synthetic_bars(4, sessions=60, symbols=20, missing=0.1)
    for name in ("earned", "fills", "waits"):
        np.testing.assert_array_equal(getattr(opens(bars), name), getattr(book.next_opens(bars, ()), name))


def test_the_future_changes_no_figure_of_the_past() -> None:
    rng = np.random.default_rng(2)
    scores, following = rng.normal(size=(30, 40)), rng.normal(0, 0.02, (30, 40))
    whole, part = lived(scores, all_filled(following), 5), lived(scores[:20], all_filled(following[:20]), 5)
    for name in ("rows", "ic", "turnover", "net"):
        np.testing.assert_array_equal(getattr(whole, name)[:15], getattr(part, name))
