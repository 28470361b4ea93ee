"""What the market, sectors and styles explain of a session, against hand-made returns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from portfolio.factors import explain, legs
from signals.errors import InvariantBroken
from signals.market.bars import Bars
from tests.fakes.bars import synthetic_bars

EVERY = np.ones(6, dtype=bool)
SECTORS = ("a", "a", "a", "b", "b", "b")


def sectored(bars: Bars) -> Bars:
    return replace(bars, sectors=tuple("ab"[i % 2] for i in range(len(bars.symbols))))


def test_sectors_explain_what_is_left_of_the_market() -> None:
    """Mean 2 %. Sector a made 3 %, b made 1 %: +1 % and -1 % next to the market; inside a sector the rest is the name's.

    With beta 2 the first name owes 4 % to the market, and its sector takes the mean of what is left of its three names.
    """
    returns = np.array([0.04, 0.03, 0.02, 0.01, 0.02, 0.00])
    found = explain(returns, np.ones(6), SECTORS, np.zeros((6, 0)), EVERY)
    np.testing.assert_allclose(found.market, 0.02)
    np.testing.assert_allclose(found.sector, [0.01] * 3 + [-0.01] * 3)
    steep = explain(returns, np.array([2.0, 1, 1, 1, 1, 1]), SECTORS, np.zeros((6, 0)), EVERY)
    np.testing.assert_allclose(steep.market[:2], [0.04, 0.02])
    np.testing.assert_allclose(steep.sector[:3], [(0.00 + 0.01 + 0.00) / 3] * 3)


def test_a_style_is_its_slope_and_the_parts_leave_residuals_that_no_factor_sees() -> None:
    rng = np.random.default_rng(4)
    sectors = tuple("abcd"[i % 4] for i in range(40))
    styles = rng.uniform(-1, 1, (40, 2))
    returns = 0.01 + 0.02 * styles[:, 0] + rng.normal(0, 0.005, 40)
    found = explain(returns, np.ones(40), sectors, styles, np.ones(40, dtype=bool))
    rest = returns - found.market - found.sector - found.style
    assert np.abs(styles.T @ rest).max() < 1e-12
    for name in "abcd":
        assert abs(sum(rest[i] for i in range(40) if sectors[i] == name)) < 1e-12
    slope = np.polyfit(styles[:, 0], found.style, 1)[0]
    assert slope == pytest.approx(0.02, abs=0.004)


def test_a_small_universe_leaves_everything_but_the_market_to_the_names() -> None:
    found = explain(np.array([0.03, 0.01]), np.ones(2), ("a", "b"), np.zeros((2, 3)), np.ones(2, dtype=bool))
    assert found.market.tolist() == [0.02, 0.02]
    assert not found.sector.any() and not found.style.any()


def test_names_outside_the_universe_are_explained_and_do_not_move_the_factors() -> None:
    returns = np.array([0.04, 0.03, 0.02, 0.01, 0.02, 0.00])
    wild = np.append(returns, 0.40)
    known = explain(returns, np.ones(6), SECTORS, np.zeros((6, 0)), EVERY)
    found = explain(wild, np.ones(7), (*SECTORS, "a"), np.zeros((7, 0)), np.append(EVERY, False))
    np.testing.assert_allclose(found.market[:6], known.market)
    np.testing.assert_allclose(found.sector[:6], known.sector)
    assert found.sector[6] == pytest.approx(0.01)


def test_a_missing_return_is_no_factor_s_business() -> None:
    returns = np.array([0.04, np.nan, 0.02, 0.01, np.nan, 0.03])
    found = explain(returns, np.ones(6), SECTORS, np.zeros((6, 0)), EVERY)
    np.testing.assert_allclose(found.market, 0.025)
    nothing = explain(np.full(6, np.nan), np.ones(6), SECTORS, np.zeros((6, 0)), EVERY)
    assert not nothing.market.any()


def test_the_two_legs_make_up_the_session() -> None:
    bars = sectored(synthetic_bars(3, sessions=90, symbols=30))
    first, second = legs(bars)
    known = np.isfinite(bars.total_return[-1])
    np.testing.assert_allclose(
        ((1 + first.returns) * (1 + second.returns) - 1)[known & np.isfinite(first.returns)],
        ((1 + bars.overnight_return[-1]) * bars.close[-1] / bars.open[-1] - 1)[known & np.isfinite(first.returns)],
    )
    whole, nothing = legs(bars, at_close=True)
    np.testing.assert_array_equal(whole.returns, bars.total_return[-1])
    assert not nothing.returns.any() and not nothing.market.any()


def test_sessions_without_an_agreed_close_between_belong_to_the_first_leg() -> None:
    bars = sectored(synthetic_bars(3, sessions=90, symbols=30, missing=0.0))
    first, _ = legs(bars, 3)
    expected = (1 + bars.total_return[-3]) * (1 + bars.total_return[-2]) * (1 + bars.overnight_return[-1]) - 1
    np.testing.assert_allclose(first.returns[1:], expected[1:])
    with pytest.raises(InvariantBroken, match="a stretch of 90"):
        legs(bars, 90)


def test_exposures_are_those_of_the_session_before() -> None:
    """A market that rises 10 % more overnight takes 10 % of each name's beta with it: no beta has seen it."""
    bars = sectored(synthetic_bars(3, sessions=90, symbols=30, missing=0.0))
    shock = np.zeros_like(bars.overnight_return)
    shock[-1] = 0.10
    moved = replace(bars, overnight_return=bars.overnight_return + shock)
    plain, shocked = legs(bars)[0], legs(moved)[0]
    beta = (shocked.market - plain.market) / 0.10
    np.testing.assert_allclose(plain.market / np.mean(plain.market), beta / np.mean(beta))
