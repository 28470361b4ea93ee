"""Regimes: what could be known on the evening, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.indicators.regimes import (
    REFIT_SESSIONS,
    TREND_SESSIONS,
    WARM_UP_SESSIONS,
    Regime,
    TwoStates,
    filter_states,
    fit_states,
    known_before,
    named,
    regimes,
    trend_regime,
    volatility_regime,
)


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


@settings(max_examples=15)
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
