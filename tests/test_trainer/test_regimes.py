"""Regimes: what could be known on the evening, and nothing else."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.errors import DataNotUsable
from signals.indicators.regimes import (
    REFIT_SESSIONS,
    SIGMA,
    STAY,
    TREND_SESSIONS,
    WARM_UP_SESSIONS,
    WILD,
    WILD_SESSIONS,
    Regime,
    TwoStates,
    filter_states,
    fit_states,
    fitted_on,
    known_before,
    named,
    regimes,
    states_of,
    trend_regime,
    volatility_regime,
    wild_of,
    with_wild,
)
from signals.sleeves import SLEEVES
from tests.fakes.bars import synthetic_bars


def switching(seed: int = 0, sessions: int = 1200) -> tuple[np.ndarray, np.ndarray]:
    """Returns of a chain that is calm at 0.5 % and wild at 2 %, and its true states."""
    rng = np.random.default_rng(seed)
    state, states = 0, []
    for _ in range(sessions):
        state = state if rng.random() < 0.97 else 1 - state
        states.append(state)
    truth = np.array(states)
    return rng.normal(size=sessions) * np.where(truth, 0.02, 0.005), truth


def test_the_fit_finds_the_two_volatilities_and_how_long_they_last() -> None:
    returns, _ = switching(sessions=6000)
    found = fit_states(returns)
    np.testing.assert_allclose(found.sigma, [0.005, 0.02], rtol=0.08)
    np.testing.assert_allclose(found.stay, [0.97, 0.97], atol=0.015)


def test_two_sessions_of_the_filter_by_hand() -> None:
    """Start 1/2 each; densities of r = 0 are 1/sigma: calm : wild = 2 : 1, so 2/3. Then 0.9 stays: 19/30 before, and
    again 2 : 1: (19/30 x 2) / (19/30 x 2 + 11/30) = 38/49."""
    states = TwoStates(np.array([0.01, 0.02]), np.array([0.9, 0.9]))
    filtered = filter_states(np.zeros(2), states)
    assert filtered[0, 0] == pytest.approx(2 / 3)
    assert filtered[1, 0] == pytest.approx(38 / 49)


def test_the_wild_state_is_told_from_the_calm_one() -> None:
    returns, truth = switching(3)
    wild = volatility_regime(returns)
    known = np.isfinite(wild)
    assert ((wild[known] > 0.5) == truth[known].astype(bool)).mean() > 0.85


@settings(max_examples=5)
@given(st.integers(WARM_UP_SESSIONS, 700))
def test_the_future_changes_no_regime(cut: int) -> None:
    """Returns after the cut replaced by a crash: regimes up to it stay, wherever the parameters are fitted again."""
    returns, _ = switching(1, 800)
    changed = returns.copy()
    changed[cut + 1 :] = -0.2
    np.testing.assert_array_equal(volatility_regime(returns)[: cut + 1], volatility_regime(changed)[: cut + 1])
    np.testing.assert_array_equal(trend_regime(returns)[: cut + 1], trend_regime(changed)[: cut + 1])


def test_parameters_are_fitted_on_what_came_before_they_are_used() -> None:
    """A change within one stretch changes nothing before itself, even in the stretch's own first session."""
    returns, _ = switching(2, WARM_UP_SESSIONS + 2 * REFIT_SESSIONS)
    changed = returns.copy()
    changed[WARM_UP_SESSIONS + REFIT_SESSIONS - 1] = 0.3
    before = slice(0, WARM_UP_SESSIONS + REFIT_SESSIONS - 1)
    np.testing.assert_array_equal(volatility_regime(returns)[before], volatility_regime(changed)[before])


def test_a_rise_then_a_fall_turns_the_trend_once() -> None:
    market = np.concatenate([np.full(400, 0.001), np.full(300, -0.002)])
    above = trend_regime(market)
    assert np.isnan(above[: TREND_SESSIONS - 1]).all()
    turns = np.flatnonzero(np.diff(above[TREND_SESSIONS - 1 :]))
    assert len(turns) == 1
    assert above[399] == 1.0 and above[-1] == -1.0


def test_the_first_year_a_gap_and_a_still_market_are_unknown() -> None:
    returns, _ = switching(4)
    returns[600] = np.nan
    found = regimes(returns)
    assert (found[:WARM_UP_SESSIONS] == Regime.UNKNOWN.value).all()
    assert found[600] == Regime.UNKNOWN.value
    assert set(found[WARM_UP_SESSIONS:]) > {Regime.CALM_RISING.value, Regime.WILD_FALLING.value}
    assert (regimes(np.zeros(800)) == Regime.UNKNOWN.value).all()


