"""Calibration scores and maps, against hand-worked numbers and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from signals.errors import InvariantBroken
from trainer.validation.calibration import (
    brier_score,
    expected_calibration_error,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    log_loss,
    reliability,
)

Y, P = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.9, 0.8, 0.3])


def drawn(seed: int = 0, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Scores whose true probability is sigmoid(2 s - 0.5)."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=count)
    return scores, (rng.random(count) < expit(2.0 * scores - 0.5)).astype(float)


def test_brier_and_log_loss_of_four_forecasts() -> None:
    assert brier_score(Y, P) == pytest.approx(0.0375)
    assert log_loss(Y, P) == pytest.approx(0.1976349, abs=1e-7)
    assert (brier_score(Y, P), log_loss(Y, P)) == pytest.approx((brier_score_loss(Y, P), sklearn_log_loss(Y, P)))


def test_a_certain_and_wrong_forecast_costs_much_but_is_finite() -> None:
    assert 30.0 < log_loss(np.array([1.0]), np.array([0.0])) < 40.0


def test_calibration_error_by_hand() -> None:
    """Two bins: {.1, .3} said .2 saw 0; {.9, .8} said .85 saw 1: half .2 and half .15."""
    assert expected_calibration_error(Y, P, bins=2) == pytest.approx(0.175)


def test_the_reliability_curve_is_scikit_learn_s() -> None:
    scores, outcomes = drawn()
    probabilities = expit(scores)
    count, said, seen = reliability(outcomes, probabilities)
    theirs_seen, theirs_said = calibration_curve(outcomes, probabilities, n_bins=10)
    np.testing.assert_allclose(said[count > 0], theirs_said)
    np.testing.assert_allclose(seen[count > 0], theirs_seen)


def test_platt_finds_the_sigmoid_and_agrees_with_unpenalised_logistic_regression() -> None:
    """20,000 rows: the smoothed targets differ from 0 and 1 by 1e-4, the fits by no more."""
    scores, outcomes = drawn()
    ours = fit_platt(scores, outcomes)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(scores[:, None], outcomes)
    assert (ours.slope, ours.intercept) == pytest.approx((theirs.coef_[0, 0], theirs.intercept_[0]), abs=5e-3)
    assert (ours.slope, ours.intercept) == pytest.approx((2.0, -0.5), abs=0.1)


def test_platt_does_not_depend_on_the_scores_scale() -> None:
    scores, outcomes = drawn(count=500)
    np.testing.assert_allclose(
        fit_platt(1e-4 * scores, outcomes).probability(1e-4 * scores),
        fit_platt(scores, outcomes).probability(scores),
        atol=1e-6,
    )


def test_platt_of_separable_outcomes_stays_finite() -> None:
    found = fit_platt(np.array([-1.0, -0.5, 0.5, 1.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite([found.slope, found.intercept]).all()


def test_isotonic_is_scikit_learn_s() -> None:
    scores, outcomes = drawn(count=2000)
    scores = np.round(scores, 2)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, outcomes)
    grid = np.linspace(-5, 5, 300)
    np.testing.assert_allclose(fit_isotonic(scores, outcomes).probability(grid), theirs.predict(grid), atol=1e-12)


def test_temperature_recovers_how_overconfident_logits_were() -> None:
    scores, outcomes = drawn()
    overconfident = 3.0 * (2.0 * scores - 0.5)
    found = fit_temperature(overconfident, outcomes)
    assert found.temperature == pytest.approx(3.0, rel=0.05)
    raw = expit(overconfident)
    assert expected_calibration_error(outcomes, found.probability(overconfident)) < expected_calibration_error(
        outcomes, raw
    )
    assert logit(found.probability(np.array([3.0])))[0] == pytest.approx(3.0 / found.temperature)


def test_one_sided_outcomes_and_impossible_probabilities_are_refused() -> None:
    with pytest.raises(InvariantBroken, match="both outcomes"):
        fit_platt(np.arange(3.0), np.ones(3))
    with pytest.raises(InvariantBroken, match="outside"):
        brier_score(Y, P + 0.5)
    with pytest.raises(InvariantBroken, match="shape"):
        log_loss(Y, P[:3])
