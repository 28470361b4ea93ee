from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from portfolio.risk.evidence import evidence_share
from portfolio.risk.kelly import (
    SizingCoefficient,
    grinold_mean,
    kelly_fraction,
    kelly_growth,
    kelly_growth_share,
    kelly_scalar,
    kelly_weights,
)
from portfolio.risk.model import annual_volatility, volatility_scalar
from signals.errors import InvariantBroken
from signals.scoring.scores import shrunk_ic


def test_single_asset_kelly() -> None:
    """m .11, r .06, s .15: f* 2.2222 and growth .115556 including r."""
    fraction = kelly_fraction(0.11, 0.06, 0.15)
    assert fraction == pytest.approx(2.2222, abs=5e-5)
    assert kelly_growth(fraction, 0.11, 0.06, 0.15) == pytest.approx(0.115556, abs=5e-7)


def test_half_kelly_keeps_three_quarters_of_the_excess_growth() -> None:
    full = kelly_fraction(0.11, 0.06, 0.15)
    half = kelly_growth(full / 2, 0.11, 0.06, 0.15) - 0.06
    assert half / (kelly_growth(full, 0.11, 0.06, 0.15) - 0.06) == pytest.approx(0.75)
    assert kelly_growth_share(0.5) == 0.75
    assert kelly_growth_share(1.0) == 1.0


def test_many_assets_by_hand() -> None:
    """Sigma = [[.04, .01], [.01, .09]], det .0035; Sigma^-1 (.02, .03) = (.0015, .001) / .0035."""
    weights = kelly_weights(np.array([0.02, 0.03]), np.array([[0.04, 0.01], [0.01, 0.09]]))
    np.testing.assert_allclose(weights, [0.0015 / 0.0035, 0.001 / 0.0035])


def test_the_scalar_is_the_best_multiple_of_the_book() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    covariance, mu, w = root @ root.T / 100, rng.normal(size=6) / 50, rng.normal(size=6)

    def loss(f: float) -> float:
        return -(f * float(w @ mu) - f * f / 2 * float(w @ covariance @ w))

    assert kelly_scalar(w, mu, covariance) == pytest.approx(minimize_scalar(loss).x, abs=1e-6)
    assert kelly_scalar(np.zeros(6), mu, covariance) == 0.0


def test_the_full_kelly_book_has_scalar_one() -> None:
    covariance, mu = np.array([[0.04, 0.01], [0.01, 0.09]]), np.array([0.02, 0.03])
    assert kelly_scalar(kelly_weights(mu, covariance), mu, covariance) == pytest.approx(1.0)


@pytest.mark.parametrize(("mean", "t", "expected"), [(0.02, 1.0, 0.01), (0.02, 3.0, 0.018), (0.02, 0.0, 0.0), (-0.02, -2.0, -0.016)])
def test_an_ic_is_shrunk_by_its_own_evidence(mean: float, t: float, expected: float) -> None:
    assert shrunk_ic(mean, t) == pytest.approx(expected)
    assert SizingCoefficient(mean, t, None).shrunk == pytest.approx(expected)


@pytest.mark.parametrize(("mean", "t", "book_t"), [(math.nan, 1.0, 2.0), (0.1, math.inf, 2.0), (1.5, 2.0, 2.0), (0.1, 2.0, math.nan)])
def test_an_ic_that_cannot_be_is_refused(mean: float, t: float, book_t: float) -> None:
    with pytest.raises(InvariantBroken):
        SizingCoefficient(mean, t, book_t)


@pytest.mark.parametrize(("t", "share"), [(None, 0.0), (-4.0, 0.0), (0.9, 0.0), (1.0, 0.0), (1.25, 0.36), (2.0, 0.75), (math.inf, 1.0)])
def test_evidence_leaves_a_share_of_the_book_and_none_at_a_t_of_one(t: float | None, share: float) -> None:
    ic = SizingCoefficient(0.02, 3.0, t)
    assert ic.evidence == evidence_share(t) == pytest.approx(share)
    assert ic.before_evidence().evidence == 1.0


def test_expected_return_is_volatility_times_ic_times_score() -> None:
    np.testing.assert_allclose(grinold_mean(0.02, np.array([0.04, 0.05]), np.array([1.5, -2.0])), [0.0012, -0.002])


def test_forecast_volatility_is_annualised_from_the_horizon() -> None:
    """Weight 0.5 on a 4 % five-session volatility: 0.02 sqrt(252 / 5) = 0.141986."""
    forecast = annual_volatility(np.array([0.5]), np.array([[0.0016]]), 5)
    assert forecast == pytest.approx(0.1419859, abs=1e-7)
    assert volatility_scalar(forecast, 0.10) == pytest.approx(0.704295, abs=1e-6)
    assert volatility_scalar(0.0, 0.10) == math.inf
