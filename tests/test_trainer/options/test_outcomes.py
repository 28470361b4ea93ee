"""Hedged outcomes and features of chains: hand-worked profits, no look-ahead, and what cannot be known stays unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from signals.market.bars import Floats, days_array
from signals.market.sessions import xnys
from signals.sleeves.risk import RISK
from tests.fakes.bars import synthetic_bars
from tests.fakes.option_market import Quoting, Skew, quoted
from trainer.labels.risk import volatility_labels
from trainer.options.chains import OptionChain, greeks, price
from trainer.options.positions import OF_CHAINS, har_forecast, hedged_path, of_evenings, positions
from trainer.options.surface import OptionLeg, Surface, surface_of
from trainer.options.svi import slice_of
from trainer.tasks.hedged_pnl import refusal

DAYS = days_array(xnys(date(2020, 3, 2), date(2020, 4, 30)).days)
EXPIRIES = [np.datetime64("2020-04-17"), np.datetime64("2020-05-15")]
EXACT = Quoting(half_points=1e-6, rate=0.0, has_ticks=False)


def chain(row: int, spot: float, variance: float = 0.09, quoting: Quoting = EXACT) -> OptionChain:
    return quoted("X", DAYS[row].astype(object), spot, variance, EXPIRIES, replace(quoting, step=2.5))


@pytest.fixture(scope="module")
def market() -> list[OptionChain]:
    rng = np.random.default_rng(5)
    spots = 100.0 * np.exp(np.cumsum(0.3 / np.sqrt(252) * rng.standard_normal(18)))
    return [chain(row, float(spot), quoting=Quoting(rate=0.0)) for row, spot in enumerate(spots)]


def observed(chains: list[OptionChain]) -> dict[str, Floats]:
    return of_evenings([surface_of(one) for one in chains])


def test_a_hedged_straddle_earns_what_its_prices_and_its_hedge_say() -> None:
    """Bought at 100, marked a session later at 103, delta of the first evening; in points of the call's vega."""
    evenings: list[Surface | None] = [surface_of(one) for one in (chain(0, 100.0), chain(1, 103.0))]
    legs = tuple(OptionLeg(EXPIRIES[0], 100.0, right, 1.0) for right in (True, False))
    profit, cost = hedged_path(evenings, legs, vega=10.0)
    years = [46 / 365, 45 / 365]
    first, last = evenings
    assert first is not None and last is not None
    value, delta = [], 0.0
    for evening, spot, t in zip((first, last), (100.0, 103.0), years, strict=True):
        smile = evening.smile(EXPIRIES[0])
        assert smile is not None
        volatility = float(smile.volatility(np.array([np.log(100.0 / spot)]))[0])
        value.append(sum(float(price(spot, 100.0, volatility * np.sqrt(t), 1.0, right)) for right in (True, False)))
        if not delta:
            delta = sum(float(greeks(spot, spot, 100.0, volatility, t, 1.0, right).delta) for right in (True, False))
    assert profit[0] == pytest.approx(100.0 / 10.0 * (value[1] - value[0] - delta * 3.0), abs=0.02)
    assert 0.0 < cost[0] < 0.01


def test_half_spreads_of_both_ends_are_the_cost() -> None:
    evenings: list[Surface | None] = [surface_of(one) for one in (chain(r, 100.0, quoting=Quoting()) for r in (0, 1))]
    first = evenings[0]
    known = None if first is None else positions(first)
    assert known is not None
    legs = known[0]["straddle"]
    half = sum(0.5 * (t[1] - t[0]) for e in evenings if e is not None for leg in legs if (t := e.touch(leg)) is not None)
    assert hedged_path(evenings, legs, known[1])[1][0] == pytest.approx(100.0 / known[1] * half)


