"""From scores to probabilities: fitted out of fold, judged where nothing was fitted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trainer.samples import Samples
from trainer.validation.probabilities import GROUPS, KNOTS, calibrate

K = 5


def rows_of(signal: float, seed: int = 0, sessions: int = 300, names: int = 40) -> tuple[Samples, np.ndarray]:
    """Rows whose label beats the median with probability sigmoid(signal x score), and the scores."""
    rng = np.random.default_rng(seed)
    t0 = np.repeat(np.arange(sessions), names)
    score = rng.normal(size=len(t0))
    beats = rng.random(len(t0)) < 1 / (1 + np.exp(-signal * score))
    target = np.where(beats, 1.0, -1.0) * rng.uniform(0.1, 1.0, len(t0))
    return Samples(
        sessions=np.busday_offset(np.datetime64("2020-01-01"), np.arange(sessions + K + 2), roll="forward"),
        symbols=tuple(f"N{i:02d}" for i in range(names)), names=("f",), t0=t0, t1=t0 + K + 1,
        column=np.tile(np.arange(names), sessions), features=np.zeros((len(t0), 1), np.float32), label=target,
        target=target, weight=np.ones(len(t0)),
    ), score  # fmt: skip


def test_platt_finds_the_slope_that_made_the_outcomes() -> None:
    rows, score = rows_of(0.5)
    found = calibrate(rows, score, is_log_odds=False)
    assert found is not None
    assert found.platt.slope == pytest.approx(0.5, abs=0.05)
    assert found.platt.intercept == pytest.approx(0.0, abs=0.05)
    assert found.temperature is None


def test_a_log_odds_twice_too_sure_has_a_temperature_of_two() -> None:
    rows, score = rows_of(1.0, seed=1)
    found = calibrate(rows, 2.0 * score, is_log_odds=True)
    assert found is not None and found.temperature is not None
    assert found.temperature.temperature == pytest.approx(2.0, rel=0.08)


def test_an_informed_score_beats_saying_one_half_and_a_random_one_does_not_pretend() -> None:
    rows, score = rows_of(0.8, seed=2)
    found = calibrate(rows, score, is_log_odds=False)
    assert found is not None
    assert found.figures["platt"]["brier"] < found.figures["none"]["brier"] == 0.25
    assert found.figures["none"]["log_loss"] == pytest.approx(np.log(2))
    noise = calibrate(rows, np.random.default_rng(9).normal(size=len(score)), is_log_odds=False)
    assert noise is not None
    assert noise.figures["platt"]["brier"] == pytest.approx(0.25, abs=0.002)
    assert max(abs(group.said - 0.5) for group in noise.groups) < 0.03


def test_the_groups_hold_every_later_row_once_and_said_is_near_what_came() -> None:
    rows, score = rows_of(1.0, seed=3)
    found = calibrate(rows, score, is_log_odds=False)
    assert found is not None
    assert len(found.groups) == GROUPS
    assert sum(group.rows for group in found.groups) == int((rows.t0 >= 150).sum())
    assert max(abs(group.said - group.came) for group in found.groups) < 0.06


def test_figures_of_the_later_half_depend_on_no_label_that_ends_in_it() -> None:
    """Earlier rows whose labels end in the later half are not learned from: spoiling them changes nothing."""
    rows, score = rows_of(0.6, seed=4)
    reaching = (rows.t0 < 150) & (rows.t1 >= 150)
    assert reaching.any()
    spoiled = replace(rows, target=np.where(reaching, -rows.target, rows.target))
    before, after = (calibrate(r, score, is_log_odds=False) for r in (rows, spoiled))
    assert before is not None and after is not None
    assert before.figures == after.figures


def test_the_stored_steps_stay_within_a_step_of_the_fitted_ones() -> None:
    rows, score = rows_of(1.5, seed=5)
    found = calibrate(rows, score, is_log_odds=False)
    assert found is not None
    assert len(found.isotonic.knots) <= KNOTS
    assert (np.diff(found.isotonic.levels) >= 0).all()
    inner = np.quantile(score, [0.05, 0.5, 0.95])
    np.testing.assert_allclose(found.isotonic.probability(inner), 1 / (1 + np.exp(-1.5 * inner)), atol=0.08)


@pytest.mark.parametrize("score", ["constant", "few"])
def test_what_cannot_be_calibrated_is_left_out(score: str) -> None:
    rows, values = rows_of(1.0, sessions=300 if score == "constant" else 6)
    given = np.zeros_like(values) if score == "constant" else values
    assert calibrate(rows, given, is_log_odds=False) is None
