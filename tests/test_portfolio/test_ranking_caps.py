from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, rankdata

from portfolio.policy.caps import cap_names
from portfolio.policy.selection import top_and_bottom, top_quantile
from signals.scoring.scores import average_ranks, inverse_normal

PROPERTY = settings(max_examples=100)
SCORES = arrays(np.float64, st.integers(1, 60), elements=st.integers(-9, 9).map(float))
WEIGHTS = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1, 1, allow_nan=False, allow_subnormal=False))


@PROPERTY
@given(SCORES)
def test_ranks_and_z_equal_scipy_ties_included(values: np.ndarray) -> None:
    np.testing.assert_array_equal(average_ranks(values), rankdata(values))
    expected = np.clip(norm.ppf((rankdata(values) - 0.5) / values.size), -3, 3)
    np.testing.assert_allclose(inverse_normal(values), expected, atol=1e-12)


def test_z_is_clipped_at_three() -> None:
    """Phi^-1(0.5 / 1000) is -3.29."""
    z = inverse_normal(np.arange(1000.0))
    assert z[0] == -3.0 and z[-1] == 3.0
    assert z[1] == pytest.approx(norm.ppf(0.0015))


@PROPERTY
@given(SCORES)
def test_z_depends_on_order_alone_and_mirrors(values: np.ndarray) -> None:
    np.testing.assert_array_equal(inverse_normal(values), inverse_normal(np.exp(values)))
    np.testing.assert_allclose(inverse_normal(-values), -inverse_normal(values), atol=1e-12)


def test_excess_goes_to_the_uncapped_in_proportion() -> None:
    """0.30 and 0.12 over a cap of 0.2: 0.1 is shared 12 : 8 : 0 on the long side; the short side is untouched."""
    capped = cap_names(np.array([0.30, 0.12, 0.08, -0.15, -0.10]), 0.2)
    np.testing.assert_allclose(capped, [0.2, 0.18, 0.12, -0.15, -0.10], atol=1e-15)


def test_redistribution_cascades() -> None:
    """0.5 0.3 0.2 at a cap of 0.35: 0.15 goes 3 : 2, lifts the second to 0.39, whose 0.04 goes to the third."""
    np.testing.assert_allclose(cap_names(np.array([0.5, 0.3, 0.2]), 0.35), [0.35, 0.35, 0.30], atol=1e-15)


def test_what_finds_no_room_stays_cash() -> None:
    """Five names a side at a cap of 0.045 hold 0.225 a side, whatever was asked."""
    book = cap_names(np.array([0.1] * 5 + [-0.1] * 5), 0.045)
    np.testing.assert_allclose(np.abs(book), 0.045)
    assert book.sum() == pytest.approx(0)


@PROPERTY
@given(WEIGHTS, st.floats(0.01, 1.0))
def test_caps_keep_signs_order_and_gross(weights: np.ndarray, cap: float) -> None:
    capped = cap_names(weights, cap)
    assert np.abs(capped).max() <= cap + 1e-12
    assert np.array_equal(np.sign(capped), np.sign(weights))
    for sign in (1, -1):
        side = np.flatnonzero(np.sign(weights) == sign)
        room = min(np.abs(weights[side]).sum(), cap * side.size)
        assert np.abs(capped[side]).sum() == pytest.approx(room, abs=1e-9)
        order = np.argsort(np.abs(weights[side]), kind="stable")
        assert bool(np.all(np.diff(np.abs(capped[side][order])) >= -1e-12))
    np.testing.assert_allclose(cap_names(capped, cap), capped, atol=1e-12)


def test_top_and_bottom_holds_each_side_at_half_in_proportion_to_z() -> None:
    book = top_and_bottom(np.array([2.0, 1.0, 0.0, -1.0, -3.0]), np.zeros(5), 2)
    np.testing.assert_allclose(book, [1 / 3, 1 / 6, 0, -1 / 8, -3 / 8])


def test_sides_never_overlap_however_many_names_are_asked_for() -> None:
    book = top_and_bottom(np.array([1.0, 0.0, -1.0]), np.zeros(3), 50)
    np.testing.assert_allclose(book, [0.5, 0, -0.5])


def test_a_tie_at_the_edge_goes_to_the_name_that_is_held_then_to_the_first() -> None:
    z = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    assert np.flatnonzero(top_and_bottom(z, np.zeros(6), 1)).tolist() == [0, 3]
    held = np.array([0, 0, 0.1, 0.1, -0.1, 0])
    assert np.flatnonzero(top_and_bottom(z, held, 1)).tolist() == [2, 4]


def test_long_only_weights_vanish_at_the_exit() -> None:
    """Ten names, z by rank, exit at the 40 % quantile (z -0.2533): weights are z + 0.2533, normalised."""
    z = inverse_normal(np.arange(10.0))
    book = top_quantile(z, np.zeros(10), 0.8, 0.4, 10)
    above = norm.ppf([0.85, 0.95]) - norm.ppf(0.4)
    np.testing.assert_allclose(book[8:], above / above.sum())
    assert np.flatnonzero(top_quantile(z, np.full(10, 0.1), 0.8, 0.4, 10)).tolist() == [4, 5, 6, 7, 8, 9]
    assert np.flatnonzero(top_quantile(z, np.full(10, 0.1), 0.8, 0.4, 3)).tolist() == [7, 8, 9]