@pytest.mark.parametrize(("quantity", "liquidation"), [(1.0, 0.0), (-1.0, -0.10)])
def test_a_leg_that_has_lost_its_bid_is_marked_between_nothing_and_its_ask(quantity: float, liquidation: float) -> None:
    """Asked at 0.10, nobody bids: a long is worth 0 at liquidation, a short costs the ask; it is entered nowhere."""
    evening = surface_of(chain(0, 100.0, quoting=Quoting(rate=0.0)))
    leg = OptionLeg(EXPIRIES[0], 120.0, True, quantity)
    at = (evening.chain.expiration == leg.expiration) & (evening.chain.strike == leg.strike) & evening.chain.is_call

    def quoted_at(bid: float, ask: float) -> Surface:
        held = evening.chain
        return replace(evening, chain=replace(held, bid=np.where(at, bid, held.bid), ask=np.where(at, ask, held.ask)))

    mark = quoted_at(0.0, 0.10).mark((leg,))
    assert mark is not None and mark.mid == pytest.approx(0.05 * quantity) and mark.half_spread == pytest.approx(0.05)
    assert mark.mid - mark.half_spread == pytest.approx(liquidation) and quoted_at(0.0, 0.10).touch(leg) is None
    assert quoted_at(0.0, 0.0).mark((leg,)) is None and quoted_at(np.nan, 0.10).mark((leg,)) is None, "no quote is no price"


def test_losing_verticals_are_no_rarer_than_winning_ones() -> None:
    """Ten sessions later one leg of many a vertical has no bid, because it lost: each outcome is known, whichever way the price went."""
    rng, known = np.random.default_rng(1), []
    shape = Quoting(step=1.0, deviations=9.0, rate=0.0)
    for _ in range(12):
        spots = 60.0 * np.exp(np.cumsum(np.append(0.0, 0.25 / np.sqrt(252) * rng.standard_normal(10))))
        path: list[Surface | None] = [
            surface_of(quoted("X", DAYS[row].astype(object), float(spot), 0.0625, EXPIRIES, shape)) for row, spot in enumerate(spots)
        ]
        assert path[0] is not None
        legs, vega = positions(path[0])
        known.append(np.isfinite(hedged_path(path, legs["vertical"], vega)[0]).all())
    assert all(known)


def test_templates_are_listed_options_at_the_money_and_a_month_apart(market: list[OptionChain]) -> None:
    known = positions(surface_of(market[0]))
    assert known is not None
    straddle, vertical, calendar = (known[0][name] for name in ("straddle", "vertical", "calendar"))
    assert {(leg.is_call, leg.quantity) for leg in straddle} == {(True, 1.0), (False, 1.0)}
    assert vertical[1].strike > vertical[0].strike == straddle[0].strike and vertical[1].quantity == -1.0
    assert [leg.expiration for leg in calendar] == EXPIRIES and [leg.quantity for leg in calendar] == [-1.0, 1.0]


def test_no_chain_after_an_outcome_changes_it_and_one_that_is_missing_leaves_it_unknown(market: list[OptionChain]) -> None:
    whole, cut = observed(market), observed(market[:12])
    for name in ("straddle_5", "vertical_5", "calendar_5", "straddle_cost_5"):
        known = np.isfinite(cut[name])
        assert known[:6].all() and not known[6:].any(), "entered a session later, held for five"
        np.testing.assert_array_equal(cut[name][:6], whole[name][:6])
    for name in OF_CHAINS:
        np.testing.assert_array_equal(cut[name], whole[name][:12])
    without = observed(market[:4] + market[5:])
    assert np.isnan(without["straddle_5"][:4]).all() and np.isfinite(without["straddle_5"][5])
    assert np.isnan(without["straddle_1"][3]), "the session after was not delivered"


def test_no_outcome_is_of_a_position_over_a_split(market: list[OptionChain]) -> None:
    """It takes effect at the tenth session: what is entered on the ninth at the latest ends before it, or is unknown."""
    split = market[9].day
    found = observed([replace(one, next_split=split if one.day < split else None) for one in market])
    whole = observed(market)
    for h in (1, 5):
        over = np.arange(18)[:-1] + 1 + h >= 9
        entered = np.arange(18)[:-1] + 1 < 9
        assert np.isnan(found[f"straddle_{h}"][:-1][over & entered]).all()
        np.testing.assert_array_equal(found[f"straddle_{h}"][:-1][~(over & entered)], whole[f"straddle_{h}"][:-1][~(over & entered)])


