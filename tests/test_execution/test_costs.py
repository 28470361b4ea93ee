from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

from execution.costs.borrow import TIERS, annual_rates, borrow_cost, borrow_days, borrow_tier
from execution.costs.fees import FREE, SEC_RATES, TAF_RATES, regulatory_fees, sec_rate, taf_rate
from execution.costs.impact import impact_cost_usd, square_root_impact, weight_impact_coefficient
from execution.costs.spread import estimated_bps, half_spread, spread_bps, spread_cost, squared_spread, tick_bps
from execution.orders import Side
from portfolio.nav import NavCosts, net_asset_value
from signals.errors import InvariantBroken
from signals.market.bars import Bars

D = Decimal
NAN = float("nan")


def test_a_side_pays_half_the_quoted_spread() -> None:
    """5 bp on $10,000: $5 for the round trip, $2.50 a side, buying or selling."""
    assert spread_cost(D(10_000)) == spread_cost(D(-10_000)) == D("2.50")
    assert half_spread() == pytest.approx(0.00025)
    assert spread_cost(D(10_000), D(12)) == D("6.00")


@pytest.mark.parametrize(("price", "bps"), [("5", "20.00"), ("1", "100.00"), ("0.9999", "1.00"), ("0.12", "8.33"), ("400", "0.25")])
def test_a_tick_is_a_cent_from_a_dollar_and_a_hundredth_of_one_below(price: str, bps: str) -> None:
    assert tick_bps(D(price)) == D(bps)


@pytest.mark.parametrize(
    ("quoted", "estimated", "price", "bps"),
    [
        (D(12), NAN, D(100), "12"),  # its quote
        (D(12), 300.0, D(100), "12"),  # which no estimate overrules
        (None, 31.204, D(100), "31.20"),  # what its bars show
        (None, NAN, D(100), "5"),  # nothing: assumed
        (None, NAN, D(8), "12.50"),  # but a cent of 8 USD is 12.5 bp
        (D(3), NAN, D(5), "20.00"),  # nor is a quote under a tick believed
        (None, NAN, None, "5"),  # no price as traded, no tick
    ],
)
def test_a_spread_is_quoted_or_shown_or_assumed_and_never_under_a_tick(
    quoted: D | None, estimated: float, price: D | None, bps: str
) -> None:
    assert spread_bps(quoted, estimated, price) == D(bps)


def bounced(seed: int, spread: float, sessions: int = 252, steps: int = 390) -> tuple[np.ndarray, ...]:
    """Open, high, low and close of a walk of 2 % a day of which every print is half a spread off the middle."""
    rng = np.random.default_rng(seed)
    middle = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.02 / np.sqrt(steps), sessions * steps)))
    prints = np.round(middle * (1.0 + rng.choice([-1, 1], middle.size) * spread / 2.0), 6).reshape(sessions, steps)
    return prints[:, 0], prints.max(axis=1), prints.min(axis=1), prints[:, -1]


SPREADS = {1: 0.01, 2: 0.003, 3: 0.0, 4: 0.02}  # by seed


@pytest.fixture(scope="module")
def ohlc() -> Bars:
    columns = [bounced(seed, spread) for seed, spread in SPREADS.items()]
    opened, high, low, close = (np.array([column[i] for column in columns]).T for i in range(4))
    overnight = np.vstack([np.full((1, 4), np.nan), opened[1:] / close[:-1] - 1.0])
    days = np.busday_offset("2020-01-02", np.arange(len(opened)), roll="forward")
    return Bars(
        days,
        ("A", "B", "C", "D"),
        opened,
        high,
        low,
        close,
        np.ones_like(opened),
        overnight.copy(),
        overnight,
        np.ones(opened.shape, dtype=bool),
    )


def test_edge_is_what_its_authors_compute(ohlc: Bars) -> None:
    """`bidask` 2.1, edge(..., sign=True), on the same four series."""
    square, _ = squared_spread(ohlc)
    theirs = [0.010277427830040774, 0.003120082452933006, 0.0013067042951009778, 0.018939895106829068]
    np.testing.assert_allclose(np.sign(square) * np.sqrt(np.abs(square)), theirs, rtol=1e-9)


def test_a_wide_spread_is_shown_by_the_bars_and_one_of_nothing_is_not(ohlc: Bars) -> None:
    found = estimated_bps(ohlc)
    np.testing.assert_allclose(found[[0, 3]], [100.0, 200.0], rtol=0.1)
    assert np.isnan(found[2])


def test_splits_dividends_and_missing_bars_leave_an_estimate_as_it_is(ohlc: Bars) -> None:
    """Half-way all raw prices fall to a quarter with the overnight return intact; a few sessions have no bar."""
    scale = np.where(np.arange(len(ohlc.close)) < 126, 1.0, 0.25)[:, None]
    prices = {name: getattr(ohlc, name) * scale for name in ("open", "high", "low", "close")}
    np.testing.assert_allclose(estimated_bps(replace(ohlc, **prices)), estimated_bps(ohlc), rtol=1e-6)
    gone = np.isin(np.arange(len(ohlc.close)), [20, 90, 200])[:, None] | np.zeros(ohlc.close.shape, dtype=bool)
    holes = {name: np.where(gone, np.nan, getattr(ohlc, name)) for name in (*prices, "volume")}
    late = np.vstack([gone[:1], gone[1:] | gone[:-1]])
    holed = replace(ohlc, **holes, overnight_return=np.where(late, np.nan, ohlc.overnight_return), eligible=~gone)
    np.testing.assert_allclose(estimated_bps(holed)[[0, 3]], estimated_bps(ohlc)[[0, 3]], rtol=0.1)


def test_too_few_bars_or_a_name_that_never_trades_show_no_spread(ohlc: Bars) -> None:
    assert np.isnan(estimated_bps(ohlc.rows(0, 50))).all()
    still = {name: np.full_like(ohlc.close, 7.0) for name in ("open", "high", "low", "close")}
    assert np.isnan(estimated_bps(replace(ohlc, **still, overnight_return=np.zeros_like(ohlc.close)))).all()


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
    path = net_asset_value(np.array([[0.1]]), np.zeros((1, 1)), NavCosts(np.zeros(()), coefficient, np.zeros((1, 1))))
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
    ("adv", "price", "volatility", "bps"),
    [
        ("100000000", 50.0, 0.02, 50),
        ("99999999.99", 50.0, 0.02, 100),
        ("10000000", 50.0, 0.02, 100),
        ("9999999", 50.0, 0.02, 200),
        ("999999", 50.0, 0.02, 1000),
        ("0", 50.0, 0.02, 1000),
        ("500000000", 4.99, 0.02, 200),
        ("500000000", 0.12, 0.02, 1000),  # cheap
        ("500000000", 50.0, 0.05, 100),
        ("500000000", 50.0, 0.09, 200),  # wild
        ("500000000", NAN, 0.02, 50),
        ("500000000", 50.0, NAN, 200),  # an unknown price passes, a volatility does not
    ],
)
def test_borrow_goes_by_the_name_s_volume_price_and_volatility(adv: str, price: float, volatility: float, bps: int) -> None:
    assert borrow_tier(D(adv), price, volatility).annual_bps == bps
    rates = annual_rates(np.array([float(adv)]), np.array([price]), np.array([volatility]))
    assert rates.tolist() == [bps / 1e4]


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
