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
    equal_mass,
    expected_calibration_error,
    fit_isotonic,
    fit_platt,
    fit_temperature,
    log_loss,
    reliability,
    slope_of,
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
    """Two bins: {.1, .3} said .2 saw 0; {.8, .9} said .85 saw 1: half .2 and half .15."""
    assert expected_calibration_error(Y, P, bins=2) == pytest.approx(0.175)


def test_the_reliability_curve_is_scikit_learn_s_of_equal_mass() -> None:
    """Their bins end at quantiles, ours hold the same count: 20,000 rows in ten bins differ by a row at an edge."""
    scores, outcomes = drawn()
    probabilities = expit(scores)
    count, said, seen = reliability(outcomes, probabilities)
    theirs_seen, theirs_said = calibration_curve(outcomes, probabilities, n_bins=10, strategy="quantile")
    assert count.tolist() == [2000.0] * 10
    np.testing.assert_allclose(said, theirs_said, atol=1e-3)
    np.testing.assert_allclose(seen, theirs_seen, atol=1e-3)


def test_bins_of_equal_mass_are_all_in_use_where_a_map_says_little() -> None:
    """Probabilities of 0.49 to 0.51: two of ten bins of equal width would hold them all."""
    rng = np.random.default_rng(1)
    said = rng.uniform(0.49, 0.51, 1000)
    count, _, _ = reliability((rng.random(1000) < 0.5).astype(float), said)
    assert count.tolist() == [100.0] * 10
    assert equal_mass(np.array([0.3, 0.1, 0.2]), 10).tolist() == [2, 0, 1]


def test_no_map_says_0_or_1() -> None:
    """Even of outcomes that a score separates, and of scores far beyond those that were seen."""
    scores, outcomes = np.linspace(-1.0, 1.0, 40), np.repeat([0.0, 1.0], 20)
    far = np.array([-1e9, *scores, 1e9])
    for found in (fit_platt(scores, outcomes), fit_isotonic(scores, outcomes), fit_temperature(scores, outcomes)):
        said = found.probability(far)
        assert said.min() > 0.0 and said.max() < 1.0
    steps = fit_isotonic(scores, outcomes)
    assert (steps.levels[0], steps.levels[-1]) == pytest.approx((1 / 22, 21 / 22)), "20 of 20: (20 + 1) / (20 + 2)"


def test_the_slope_s_error_is_that_of_repeated_histories() -> None:
    """100 histories of 250 sessions whose rows share a shock in each: the stated error is the spread that is seen."""
    slopes, errors = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        sessions = np.repeat(np.arange(250), 20)
        scores = rng.normal(size=5000)
        own = 0.5 * scores + 2.0 * rng.normal(size=250)[sessions] * scores  # what the score is worth differs by session
        found = slope_of(scores, (rng.random(5000) < expit(own)).astype(float), sessions, 1)
        slopes.append(found.slope)
        errors.append(found.standard_error)
    assert np.mean(errors) == pytest.approx(np.std(slopes), rel=0.2)


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
        fit_platt(1e-4 * scores, outcomes).probability(1e-4 * scores), fit_platt(scores, outcomes).probability(scores), atol=1e-6
    )


def test_platt_of_separable_outcomes_stays_finite() -> None:
    found = fit_platt(np.array([-1.0, -0.5, 0.5, 1.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite([found.slope, found.intercept]).all()


def test_isotonic_is_scikit_learn_s_but_for_the_levels_of_small_pools() -> None:
    """A pool of n rows is drawn in by (n+ + 1) / (n + 2), by 1 / (n + 2) at most."""
    scores, outcomes = drawn()
    scores = np.round(scores, 1)
    ours, theirs = fit_isotonic(scores, outcomes), IsotonicRegression(out_of_bounds="clip").fit(scores, outcomes)
    inner = np.linspace(-2, 2, 41)
    np.testing.assert_allclose(ours.probability(inner), theirs.predict(inner), atol=1e-2)
    assert (np.diff(ours.levels) >= 0).all()


def test_temperature_recovers_how_overconfident_logits_were() -> None:
    scores, outcomes = drawn()
    overconfident = 3.0 * (2.0 * scores - 0.5)
    found = fit_temperature(overconfident, outcomes)
    assert found.temperature == pytest.approx(3.0, rel=0.05)
    raw = expit(overconfident)
    assert expected_calibration_error(outcomes, found.probability(overconfident)) < expected_calibration_error(outcomes, raw)
    assert logit(found.probability(np.array([3.0])))[0] == pytest.approx(3.0 / found.temperature)


def test_one_sided_outcomes_and_impossible_probabilities_are_refused() -> None:
    with pytest.raises(InvariantBroken, match="both outcomes"):
        fit_platt(np.arange(3.0), np.ones(3))
    with pytest.raises(InvariantBroken, match="outside"):
        brier_score(Y, P + 0.5)
    with pytest.raises(InvariantBroken, match="shape"):
        log_loss(Y, P[:3])
