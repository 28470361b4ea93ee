"""The weight-level value next to an independent engine, `bt`, on the same weights, prices and proportional costs."""

from __future__ import annotations

import numpy as np
import pytest

from portfolio.nav import NavCosts, net_asset_value
from signals.market.bars import Floats

pytest.importorskip("bt")
import bt
import pandas as pd

SESSIONS, NAMES, CASH = 120, 12, 1e8


@pytest.fixture(scope="module")
def market() -> tuple[Floats, Floats]:
    """Returns and long-short target weights of gross 1, both (T, N)."""
    rng = np.random.default_rng(0)
    returns = rng.normal(0.0004, 0.012, (SESSIONS, NAMES))
    weights = rng.normal(0.0, 1.0, (SESSIONS, NAMES))
    weights -= weights.mean(axis=1, keepdims=True)
    return returns, weights / np.abs(weights).sum(axis=1, keepdims=True)


def value_by_bt(returns: Floats, weights: Floats, half_spread: float) -> Floats:
    """Daily value of an account of `bt` that starts at 1; shape (T,)."""
    days = pd.bdate_range("2020-01-01", periods=SESSIONS)
    names = [f"s{i}" for i in range(NAMES)]
    prices = pd.DataFrame(100.0 * np.cumprod(1.0 + returns, axis=0), days, names)
    book = [bt.algos.WeighTarget(pd.DataFrame(weights, days, names)), bt.algos.Rebalance()]
    account = bt.Backtest(
        bt.Strategy("book", book, children=[bt.Security(name) for name in names]),
        prices,
        initial_capital=CASH,
        integer_positions=False,
        commissions=lambda q, p: abs(q) * p * half_spread,
        progress_bar=False,
    )
    account.run()
    value: Floats = account.strategy.values.reindex(days).to_numpy(dtype=np.float64) / CASH
    return value


@pytest.mark.parametrize(("half_spread", "tolerance"), [(0.0, 1e-12), (2.5e-4, 5e-5)])
def test_another_engine_finds_the_same_value(market: tuple[Floats, Floats], half_spread: float, tolerance: float) -> None:
    """Equal to rounding without costs. With them bt trades as much less as the cost is, ours pays from cash: 5e-5."""
    returns, weights = market
    costs = NavCosts(np.asarray(half_spread), np.zeros(()), np.zeros((SESSIONS, 1)))
    ours = net_asset_value(weights, returns, costs).nav
    theirs = value_by_bt(returns, weights, half_spread)
    assert np.abs(theirs / ours - 1.0).max() < tolerance
    free = net_asset_value(weights, returns, NavCosts(np.zeros(()), np.zeros(()), np.zeros((SESSIONS, 1)))).nav
    if half_spread:
        assert free[-1] / ours[-1] - 1.0 > 100 * tolerance  # what is compared is not small next to the tolerance
