"""Values of one path of target weights by one engine, timed without its imports and first call; prints CPU seconds.

python backtest_peer.py ENGINE WORK.npz VALUES.npy        (WORK: returns, weights, half_spread)
"""

from __future__ import annotations

import sys
import time
import warnings

import numpy as np

warnings.simplefilter("ignore")
CASH = 1e8


def by_trademl(returns: np.ndarray, weights: np.ndarray, half_spread: float) -> np.ndarray:
    from portfolio.nav import NavCosts, net_asset_value

    costs = NavCosts(np.asarray(half_spread), np.zeros(()), np.zeros((len(returns), 1)))
    return net_asset_value(weights, returns, costs).nav


def by_vectorbt(returns: np.ndarray, weights: np.ndarray, half_spread: float) -> np.ndarray:
    import pandas as pd
    import vectorbt as vbt

    prices = pd.DataFrame(100.0 * np.cumprod(1.0 + returns, axis=0))
    book = vbt.Portfolio.from_orders(
        prices,
        pd.DataFrame(weights),
        size_type="targetpercent",
        fees=half_spread,
        init_cash=CASH,
        group_by=True,
        cash_sharing=True,
        call_seq="auto",
    )
    return book.value().to_numpy() / CASH


def by_bt(returns: np.ndarray, weights: np.ndarray, half_spread: float) -> np.ndarray:
    import bt
    import pandas as pd

    days = pd.bdate_range("2010-01-01", periods=len(returns))
    names = [f"s{i}" for i in range(returns.shape[1])]
    prices = pd.DataFrame(100.0 * np.cumprod(1.0 + returns, axis=0), days, names)
    algos = [bt.algos.WeighTarget(pd.DataFrame(weights, days, names)), bt.algos.Rebalance()]
    account = bt.Backtest(
        bt.Strategy("book", algos, children=[bt.Security(name) for name in names]),
        prices,
        initial_capital=CASH,
        integer_positions=False,
        commissions=lambda q, p: abs(q) * p * half_spread,
        progress_bar=False,
    )
    account.run()
    return account.strategy.values.reindex(days).to_numpy(dtype=np.float64) / CASH


def by_cvxportfolio(returns: np.ndarray, weights: np.ndarray, half_spread: float) -> np.ndarray:
    """A row's return is the one that follows its trades; its value, the one before them, so their cost comes off."""
    import cvxportfolio as cvx
    import pandas as pd

    count, names = returns.shape[1], [f"s{i}" for i in range(returns.shape[1])]
    days = pd.bdate_range("2010-01-01", periods=len(returns) + 1, tz="UTC")
    follows = pd.DataFrame(np.vstack([returns[1:], np.zeros((2, count))]), days, names).assign(cash=0.0)
    targets = pd.DataFrame(weights, days[:-1], names)
    market = cvx.UserProvidedMarketData(returns=follows, cash_key="cash", min_history=pd.Timedelta(0))
    simulator = cvx.MarketSimulator(market_data=market, costs=[cvx.TransactionCost(a=half_spread)])
    policy = cvx.FixedWeights(targets.assign(cash=1.0 - targets.sum(axis=1)))
    book = simulator.backtest(policy, start_time=days[0], h=pd.Series([0.0] * count + [CASH], [*names, "cash"]))
    paid = book.costs["TransactionCost"]
    return (book.v.reindex(days[:-1]) - paid.reindex(days[:-1])).to_numpy(dtype=np.float64) / CASH


ENGINES = {"trademl": by_trademl, "vectorbt": by_vectorbt, "bt": by_bt, "cvxportfolio": by_cvxportfolio}


def main() -> None:
    """Time one run; a call on three sessions goes before it, so that what an engine compiles is not counted."""
    engine, source, target = sys.argv[1:]
    run, work = ENGINES[engine], np.load(source)
    returns, weights, half_spread = work["returns"], work["weights"], float(work["half_spread"])
    run(returns[:3], weights[:3], half_spread)
    start = time.process_time()
    values = run(returns, weights, half_spread)
    print(time.process_time() - start)
    np.save(target, values)


if __name__ == "__main__":
    main()
