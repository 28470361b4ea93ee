from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from execution.costs.borrow import TIERS, borrow_cost, borrow_days, borrow_tier
from execution.costs.fees import FREE, SEC_RATES, TAF_RATES, regulatory_fees, sec_rate, taf_rate
from execution.costs.impact import impact_cost_usd, square_root_impact, weight_impact_coefficient
from execution.costs.spread import half_spread, quoted_spread_bps, spread_cost
from execution.orders import Side
from portfolio.nav import NavCosts, net_asset_value
from signals.errors import InvariantBroken

D = Decimal


def test_a_side_pays_half_the_quoted_spread() -> None:
    """5 bp on $10,000: $5 for the round trip, $2.50 a side, buying or selling."""
    assert spread_cost(D(10_000)) == spread_cost(D(-10_000)) == D("2.50")
    assert half_spread() == pytest.approx(0.00025)
    assert spread_cost(D(10_000), D(12)) == D("6.00")


def test_the_spread_of_a_name_comes_from_its_quote_where_there_is_one() -> None:
    """99.99 / 100.01 is 2 bp; missing, crossed, zero and infinite quotes take the default."""
    nan = np.nan
    bid, ask = np.array([99.99, nan, 10, 0, 10, 10]), np.array([100.01, 20, 9, 1, nan, np.inf])
    np.testing.assert_allclose(quoted_spread_bps(bid, ask), [2, 5, 5, 5, 5, 5])
    np.testing.assert_allclose(half_spread(quoted_spread_bps(bid, ask)), [1e-4, *[2.5e-4] * 5])


def test_square_root_impact() -> None:
    """sigma 2 %, Q/V 1 %: 20.0 bp; four times the quantity doubles it; a sale costs what a purchase costs."""
    assert float(square_root_impact(0.02, 0.01)) == pytest.approx(0.0020)
    assert float(square_root_impact(0.02, -0.04)) == pytest.approx(0.0040)
    assert float(square_root_impact(0.02, 0.01, y=0.5)) == pytest.approx(0.0010)


def test_impact_in_dollars() -> None:
    """$1m of a name that trades $100m at 2 %: 20 bp of $1m is $2,000. No trade is free, no volume is not."""
    cost = impact_cost_usd(np.array([1e6, -1e6, 0.0, 1.0]), 0.02, np.array([1e8, 1e8, 0.0, 0.0]))
    np.testing.assert_allclose(cost, [2000, 2000, 0, np.inf])
    assert np.isnan(impact_cost_usd(1e6, np.nan, 1e8))


def test_the_weight_level_path_charges_what_the_dollar_formula_charges() -> None:
    """A trade of 10 % of $10m in a name of ADV $100m: both give $2,000 of $10m."""
    coefficient = weight_impact_coefficient(np.array([0.02]), np.array([1e8]), 1e7)
    path = net_asset_value(np.array([[0.1]]), np.zeros((1, 1)), NavCosts(np.zeros(()), coefficient, np.zeros(1)))
    assert path.cost[0] * 1e7 == pytest.approx(float(impact_cost_usd(1e6, 0.02, 1e8)))
    assert path.cost[0] * 1e7 == pytest.approx(2000)


def test_borrow_counts_three_days_over_a_weekend() -> None:
    """100 bp on $10,000, Friday to Monday: 10,000 x 0.01 x 3 / 360 = 0.8333."""
    days = borrow_days(date(2021, 10, 1), date(2021, 10, 4))
    assert days == 3
    assert borrow_cost(D(-10_000), D(100), days) == D("0.8333")
    assert borrow_days(date(2021, 9, 2), date(2021, 9, 3)) == 1
    assert borrow_days(date(2021, 9, 3), date(2021, 9, 7)) == 4, "Labor Day"


def test_borrow_needs_a_later_session() -> None:
    with pytest.raises(InvariantBroken):
        borrow_days(date(2021, 10, 4), date(2021, 10, 4))


@pytest.mark.parametrize(
    ("adv", "bps"), [("100000000", 50), ("99999999.99", 100), ("10000000", 100), ("9999999", 200), ("0", 200)]
)
def test_borrow_tiers_run_from_50_to_200_bp_by_liquidity(adv: str, bps: int) -> None:
    assert borrow_tier(D(adv)).annual_bps == bps


def test_the_last_tier_takes_every_name_and_bad_volume_is_refused() -> None:
    assert TIERS[-1].min_adv_usd == 0
    with pytest.raises(InvariantBroken):
        borrow_tier(D(-1))


def test_fees_fall_on_sells_alone() -> None:
    assert regulatory_fees(Side.BUY, D(1000), D(50), date(2023, 6, 1)) == FREE
    assert FREE.total == 0


@pytest.mark.parametrize(
    ("session", "sec", "taf"),
    [
        (date(2021, 2, 24), "1.11", "0.12"),  # 50,000 x 22.10 / 1e6 = 1.105; 1,000 x 0.000119 = 0.119
        (date(2021, 2, 25), "0.26", "0.12"),  # 50,000 x 5.10 / 1e6 = 0.255
        (date(2024, 5, 21), "0.40", "0.17"),  # 8.00; 1,000 x 0.000166
        (date(2024, 5, 22), "1.39", "0.17"),  # 27.80
        (date(2025, 5, 14), "0.00", "0.17"),
        (date(2026, 4, 4), "1.03", "0.20"),  # 20.60; 1,000 x 0.000195
    ],
)
def test_fees_of_a_thousand_shares_at_fifty_dollars(session: date, sec: str, taf: str) -> None:
    fees = regulatory_fees(Side.SELL, D(1000), D(50), session)
    assert (fees.sec, fees.taf) == (D(sec), D(taf))
    assert fees.total == D(sec) + D(taf)


def test_taf_is_capped_per_execution() -> None:
    """100,000 x 0.000119 = 11.90, of which 5.95 is charged."""
    assert regulatory_fees(Side.SELL, D(100_000), D(1), date(2021, 6, 1)).taf == D("5.95")


def test_rate_tables_are_in_order_and_reach_back() -> None:
    for table in (SEC_RATES, TAF_RATES):
        assert all(earlier.since < later.since for earlier, later in pairwise(table))
    assert sec_rate(date(2000, 1, 3)) is SEC_RATES[0]
    assert taf_rate(date(2000, 1, 3)) is TAF_RATES[0]
    assert sec_rate(date(2099, 1, 2)) is SEC_RATES[-1]


@pytest.mark.parametrize(("quantity", "price"), [("0", "1"), ("1", "0"), ("-1", "1"), ("NaN", "1")])
def test_an_execution_of_nothing_is_refused(quantity: str, price: str) -> None:
    with pytest.raises((InvariantBroken, ArithmeticError)):
        regulatory_fees(Side.SELL, D(quantity), D(price), date(2021, 6, 1))
