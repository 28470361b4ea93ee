"""Names and prices from asof to D, by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from execution.planning.restating import reference_prices, renamed_risk, renamed_scores, weights_held
from portfolio.risk.kelly import SizingCoefficient
from portfolio.risk.model import RiskModel
from signals.market.actions import Action, ActionKind
from signals.market.manifest import PriceBasis
from signals.scoring.scores import Scores

D, ASOF = date(2024, 3, 12), date(2024, 3, 11)
CLOSES = {"AAA": Decimal("70.00"), "BBB": Decimal("10.00"), "CCC": Decimal("5.00"), "DDD": Decimal("0.40")}


def action(kind: ActionKind, symbol: str, **figures: object) -> Action:
    return Action(kind, symbol, D, ASOF, **figures)  # type: ignore[arg-type]


SPLIT = action(ActionKind.SPLIT, "AAA", ratio=Decimal(7))
DIVIDEND = action(ActionKind.DIVIDEND, "AAA", cash=Decimal("0.50"))
RENAME = action(ActionKind.SYMBOL_CHANGE, "BBB", new_symbol="AAB")
DEATH = action(ActionKind.DELISTING, "CCC", cash=Decimal("4.90"))


@pytest.mark.parametrize(
    ("actions", "basis", "expected"),
    [
        ([], PriceBasis.RAW, {"AAA": "70.0000", "BBB": "10.0000", "CCC": "5.0000", "DDD": "0.4000"}),
        ([SPLIT], PriceBasis.RAW, {"AAA": "10.0000", "BBB": "10.0000", "CCC": "5.0000", "DDD": "0.4000"}),
        ([SPLIT], PriceBasis.SPLIT_ADJUSTED, {"AAA": "70.0000", "BBB": "10.0000", "CCC": "5.0000", "DDD": "0.4000"}),
        ([DIVIDEND, SPLIT], PriceBasis.RAW, {"AAA": "9.5000", "BBB": "10.0000", "CCC": "5.0000", "DDD": "0.4000"}),
        ([DIVIDEND], PriceBasis.TOTAL_RETURN, {"AAA": "70.0000", "BBB": "10.0000", "CCC": "5.0000", "DDD": "0.4000"}),
        ([RENAME, DEATH], PriceBasis.RAW, {"AAA": "70.0000", "AAB": "10.0000", "DDD": "0.4000"}),
    ],
)
def test_reference_prices_are_closes_as_d_will_see_them(actions: list[Action], basis: PriceBasis, expected: dict[str, str]) -> None:
    assert {s: str(p) for s, p in reference_prices(CLOSES, actions, basis).items()} == expected


def test_a_price_that_would_not_be_positive_is_absent() -> None:
    special = action(ActionKind.DIVIDEND, "DDD", cash=Decimal("0.40"))
    assert "DDD" not in reference_prices(CLOSES, [special], PriceBasis.RAW)


def test_scores_and_risk_follow_a_new_name_and_lose_a_dead_one() -> None:
    """BBB becomes AAB and moves before nothing; CCC is gone; every figure stays with its security."""
    symbols = ("AAA", "BBB", "CCC")
    scores = Scores(ASOF, "s", symbols, np.array([1.0, 2.0, 3.0]), "x")
    after = renamed_scores(scores, [action(ActionKind.SYMBOL_CHANGE, "BBB", new_symbol="AA"), DEATH])
    assert after.symbols == ("AA", "AAA") and after.values.tolist() == [2.0, 1.0]
    risk = RiskModel(
        ASOF,
        symbols,
        np.diag([1.0, 4.0, 9.0]),
        np.array([1.0, 2.0, 3.0]),
        np.array([0.1, 0.2, 0.3]),
        ("x", "y", "z"),
        SizingCoefficient(0.1, 2.0, 20.0),
        5,
    )
    moved = renamed_risk(risk, [action(ActionKind.SYMBOL_CHANGE, "BBB", new_symbol="AA"), DEATH])
    assert moved.symbols == ("AA", "AAA") and moved.sectors == ("y", "x")
    assert np.diag(moved.covariance).tolist() == [4.0, 1.0]
    assert moved.beta.tolist() == [0.2, 0.1] and moved.residual_volatility.tolist() == [2.0, 1.0]


def test_held_weights_are_signed_fractions_of_equity() -> None:
    held = {"AAA": Decimal(10), "BBB": Decimal(-20), "ZZZ": Decimal(1), "DDD": Decimal(0)}
    assert weights_held(held, CLOSES, Decimal(1000)) == {"AAA": 0.7, "BBB": -0.2}
