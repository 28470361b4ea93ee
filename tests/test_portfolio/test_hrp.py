from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist, squareform

from portfolio.risk.hrp import column_distance, correlation_distance, hrp_weights, quasi_diagonal_order, single_linkage_leaves
from signals.errors import InvariantBroken

PAPER = [7.00, 7.59, 10.84, 19.03, 9.72, 10.19, 6.62, 9.10, 7.12, 12.79]


def papers_market() -> np.ndarray:
    """The paper's numerical example: five independent series and five noisy copies, its seed and its draws."""
    state, chooser = np.random.RandomState(12345), random.Random(12345)
    independent = state.normal(0, 1, size=(10_000, 5))
    # The listing drew with the random module of its day, whose randint is int(random() * 5).
    copied = [int(chooser.random() * 5) for _ in range(5)]
    return np.append(independent, independent[:, copied] + state.normal(0, 0.25, size=(10_000, 5)), axis=1)


def test_the_papers_ten_assets() -> None:
    weights = hrp_weights(np.cov(papers_market(), rowvar=False))
    np.testing.assert_allclose(weights * 100, PAPER, atol=0.005)


def test_distance_runs_from_zero_to_one() -> None:
    covariance = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(correlation_distance(covariance), [[0, 0, 0.5**0.5], [0, 0, 0.5**0.5], [0.5**0.5, 0.5**0.5, 0]])
    assert correlation_distance(np.array([[1.0, -1.0], [-1.0, 1.0]]))[0, 1] == 1.0


def test_similar_assets_stand_side_by_side() -> None:
    """Assets 0 and 2, 1 and 3 move together."""
    covariance = np.array([[1, 0, 0.9, 0], [0, 1, 0, 0.8], [0.9, 0, 1, 0], [0, 0.8, 0, 1.0]])
    order = quasi_diagonal_order(covariance).tolist()
    assert abs(order.index(0) - order.index(2)) == 1
    assert abs(order.index(1) - order.index(3)) == 1


def test_four_uncorrelated_assets_by_hand() -> None:
    """Variances 1 1 4 4, every pair at the same distance, so any order may be the leaves'.

    Halves {1, 1}, {4, 4} have inverse-variance variances 1/2 and 2 and share 4 : 1, then split equally; halves {1, 4}
    have 0.8 each, share equally and split 4 : 1. Both give the same weights.
    """
    np.testing.assert_allclose(hrp_weights(np.diag([1.0, 1.0, 4.0, 4.0])), [0.4, 0.4, 0.1, 0.1])


def linked_by_exact_sums(covariance: np.ndarray) -> list[int]:
    """The order that scipy's own distances give, summed difference by difference."""
    return leaves_list(linkage(pdist(correlation_distance(covariance).T), method="single")).tolist()


@pytest.mark.parametrize("names", [3, 30, 150, 400])
def test_the_order_is_that_of_exactly_summed_distances(names: int) -> None:
    rng = np.random.default_rng(names)
    loadings = rng.normal(size=(names, 5))
    covariance = loadings @ loadings.T * 1e-5 + np.diag(rng.uniform(1e-4, 9e-4, names))
    assert quasi_diagonal_order(covariance).tolist() == linked_by_exact_sums(covariance)


@settings(max_examples=200)
@given(st.integers(2, 30), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_the_tree_is_scipys_also_where_distances_are_equal(names: int, values: int, seed: int) -> None:
    d = np.triu(np.random.default_rng(seed).integers(0, values, (names, names)), 1).astype(np.float64)
    d = d + d.T
    assert single_linkage_leaves(d).tolist() == leaves_list(linkage(squareform(d, checks=False), method="single")).tolist()


def test_names_that_lie_equally_far_are_linked_by_their_numbers_whatever_rounding_says() -> None:
    """Ten blocks of six, correlated 0.7 inside, 0.1 outside: two distances make up all 1,770."""
    correlation = np.full((60, 60), 0.1) + np.kron(np.eye(10), np.full((6, 6), 0.6))
    np.fill_diagonal(correlation, 1.0)
    covariance = correlation * np.outer(*2 * [np.linspace(0.01, 0.04, 60)])
    two_values = np.round(pdist(correlation_distance(covariance).T), 6)
    assert len(set(two_values)) == 2
    by_number = leaves_list(linkage(two_values, method="single")).tolist()
    assert quasi_diagonal_order(covariance).tolist() == by_number
    assert linked_by_exact_sums(covariance) != by_number, "exact sums differ in their last bit"


def test_copies_lie_at_no_distance_and_side_by_side() -> None:
    covariance = np.cov(papers_market(), rowvar=False)[np.ix_([0, 1, 2, 3, 1], [0, 1, 2, 3, 1])]
    between = column_distance(correlation_distance(covariance))
    assert between[1, 4] == 0.0 and between[0, 1] > 0.1
    order = quasi_diagonal_order(covariance).tolist()
    assert abs(order.index(1) - order.index(4)) == 1


def test_distances_are_those_of_exact_sums() -> None:
    d = correlation_distance(np.cov(papers_market(), rowvar=False))
    np.testing.assert_allclose(column_distance(d), squareform(pdist(d.T)), atol=1e-8)


def test_one_asset_is_the_whole() -> None:
    assert hrp_weights(np.array([[0.04]])).tolist() == [1.0]


@settings(max_examples=60)
@given(st.integers(2, 40), st.integers(0, 1000), st.floats(1e-4, 1e4))
def test_weights_are_long_sum_to_one_and_ignore_scale(n: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    returns = rng.normal(size=(3 * n, n)) + rng.normal(size=(3 * n, 1))
    covariance = np.cov(returns, rowvar=False)
    weights = hrp_weights(covariance)
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(hrp_weights(covariance * scale), weights, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.ones((2, 3)), np.array([[1.0, np.nan], [np.nan, 1.0]]), np.zeros((2, 2))])
def test_what_is_no_covariance_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(InvariantBroken):
        hrp_weights(bad)