def test_an_instrument_s_own_regime_is_of_the_sixty_sessions_before() -> None:
    """A calm rise, then wild falls: each session knows the sessions before it alone, and 60 of them give the same bits."""
    rng = np.random.default_rng(4)
    returns = np.concatenate([0.001 + 0.003 * rng.standard_normal(120), -0.012 + 0.02 * rng.standard_normal(40)])
    known = known_before(returns)
    assert np.isnan(known[:, :60]).all() and np.isfinite(known[:, 60:]).all()
    assert named(known)[115] == Regime.CALM_RISING and named(known)[150] == Regime.CALM_FALLING and named(known)[3] == Regime.UNKNOWN
    assert named(known)[130] == Regime.WILD_RISING  # wild at once, falling only once its level is under its mean
    changed = returns.copy()
    changed[130:] = 0.5
    assert known_before(changed)[:, :131].tobytes() == known[:, :131].tobytes()
    assert known_before(np.append(returns[70:130], 0.0))[:, -1].tobytes() == known[:, 130].tobytes()
    assert known[2, 75] > 0.0
    missing = returns.copy()
    missing[100] = np.nan
    assert np.isnan(known_before(missing)[0, 101:]).all() and np.isfinite(known_before(missing)[0, 100])


def test_the_filter_is_the_sum_over_every_path_of_states() -> None:
    """All 2^11 paths in long double: chance of each, times the densities along it; no recursion, no scaling."""
    returns, _ = switching(5, 11)
    states = TwoStates(np.array([0.004, 0.021]), np.array([0.96, 0.9]))
    wide = np.longdouble
    sigma, start, moves = (one.astype(wide) for one in (states.sigma, states.start, states.transition))
    for last in (0, 3, 10):
        mass = np.zeros(2, dtype=wide)
        for path in product((0, 1), repeat=last + 1):
            chance = start[path[0]]
            for before, after in pairwise(path):
                chance = chance * moves[before, after]
            for one, state in zip(returns, path, strict=False):
                chance = chance * np.exp(-((wide(one) / sigma[state]) ** 2) / 2) / sigma[state]
            mass[path[-1]] += chance
        np.testing.assert_allclose(filter_states(returns, states)[last], (mass / mass.sum()).astype(np.float64), rtol=1e-12)


def test_the_probability_that_is_a_feature_is_of_252_returns_and_nothing_else() -> None:
    """Equal to the filter over them; what comes before and after changes no bit."""
    returns, _ = switching(6, 700)
    states = fit_states(returns[:400])
    wild = wild_of(returns, states)
    assert np.isnan(wild[: WILD_SESSIONS - 1]).all() and np.isfinite(wild[WILD_SESSIONS - 1 :]).all()
    for row in (WILD_SESSIONS - 1, 500, 699):
        window = returns[row + 1 - WILD_SESSIONS : row + 1]
        assert wild[row] == pytest.approx(filter_states(window, states)[-1, 1], rel=1e-12)
        other = np.concatenate([[-0.3, 0.2], window, [0.5, -0.5]])
        assert wild_of(other, states)[1 + WILD_SESSIONS] == wild[row]
    gap = np.where(np.arange(700) == 600, np.nan, returns)
    assert np.isnan(wild_of(gap, states)[600]) and np.isfinite(wild_of(gap, states)[601])
    assert np.isnan(wild_of(returns[:100], states)).all()


def test_a_sleeve_reads_the_regime_by_the_states_that_its_bundle_carries() -> None:
    """Trained on refits of the past, served by the states of the whole training; from its look-back alone the same bits."""
    bars = synthetic_bars(3, sessions=620, symbols=9)
    learned = with_wild(bars, None)
    cut = with_wild(bars.rows(0, 560), None).joined[WILD]
    np.testing.assert_array_equal(learned.joined[WILD][:560], cut)
    assert np.isnan(cut[:WARM_UP_SESSIONS]).all() and np.isfinite(cut[WARM_UP_SESSIONS:]).all()
    for name in ("equities_xs", "risk"):
        shape = SLEEVES[name].given((WILD,))
        assert shape.names != SLEEVES[name].names and shape.lookback_sessions >= WILD_SESSIONS
        assert SLEEVES[name].shaped_as(shape.spec).spec == shape.spec
        parameters = fitted_on(bars)
        place, asof = shape.names.index(WILD), bars.sessions[-1].astype(object)
        served = shape.knowing(parameters).features(bars.until(asof, shape.lookback_sessions), asof)
        whole = shape.knowing(parameters).panel(bars)
        assert served.values[0, :, place].tobytes() == whole.values[-1, :, place].tobytes()
        assert np.isfinite(served.values[0, :, place]).all()
        with pytest.raises(DataNotUsable, match=WILD):
            shape.features(bars, asof)
    assert SLEEVES["equities_xs"].knowing({}).regime is None


@pytest.mark.parametrize(
    "carried",
    [
        {},
        {SIGMA: np.array([0.01, 0.02])},
        {SIGMA: np.array([0.02, 0.01]), STAY: np.array([0.9, 0.9])},
        {SIGMA: np.array([0.01, np.nan]), STAY: np.array([0.9, 0.9])},
        {SIGMA: np.array([0.01, 0.02]), STAY: np.array([0.9, 1.0])},
        {SIGMA: np.array([0.01, 0.02, 0.03]), STAY: np.array([0.9, 0.9, 0.9])},
    ],
)
def test_states_that_are_none_are_refused(carried: dict[str, np.ndarray]) -> None:
    with pytest.raises(DataNotUsable, match="does not carry its states"):
        states_of(carried)