def test_what_was_known_only_later_is_no_feature_of_its_evening(market: list[OptionChain]) -> None:
    """A correction of the fourth evening, known on the sixth: no feature of the fourth, and the outcomes that it measures stay."""
    whole = observed(market[:8])
    late = observed([*market[:3], replace(market[3], known_at=market[5].day), *market[4:8]])
    for name in OF_CHAINS:
        assert np.isfinite(whole[name][3]) and np.isnan(late[name][3])
        np.testing.assert_array_equal(np.delete(whole[name], 3), np.delete(late[name], 3))
    np.testing.assert_array_equal(whole["straddle_1"], late["straddle_1"])
    on_time = observed([replace(one, known_at=one.day) for one in market[:8]])
    np.testing.assert_array_equal(on_time["skew"], whole["skew"])


def test_features_are_those_of_the_generated_surface(market: list[OptionChain]) -> None:
    """A standard deviation of 30 days from the money, of the slice that was quoted; twice as many open puts as calls."""
    given = chain(0, 100.0)
    found = observed([replace(given, open_interest=np.where(given.is_call, 10.0, 20.0))])
    years, sd, plain = 46 / 365, 0.3 * np.sqrt(30 / 365), Skew()
    low, high = np.sqrt(slice_of(plain.rho, plain.eta, plain.gamma, 0.09 * years).w(np.array([-sd, sd])) / years)
    assert found["atm_volatility"][0] == pytest.approx(np.log(0.3), abs=1e-4)
    assert found["skew"][0] == pytest.approx((low - high) / 0.3, abs=1e-4)
    assert found["convexity"][0] == pytest.approx((low + high) / 0.6 - 1.0, abs=1e-4)
    assert found["term_slope"][0] == pytest.approx(0.0, abs=1e-4)
    calls = 10.0 * given.is_call.sum()
    assert found["put_call_interest"][0] == pytest.approx(np.log((1.0 + 2.0 * calls) / (1.0 + calls)))
    poor = replace(market[0], open_interest=np.full(len(market[0]), np.nan))
    assert np.isnan(observed([poor])["put_call_interest"][0])


def test_the_forecast_that_a_premium_is_measured_by_knows_nothing_of_later_sessions() -> None:
    """A quarter's is least squares on the labels that had ended before it, brought to the expected variance; none in the first year."""
    bars = synthetic_bars(4, sessions=520, symbols=20, missing=0.0)
    whole = har_forecast(bars)
    np.testing.assert_array_equal(har_forecast(bars.rows(0, 450)), whole[:450])
    assert not np.isfinite(whole[:252]).any() and np.isfinite(whole[441:504]).mean() > 0.8
    features, labels = RISK.panel(bars).values.astype(np.float64), volatility_labels(bars, 5)
    usable = np.isfinite(features).all(axis=2) & bars.eligible
    design = np.concatenate([features, np.ones((*usable.shape, 1))], axis=2)
    taught = usable & (labels.ends >= 0) & (labels.ends < 441)
    weights = np.linalg.lstsq(design[taught], labels.values[taught])[0]
    smeared = 0.5 * np.log(np.mean(np.exp(2.0 * (labels.values[taught] - design[taught] @ weights))))
    expected = design[441:504] @ weights + smeared
    np.testing.assert_allclose(whole[441:504][usable[441:504]], expected[usable[441:504]], atol=2e-3)


def test_a_short_history_is_refused_in_words_that_say_what_it_could_show() -> None:
    """Mean 1, deviation 4: (1.645 + 0.842)^2 x 16 = 99 sessions."""
    rng = np.random.default_rng(0)
    draws = rng.standard_normal(38)
    profits = 1.0 + 4.0 * (draws - draws.mean()) / draws.std(ddof=1)
    said = refusal(profits)
    assert said.startswith("38 sessions of hedged profits are no evidence of a premium; 504 are asked for")
    assert "The mean of 38 is +1.00 vol points with a deviation of 4.00" in said
    assert "99 sessions in 80%" in said and "46% of histories" in said
    assert refusal(np.full(5, np.nan)).startswith("0 sessions")
