"""SVI slices: printed cases, derivatives, repairs, and the arbitrage that may not pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trainer.options.svi import (
    JumpWings,
    Ssvi,
    Svi,
    _jacobian,
    _residuals,
    bent,
    checked,
    fitted,
    guaranteed,
    jump_wings,
    of_jump_wings,
    repaired,
    slice_of,
)

VOGT = Svi(-0.0410, 0.1331, 0.3060, 0.3586, 0.4153)
K = np.linspace(-1.5, 1.5, 301)


def test_vogts_slice_has_a_butterfly_arbitrage_and_the_printed_jump_wings() -> None:
    """Gatheral and Jacquier 2014, example 3.1: g falls below 0 near k = 0.8."""
    assert VOGT.g(K).min() < -0.005 and VOGT.w(K).min() > 0.0 and max(VOGT.slopes) < 2.0
    found = jump_wings(VOGT, 1.0)
    for ours, printed in zip(vars(found).values(), (0.01742625, -0.1752111, 0.6997381, 1.316798, 0.0116249), strict=True):
        assert ours == pytest.approx(printed, abs=1e-6)


def test_the_guaranteed_repair_is_the_printed_one_and_has_none() -> None:
    """GJ example 5.1: the same v, psi and p, with c' 0.3493158 and the least variance 0.01548182."""
    repaired = guaranteed(VOGT, 1.0)
    known, found = jump_wings(VOGT, 1.0), jump_wings(repaired, 1.0)
    assert (found.v, found.psi, found.p) == pytest.approx((known.v, known.psi, known.p), abs=1e-9)
    assert (found.c, found.least_v) == pytest.approx((0.3493158, 0.01548182), abs=1e-7)
    assert repaired.g(K).min() >= 0.0


@pytest.mark.parametrize("raw", [VOGT, Svi(0.01, 0.1, -0.6, 0.05, 0.1), Svi(0.004, 0.2, 0.2, -0.1, 0.3)])
def test_jump_wings_and_raw_parameters_are_two_forms_of_one_slice(raw: Svi) -> None:
    for t in (0.1, 1.0, 2.0):
        back = of_jump_wings(jump_wings(raw, t), t)
        assert vars(back) == pytest.approx(vars(raw), abs=1e-9)


def test_a_symmetric_slice_at_the_money_is_found_again() -> None:
    """m = 0: the general formula divides by nothing."""
    raw = Svi(0.01, 0.1, -0.3, 0.0, 0.2)
    skewed = jump_wings(raw, 1.0)
    assert vars(of_jump_wings(JumpWings(**vars(skewed)), 1.0)) == pytest.approx(vars(raw), abs=1e-9)


def wavy() -> Svi:
    """Return Vogt's slice, bent to quotes that wave around it from -0.5 to 0.5."""
    k = np.linspace(-0.5, 0.5, 81)
    bend = bent(VOGT, k, np.sqrt(VOGT.w(k) + 0.001 * np.sin(12.0 * k)), np.full(81, 0.001**-2))
    return replace(VOGT, bend=bend)


@pytest.mark.parametrize("curve", [VOGT, wavy()])
def test_derivatives_are_those_of_finite_differences(curve: Svi) -> None:
    h, k = 1e-5, np.array([-0.7, -0.5, -0.1, 0.0, 0.3, 0.5, 1.1])
    first, second = curve.derivatives(k)
    np.testing.assert_allclose(first, (curve.w(k + h) - curve.w(k - h)) / (2 * h), atol=1e-8)
    np.testing.assert_allclose(second, (curve.w(k + h) - 2 * curve.w(k) + curve.w(k - h)) / h**2, atol=1e-4)


def test_the_derivatives_that_a_fit_descends_by_are_those_of_finite_differences() -> None:
    """Of every quote's weighted error by a, logit L/2, logit R/2, m and ln sigma."""
    theta, k = np.array([0.004, -1.2, -2.0, 0.05, -1.5]), np.linspace(-0.5, 0.4, 21)
    given = (k, np.full(21, 0.2), np.linspace(1.0, 3.0, 21))
    steps = 1e-6 * np.eye(5)
    numeric = [(_residuals(theta + step, *given) - _residuals(theta - step, *given)) / 2e-6 for step in steps]
    np.testing.assert_allclose(_jacobian(theta, *given), np.stack(numeric, axis=1), rtol=1e-6, atol=1e-8)


