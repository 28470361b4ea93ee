"""Restates names and prices from asof to the open of D by known corporate actions.

All functions are pure. A symbol change renames, a split restates raw prices, a cash dividend lowers prices that are
not total-return adjusted, a delisting takes the name away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import numpy as np

from execution.orders import to_price
from portfolio.policy.blend import on
from portfolio.risk.model import RiskModel
from signals.market.actions import Action, ActionKind, delisted, new_names
from signals.market.manifest import PriceBasis
from signals.scoring.scores import Scores


def reference_prices(closes: Mapping[str, Decimal], actions: Sequence[Action], basis: PriceBasis) -> dict[str, Decimal]:
    """Closes of asof as the market of D will see them, under the names of D.

    Parameters
    ----------
    closes : mapping of symbol at asof to USD
    actions : sequence of Action
        Effective on D and known at asof.
    basis : PriceBasis
        Splits restate raw prices only; dividends lower all but total-return prices.

    Returns
    -------
    dict of symbol at D to USD, 4 decimals
        A name that is delisted, or whose price would not be positive, is absent.
    """
    prices = dict(closes)
    for action in actions:
        held = prices.get(action.symbol)
        if held is None:
            continue
        if action.kind is ActionKind.SPLIT and basis is PriceBasis.RAW and action.ratio:
            prices[action.symbol] = held / action.ratio
    for action in actions:
        held = prices.get(action.symbol)
        if held is not None and action.kind is ActionKind.DIVIDEND and action.cash and basis is not PriceBasis.TOTAL_RETURN:
            prices[action.symbol] = held - action.cash
    renamed, gone = new_names(actions), delisted(actions)
    stated = {renamed.get(symbol, symbol): to_price(p) for symbol, p in prices.items() if symbol not in gone}
    return {symbol: price for symbol, price in stated.items() if price > 0}


def renamed_scores(scores: Scores, actions: Sequence[Action]) -> Scores:
    """Scores of the names that still trade at D, under the names of D."""
    return on(scores, set(scores.symbols) - delisted(actions), new_names(actions))


def renamed_risk(risk: RiskModel, actions: Sequence[Action]) -> RiskModel:
    """Risk of the names that still trade at D, under the names of D."""
    names, order = _order(risk.symbols, actions)
    return replace(
        risk,
        symbols=names,
        covariance=risk.covariance[np.ix_(order, order)],
        residual_volatility=risk.residual_volatility[order],
        beta=risk.beta[order],
        returns=None if risk.returns is None else risk.returns[:, order],
        sectors=tuple(risk.sectors[i] for i in order) if risk.sectors else (),
    )


def weights_held(quantities: Mapping[str, Decimal], prices: Mapping[str, Decimal], equity: Decimal) -> dict[str, float]:
    """Signed fraction of equity of every holding; a name without a price is left out."""
    return {s: float(q * prices[s] / equity) for s, q in quantities.items() if s in prices and q != 0}


def _order(symbols: Sequence[str], actions: Sequence[Action]) -> tuple[tuple[str, ...], list[int]]:
    renamed, gone = new_names(actions), delisted(actions)
    pairs = sorted((renamed.get(s, s), i) for i, s in enumerate(symbols) if s not in gone)
    return tuple(name for name, _ in pairs), [i for _, i in pairs]
