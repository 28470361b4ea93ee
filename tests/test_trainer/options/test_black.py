"""Black's formula, its inverse and its derivatives against QuantLib, and the inverse's own round trip."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.options.chains import greeks, implied_deviation, price

SPOT, DAY = 100.0, 45
RATE, YIELD = 0.03, 0.01
CASES = ((80.0, 0.35, False), (95.0, 0.2, False), (100.0, 0.15, True), (120.0, 0.5, True), (90.0, 0.2, True))


def test_the_inverse_returns_the_deviation_within_six_standard_deviations() -> None:
    """To 1e-10 of itself, from 1 vol point over a week to 200 over two years."""
    rng = np.random.default_rng(0)
    deviation = np.exp(rng.uniform(np.log(1e-3), np.log(2.8), 20_000))
    strike = SPOT * np.exp(rng.uniform(-6.0, 6.0, 20_000) * deviation)
    found = implied_deviation(price(SPOT, strike, deviation, 0.97, strike >= SPOT), SPOT, strike, 0.97)
    assert np.max(np.abs(found / deviation - 1.0)) < 1e-10


def test_a_price_outside_the_bounds_of_no_arbitrage_has_no_volatility() -> None:
    """A call for nothing, for less than nothing, for its forward, and one that is no number."""
    assert np.isnan(implied_deviation(np.array([0.0, -1.0, 97.0, 120.0, np.nan]), SPOT, np.full(5, 105.0), 0.97)).all()


def test_calls_and_puts_keep_parity() -> None:
    strike = np.array([60.0, 95.0, 100.0, 130.0])
    calls, puts = (price(SPOT, strike, 0.3, 0.98, right) for right in (True, False))
    np.testing.assert_allclose(calls - puts, 0.98 * (SPOT - strike), atol=1e-12)


def test_implied_volatilities_and_greeks_are_those_of_quantlib() -> None:
    """European options on one underlying with a rate and a yield, of both rights, near and far from the money."""
    ql = pytest.importorskip("QuantLib", reason="QuantLib is an oracle of the development environment")
    today = ql.Date(2, 1, 2018)
    ql.Settings.instance().evaluationDate = today
    counted = ql.Actual365Fixed()
    spot = ql.QuoteHandle(ql.SimpleQuote(SPOT))
    curves = [ql.YieldTermStructureHandle(ql.FlatForward(today, rate, counted)) for rate in (YIELD, RATE)]
    years, discount = DAY / 365.0, float(np.exp(-RATE * DAY / 365.0))
    forward = SPOT * float(np.exp((RATE - YIELD) * years))
    for strike, volatility, is_call in [
        (80.0, 0.35, False),
        (95.0, 0.2, False),
        (100.0, 0.15, True),
        (120.0, 0.5, True),
        (90.0, 0.2, True),
    ]:
        level = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), volatility, counted))
        process = ql.BlackScholesMertonProcess(spot, *curves, level)
        option = ql.VanillaOption(
            ql.PlainVanillaPayoff(ql.Option.Call if is_call else ql.Option.Put, strike), ql.EuropeanExercise(today + DAY)
        )
        option.setPricingEngine(ql.AnalyticEuropeanEngine(process))
        ours = price(forward, strike, volatility * np.sqrt(years), discount, is_call)
        assert ours == pytest.approx(option.NPV(), rel=1e-10)
        if is_call == (strike >= forward):
            theirs = option.impliedVolatility(option.NPV(), process, 1e-12, 500, 1e-4, 4.0)
            assert implied_deviation(ours, forward, strike, discount) / np.sqrt(years) == pytest.approx(theirs, abs=1e-8)
        found = greeks(SPOT, forward, strike, volatility, years, discount, is_call)
        for name in ("delta", "gamma", "vega", "theta", "rho"):
            assert getattr(found, name) == pytest.approx(getattr(option, name)(), rel=1e-7), name