def test_a_bent_slice_follows_its_quotes_and_keeps_the_wings_of_the_five_numbers() -> None:
    k, far = np.linspace(-0.5, 0.5, 81), np.array([-3.0, -1.0, 1.0, 3.0])
    curve, quoted = wavy(), VOGT.w(k) + 0.001 * np.sin(12.0 * k)
    assert np.abs(VOGT.w(k) - quoted).max() > 9e-4 > 3 * np.abs(curve.w(k) - quoted).max()
    np.testing.assert_array_equal(curve.w(far), VOGT.w(far))
    assert np.abs(np.diff(curve.w(np.linspace(-0.8, 0.8, 16_001)), 2)).max() < 1e-7, "it has no jump and no kink"
    assert curve.slopes == VOGT.slopes
    assert jump_wings(curve, 1.0).psi > jump_wings(VOGT, 1.0).psi + 0.01  # at the money the wave rises


def test_a_fit_finds_a_slice_exactly_and_needs_six_quotes() -> None:
    k, raw = np.linspace(-0.4, 0.25, 40), Svi(-0.01, 0.12, -0.6, 0.02, 0.15)
    found = fitted(k, np.sqrt(raw.w(k)), np.ones(40))
    assert found is not None
    np.testing.assert_allclose(found.w(k), raw.w(k), rtol=1e-5)
    assert fitted(k[:5], np.sqrt(raw.w(k[:5])), np.ones(5)) is None


def test_slopes_stay_at_most_two_whatever_the_quotes_say() -> None:
    """Total variance 5 |k| in the wings: steeper than any law of a price."""
    k = np.linspace(-0.5, 0.5, 41)
    found = fitted(k, np.sqrt(0.01 + 5.0 * np.abs(k)), np.ones(41))
    assert found is not None and max(found.slopes) <= 2.0


def test_a_repair_has_no_butterfly_and_stays_above_the_slice_before() -> None:
    k = np.linspace(-1.0, 1.0, 61)
    start = fitted(k, np.sqrt(VOGT.w(k)), np.ones(61))
    floor = np.full(len(places := checked(k)), 0.0135)
    assert start is not None and start.g(places).min() < 0.0 and start.w(places).min() < 0.0135
    found = repaired(start, (k, np.sqrt(VOGT.w(k)), np.ones(61)), places, floor)
    assert found.g(places).min() >= 0.0 and found.w(places).min() >= 0.0135


def test_a_repair_may_begin_at_a_corner() -> None:
    k = np.linspace(-1.0, 1.0, 61)
    corner = Svi(0.04, 0.2, -0.3, 0.0, 0.0)
    found = repaired(corner, (k, np.sqrt(corner.w(k)), np.ones(61)), checked(k), np.zeros(121))
    assert np.sqrt(np.mean((np.sqrt(found.w(k)) - np.sqrt(corner.w(k))) ** 2)) < 0.01


def test_ssvi_is_free_of_arbitrage_at_the_edge_of_its_parameters() -> None:
    """The largest eta, and times whose theta differ by nothing."""
    for rho, gamma in ((-0.9, 0.5), (0.0, 0.1), (0.6, 0.3)):
        surface = Ssvi(rho, 2.0 / (1.0 + abs(rho)), gamma, (0.1, 0.5, 1.0), (0.01, 0.01, 0.06))
        before = np.zeros(len(K))
        for years in (0.05, 0.1, 0.3, 0.5, 0.8, 1.0, 2.0):
            curve = surface.at(years)
            assert curve.g(K).min() > -1e-9
            assert (curve.w(K) >= before - 1e-12).all()
            before = curve.w(K)


def test_a_ssvi_slice_is_its_own_formula() -> None:
    rho, eta, gamma, theta = -0.4, 0.9, 0.35, 0.05
    phi = eta / (theta**gamma * (1 + theta) ** (1 - gamma))
    expected = theta / 2 * (1 + rho * phi * K + np.sqrt((phi * K + rho) ** 2 + 1 - rho**2))
    np.testing.assert_allclose(slice_of(rho, eta, gamma, theta).w(K), expected, rtol=1e-12)
