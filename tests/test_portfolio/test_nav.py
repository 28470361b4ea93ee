from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio.nav import NavCosts, net_asset_value
from signals.errors import InvariantBroken


def costs(half_spread: float = 0.0, impact: float = 0.0, borrow: list[float] | None = None, sessions: int = 2) -> NavCosts:
    return NavCosts(np.asarray(half_spread), np.asarray(impact), np.array(borrow or [0.0] * sessions)[:, None])


def test_a_held_book_without_costs_compounds_by_hand() -> None:
    """Half in a name that gains 10 %: 1.05, drifted weight 0.55 / 1.05; back to 0.5 for nothing."""
    path = net_asset_value(np.full((2, 1), 0.5), np.array([[0.0], [0.1]]), costs(sessions=2))
    np.testing.assert_allclose(path.nav, [1.0, 1.05])
    np.testing.assert_allclose(path.turnover, [0.25, (0.55 / 1.05 - 0.5) / 2])


def test_spread_is_paid_from_cash_by_hand() -> None:
    """Buy 0.5 at 0.1 %: 0.0005 is paid, so 0.5 of the old equity is 0.5 / 0.9995 of the new one."""
    path = net_asset_value(np.full((2, 1), 0.5), np.array([[0.0], [0.1]]), costs(half_spread=0.001))
    assert path.nav[0] == pytest.approx(0.9995)
    before = 0.9995 * (1 + 0.5 / 0.9995 * 0.1)
    held = 0.55 / before
    assert path.nav[1] == pytest.approx(before * (1 - 0.001 * (held - 0.5)))


def test_impact_grows_with_the_power_three_halves() -> None:
    """Coefficient 0.02: weight 0.25 costs 0.02 x 0.125, weight 0.0625 an eighth of that."""
    for weight, cost in ((0.25, 0.0025), (0.0625, 0.0003125)):
        path = net_asset_value(np.full((1, 1), weight), np.zeros((1, 1)), costs(impact=0.02, borrow=[0.0]))
        assert path.cost[0] == pytest.approx(cost)


def test_only_shorts_pay_borrow_and_for_the_time_they_were_held() -> None:
    """Short 0.4 from session 0; the rate due at session 1 is 0.1 %: 0.0004 of equity; the long 0.6 pays nothing."""
    path = net_asset_value(np.array([[-0.4, 0.6]] * 2), np.zeros((2, 2)), costs(borrow=[0.5, 0.001]))
    np.testing.assert_allclose(path.borrow, [0.0, 0.0004])
    np.testing.assert_allclose(path.nav, [1.0, 0.9996])


def test_each_short_pays_its_own_rate() -> None:
    """0.4 at 0.1 % and 0.2 at 1 %: 0.0004 + 0.002 of equity."""
    rates = NavCosts(np.zeros(()), np.zeros(()), np.array([[0.5, 0.5], [0.001, 0.01]]))
    path = net_asset_value(np.array([[-0.4, -0.2]] * 2), np.zeros((2, 2)), rates)
    np.testing.assert_allclose(path.borrow, [0.0, 0.0024])


def test_a_holding_that_waits_is_kept_whatever_the_target_and_falls_with_what_it_comes_back_with() -> None:
    """Half of equity, to be sold in session 1, which has no bar; back 59 % lower in session 2: 1 - 0.5 x 0.59."""
    waits = np.array([[False], [True], [False]])
    path = net_asset_value(np.array([[0.5], [0.0], [0.0]]), np.array([[0.0], [0.0], [-0.59]]), costs(sessions=3), waits)
    np.testing.assert_allclose(path.nav, [1.0, 1.0, 0.705])
    np.testing.assert_allclose(path.turnover[:2], [0.25, 0.0])


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 1000))
def test_the_path_equals_share_and_cash_bookkeeping(sessions: int, n: int, seed: int) -> None:
    """An account of dollars per name and cash, kept without weights, ends with the same value every session."""
    rng = np.random.default_rng(seed)
    weights, returns = rng.normal(0, 0.2, (sessions, n)), rng.normal(0, 0.03, (sessions, n))
    spread, impact, rate = 0.0004, rng.uniform(0, 0.02, n), rng.uniform(0, 1e-4, (sessions, n))
    path = net_asset_value(weights, returns, NavCosts(np.asarray(spread), impact, rate))
    dollars, cash = np.zeros(n), 1.0
    for t in range(sessions):
        if t:
            cash -= (rate[t] * -np.minimum(dollars, 0)).sum()
            dollars = dollars * (1 + returns[t])
        equity = cash + dollars.sum()
        trades = weights[t] * equity - dollars
        paid = sum(spread * abs(x) + impact[i] * equity * (abs(x) / equity) ** 1.5 for i, x in enumerate(trades))
        dollars, cash = dollars + trades, cash - trades.sum() - paid
        assert path.nav[t] == pytest.approx(cash + dollars.sum(), rel=1e-12)


def test_more_cost_is_never_a_better_path() -> None:
    rng = np.random.default_rng(1)
    weights, returns = rng.normal(0, 0.1, (100, 20)), rng.normal(0, 0.02, (100, 20))
    ends = [net_asset_value(weights, returns, costs(half_spread=s, sessions=100)).nav[-1] for s in (0, 1e-4, 1e-3)]
    assert ends[0] > ends[1] > ends[2]


def test_a_short_that_goes_from_twelve_cents_to_27_dollars_costs_322_percent_of_equity() -> None:
    """225 times: 1.4375 % of equity held short loses 1.4375 % x 224 = 322 %, and the book ends at -2.22."""
    returns = np.array([[0.0], [27.0 / 0.12 - 1.0], [-0.5]])
    path = net_asset_value(np.full((3, 1), -0.014375), returns, costs(sessions=3))
    np.testing.assert_allclose(path.nav, [1.0, -2.22, -2.22])
    assert path.ruined == 1 and path.turnover[1:].tolist() == [0.0, 0.0]


def test_a_book_that_pays_all_it_has_to_trade_is_ruined() -> None:
    path = net_asset_value(np.array([[1.0]]), np.zeros((1, 1)), costs(half_spread=1.0, borrow=[0.0]))
    assert path.ruined == 0 and path.nav.tolist() == [0.0]


def test_nonsense_is_an_error() -> None:
    with pytest.raises(InvariantBroken, match="not finite"):
        net_asset_value(np.array([[np.nan]]), np.zeros((1, 1)), costs(sessions=1))
    with pytest.raises(InvariantBroken, match="not finite"):
        net_asset_value(np.full((2, 1), 0.5), np.array([[np.nan], [np.nan]]), costs(sessions=2))
    with pytest.raises(InvariantBroken, match="weights"):
        net_asset_value(np.zeros((2, 1)), np.zeros((1, 1)), costs(sessions=2))
