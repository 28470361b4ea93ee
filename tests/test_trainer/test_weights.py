"""Weights by age and uniqueness: half as much one half-life ago, and nothing unless asked for."""

from __future__ import annotations

import numpy as np
import pytest

from signals.errors import InvariantBroken, TooLittleHistory
from signals.indicators.regimes import Regime, regimes
from tests.fakes.labelled import market, samples_of
from trainer.labels.weights import WeightConfig, average_uniqueness, reweighted, time_decay, uniqueness_by_symbol
from trainer.learners.linear import Ridge
from trainer.learners.parameters import RidgeConfig
from trainer.samples.samples import Samples
from trainer.validation.splits.oof import fit, fit_all


def test_a_row_one_half_life_older_weighs_half() -> None:
    assert time_decay(np.array([0, 63, 126]), 3.0).tolist() == [0.25, 0.5, 1.0]


def test_nothing_is_changed_unless_something_is_turned_on() -> None:
    weight = np.array([1.0, 2.0])
    ones = np.array([1, 1])
    assert reweighted(weight, ones - 1, ones, ones, WeightConfig()) is weight


def test_decay_keeps_the_mean_at_one_and_sessions_in_proportion() -> None:
    rows, _ = market(1, sessions=200)
    found = reweighted(rows.weight, rows.t0, rows.t1, rows.column, WeightConfig(half_life_months=1.0))
    assert found.mean() == pytest.approx(1.0)
    totals = np.bincount(rows.t0, weights=found)
    assert totals[150] / totals[129] == pytest.approx(2.0)


def test_uniqueness_is_that_of_each_symbol_apart() -> None:
    """Two names with interleaved rows: each as if it were only; lives start after the features' session."""
    t0, t1 = np.array([0, 0, 2, 3, 5]), np.array([3, 2, 4, 6, 7])
    column = np.array([0, 1, 0, 1, 1])
    found = uniqueness_by_symbol(t0, t1, column)
    for name in (0, 1):
        own = column == name
        np.testing.assert_allclose(found[own], average_uniqueness(t0[own] + 1, t1[own]))
    assert found[0] == pytest.approx((1 + 1 + 0.5) / 3)  # sessions 1, 2, 3; the other label lives on 3 and 4


def test_both_multiply() -> None:
    t0, t1, column = np.array([0, 21]), np.array([2, 23]), np.array([0, 0])
    config = WeightConfig(half_life_months=1.0, uniqueness=True)
    np.testing.assert_allclose(reweighted(np.ones(2), t0, t1, column, config), [2 / 3, 4 / 3])


def masked(weights: dict[Regime, float], spoiled: bool = False) -> tuple[Samples, np.ndarray]:
    """Rows of a market that is calm and wild by turns; the labels of the wild ones may be garbage."""
    rng = np.random.default_rng(3)
    sessions, names = 700, 12
    size = np.where(np.arange(sessions) // 60 % 2 == 0, 0.004, 0.03)
    market = rng.normal(size=sessions) * size
    t0 = np.repeat(np.arange(300, sessions - 10), names)
    features = rng.normal(size=(len(t0), 2)).astype(np.float32)
    target = features[:, 0] + 0.1 * rng.normal(size=len(t0))
    kinds = regimes(market)
    wild = np.isin(kinds[t0], [Regime.WILD_RISING.value, Regime.WILD_FALLING.value])
    if spoiled:
        target = np.where(wild, -5.0 * features[:, 0], target)
    config = WeightConfig(regimes=weights)
    rows = samples_of(
        sessions=np.busday_offset(np.datetime64("2020-01-01"), np.arange(sessions), roll="forward"),
        symbols=tuple(f"N{i:02d}" for i in range(names)),
        names=("a", "b"),
        t0=t0,
        t1=t0 + 6,
        column=np.tile(np.arange(names), sessions - 310),
        features=features,
        label=target,
        target=target,
        weight=reweighted(np.ones(len(t0)), t0, t0 + 6, np.tile(np.arange(names), sessions - 310), config, market),
    )
    return rows, wild


NO_WILD = {Regime.WILD_RISING: 0.0, Regime.WILD_FALLING: 0.0}


def test_a_masked_regime_is_never_learned_from() -> None:
    """Garbage labels in the masked sessions change no bit of the model; unmasked, they do."""
    learner = Ridge(RidgeConfig())
    clean, wild = masked(NO_WILD)
    assert wild.any() and (clean.weight[wild] == 0).all() and (clean.weight[~wild] > 0).all()
    assert clean.weight.mean() == pytest.approx(1.0)
    assert fit_all(clean, learner) == fit_all(masked(NO_WILD, spoiled=True)[0], learner)
    assert fit_all(masked({})[0], learner) != fit_all(masked({}, spoiled=True)[0], learner)


def test_a_regime_may_weigh_more_without_being_alone() -> None:
    rows, wild = masked({Regime.WILD_RISING: 3.0, Regime.WILD_FALLING: 3.0})
    assert rows.weight[wild].mean() == pytest.approx(3.0 * rows.weight[~wild].mean())


def test_a_mask_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="every regime"):
        WeightConfig(regimes=dict.fromkeys(Regime, 0.0))
    with pytest.raises(TooLittleHistory, match="no row is left"):
        masked({regime: 0.0 for regime in Regime if regime is not Regime.UNKNOWN})
    rows, _ = masked(NO_WILD)
    with pytest.raises(TooLittleHistory, match="fold"):
        fit(rows, Ridge(RidgeConfig()), np.flatnonzero(rows.weight == 0))
    with pytest.raises(InvariantBroken, match="market"):
        reweighted(np.ones(3), np.arange(3), np.arange(3), np.arange(3), WeightConfig(regimes=NO_WILD))
