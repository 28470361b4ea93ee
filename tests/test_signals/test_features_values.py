"""Each feature family on ten rows that can be worked by hand, and the NaN policy of each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy.stats import rankdata

from signals.features.history import FeatureInputs, market_return
from signals.features.panel import Feature
from signals.features.price import (
    band_position,
    beta,
    drawdown,
    log_traded_usd,
    momentum,
    momentum_12_1,
    overnight_mean,
    overnight_return,
    overnight_volatility,
    realised_volatility,
    residual_volatility,
    zscore,
)
from signals.features.ranking import rank
from signals.features.seasonality import day_of_week_cos, day_of_week_sin
from signals.market.bars import Bars
from signals.sleeves import SLEEVES
from tests.fakes.bars import synthetic_bars

NAN = math.nan
PRICES = (100.0, 110.0, 99.0, 99.0, 118.8, 118.8, 106.92, 96.228, 96.228, 115.4736)
RETURNS = (NAN, 0.10, -0.10, 0.0, 0.20, 0.0, -0.10, -0.10, 0.0, 0.20)
LAST_FIVE = (0.0, -0.10, -0.10, 0.0, 0.20)


def ten_bars(
    returns: Sequence[Sequence[float]] = (RETURNS,), overnight: Sequence[float] | None = None, volume: Sequence[float] = (1000.0,) * 10
) -> Bars:
    """Monday 2024-01-08 to Friday 2024-01-19, one column a list of returns; the bar at price 100 in each session."""
    total = np.array(returns).T
    shape = total.shape
    price = np.full(shape, 100.0)
    nights = total if overnight is None else np.repeat(np.array(overnight)[:, None], shape[1], axis=1)
    return Bars(
        sessions=np.busday_offset(np.datetime64("2024-01-08"), np.arange(len(total))),
        symbols=tuple("ABCDEFG"[: shape[1]]),
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.repeat(np.array(volume)[:, None], shape[1], axis=1),
        total_return=total,
        overnight_return=nights.copy(),
        eligible=np.ones(shape, bool),
    )


def history(*returns: Sequence[float], **others: Sequence[float]) -> FeatureInputs:
    return FeatureInputs.of(ten_bars(returns or (RETURNS,), **others))


@pytest.fixture(autouse=True)
def _formulas_divide_by_zero_where_nothing_is_known() -> Iterator[None]:
    """As `Feature.evaluate` does: what comes of it is NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        yield


def last(values: np.ndarray) -> float:
    return float(values[-1, 0])


def test_momentum_compounds_the_returns_of_its_window() -> None:
    """115.4736 / 118.8 - 1 = -0.028; nine valid returns of ten: 115.4736 / 100 - 1."""
    assert last(momentum(history(), 5)) == pytest.approx(-0.028, abs=1e-15)
    assert last(momentum(history(), 10)) == pytest.approx(0.154736, abs=1e-15)
    assert np.isnan(momentum(history(), 5)[:4]).all()
    assert momentum(history(), 5)[4, 0] == pytest.approx(1.1 * 0.9 * 1.2 - 1.0, abs=1e-15)


def test_twelve_months_less_one_stops_21_sessions_ago() -> None:
    """1 % a session for 231 sessions, then a crash that must not enter, before them a boom that must not either."""
    bars = synthetic_bars(0, sessions=260, symbols=1, missing=0.0)
    total = np.full((260, 1), 0.01)
    total[-21:], total[:8] = -0.5, 3.0
    value = momentum_12_1(
        FeatureInputs.of(
            replace(
                bars,
                close=np.ones((260, 1)),
                open=np.ones((260, 1)),
                high=np.ones((260, 1)),
                low=np.ones((260, 1)),
                volume=np.ones((260, 1)),
                total_return=total,
            )
        )
    )
    assert last(value) == pytest.approx(1.01**231 - 1.0, rel=1e-13)


def test_day_of_week_turns_once_in_five_sessions() -> None:
    sine, cosine = day_of_week_sin(history())[:, 0], day_of_week_cos(history())[:, 0]
    np.testing.assert_allclose(sine[:5], np.sin(2 * np.pi * np.arange(5) / 5), atol=1e-15)
    np.testing.assert_allclose(cosine[:5], np.cos(2 * np.pi * np.arange(5) / 5), atol=1e-15)
    np.testing.assert_array_equal(sine[:5], sine[5:])


def test_zscore_of_the_log_level() -> None:
    levels = np.log(np.array(PRICES[5:]))
    assert last(zscore(history(), 5)) == pytest.approx((levels[-1] - levels.mean()) / levels.std(ddof=1), rel=1e-12)


def test_zscore_of_a_staircase_by_hand() -> None:
    """Levels 0 1 2 3 4 (times any step): (4 - 2) / sqrt(10 / 4)."""
    steps = (NAN, *(math.exp(0.01) - 1.0,) * 9)
    assert last(zscore(history(steps), 5)) == pytest.approx(2.0 / math.sqrt(2.5), rel=1e-12)


def test_band_position_by_hand() -> None:
    """Prices 118.8 106.92 96.228 96.228 115.4736, mean 106.72992, two sd (ddof 1) either side."""
    window = np.array(PRICES[5:])
    lower, upper = (window.mean() + k * window.std(ddof=1) for k in (-2, 2))
    assert last(band_position(history(), 5)) == pytest.approx((PRICES[-1] - lower) / (upper - lower), rel=1e-12)


def test_a_price_that_does_not_move_has_no_zscore_and_no_band() -> None:
    still = history((NAN, *(0.0,) * 9))
    assert math.isnan(last(zscore(still, 5)))
    assert math.isnan(last(band_position(still, 5)))
    assert last(realised_volatility(still, 5)) == 0.0


def test_realised_volatility_by_hand() -> None:
    """0 -.1 -.1 0 .2: mean 0, squares .06, over 4, times 252."""
    assert last(realised_volatility(history(), 5)) == pytest.approx(math.sqrt(0.06 / 4 * 252), rel=1e-14)


def test_log_traded_usd_by_hand() -> None:
    """Volumes 1..10 thousand at 100 USD: the mean of the last five is 800,000 USD."""
    rising = history(volume=[1000.0 * k for k in range(1, 11)])
    assert last(log_traded_usd(rising, 5)) == pytest.approx(math.log(800_000.0))
    assert last(log_traded_usd(history(volume=[0.0] * 10), 5)) == -math.inf  # made NaN where features are evaluated


def test_gaps_by_hand() -> None:
    nights = (NAN, 0.5, 0.5, 0.5, 0.5, 0.01, -0.01, 0.02, 0.0, 0.03)
    subject = history(overnight=nights)
    assert last(overnight_return(subject)) == 0.03
    assert last(overnight_mean(subject, 5)) == pytest.approx(0.01, rel=1e-14)
    squares = 0.0 + 0.02**2 + 0.01**2 + 0.01**2 + 0.02**2
    assert last(overnight_volatility(subject, 5)) == pytest.approx(math.sqrt(squares / 4 * 252), rel=1e-13)


def test_drawdown_by_hand() -> None:
    """From the peak 118.8: 115.4736 / 118.8 - 1 = -0.028, at row 7 96.228 / 118.8 - 1 = -0.19, at a peak exactly 0."""
    fall = drawdown(history(), 5)[:, 0]
    assert fall[-1] == pytest.approx(-0.028, abs=1e-15)
    assert fall[7] == pytest.approx(-0.19, abs=1e-15)
    assert fall[4] == 0.0


def test_drawdown_forgets_a_peak_that_has_left_the_window() -> None:
    returns = (NAN, 9.0, -0.5, 0.1, 0.1, 0.1, 0.1, -0.2, 0.1, 0.1)
    assert drawdown(history(returns), 5)[6, 0] == 0.0
    assert last(drawdown(history(returns), 5)) == pytest.approx(0.8 * 1.1 * 1.1 - 1.0, abs=1e-15)


def test_beta_and_residual_volatility_by_hand() -> None:
    """A = m + e and B = m - e make the market m; e is uncorrelated with m, so beta is 1 and e is the residual."""
    m, e = (0.02, -0.02, 0.02, -0.02, 0.0), (0.01, 0.01, -0.01, -0.01, 0.0)
    one = (NAN, *(0.0,) * 4, *(a + b for a, b in zip(m, e, strict=True)))
    two = (NAN, *(0.0,) * 4, *(a - b for a, b in zip(m, e, strict=True)))
    subject = history(one, two)
    np.testing.assert_allclose(subject.market[5:], m, atol=1e-17)
    np.testing.assert_allclose(beta(subject, 5)[-1], [1.0, 1.0], rtol=1e-13)
    np.testing.assert_allclose(residual_volatility(subject, 5)[-1], math.sqrt(4e-4 / 4 * 252), rtol=1e-12)


def test_beta_is_the_slope_of_a_regression() -> None:
    rng = np.random.default_rng(5)
    subject = history(*rng.normal(0.0, 0.02, (4, 10)))
    for name in range(4):
        slope, intercept = np.polyfit(subject.market, subject.total_return[:, name], 1)
        residual = subject.total_return[:, name] - intercept - slope * subject.market
        assert beta(subject, 10)[-1, name] == pytest.approx(slope, rel=1e-10)
        expected = math.sqrt(252) * residual.std(ddof=1)
        assert residual_volatility(subject, 10)[-1, name] == pytest.approx(expected, rel=1e-10)


def test_without_a_market_at_a_session_used_there_is_no_beta() -> None:
    bars = ten_bars((RETURNS, RETURNS))
    eligible = bars.eligible.copy()
    eligible[6] = False
    lone = FeatureInputs.of(replace(bars, eligible=eligible))
    assert np.isnan(lone.market[6])
    assert np.isnan(beta(lone, 5)[6:]).all()
    assert np.isfinite(beta(lone, 4)[5]).all()
    assert np.isfinite(realised_volatility(lone, 5)[-1]).all()


def test_the_market_is_the_mean_of_eligible_names_in_any_order_and_company() -> None:
    rng = np.random.default_rng(9)
    returns = rng.normal(0.0, 0.02, (200, 31))
    returns[rng.random(returns.shape) < 0.1] = NAN
    eligible = rng.random(returns.shape) < 0.8
    market = market_return(returns, eligible)
    np.testing.assert_allclose(market, np.nanmean(np.where(eligible, returns, NAN), axis=1), rtol=1e-10, atol=1e-16)
    order = rng.permutation(31)
    np.testing.assert_array_equal(market_return(returns[:, order], eligible[:, order]), market)
    crowd = np.hstack([returns, rng.normal(size=(200, 70))])
    np.testing.assert_array_equal(market_return(crowd, np.hstack([eligible, np.zeros((200, 70), bool)])), market)


def test_ranks_by_hand() -> None:
    """Four eligible values 3 1 1 2: places 4, 1.5, 1.5, 3, less a half, over four; others have no rank."""
    values = np.array([[3, 1, 1, 2, 9, NAN]], np.float32)
    eligible = np.array([[True, True, True, True, False, True]])
    np.testing.assert_array_equal(rank(values, eligible)[0], np.array([0.875, 0.25, 0.25, 0.625, NAN, NAN], np.float32))


def test_the_two_zeros_are_one_value() -> None:
    values = np.array([[0.0, -0.0, -1.0, 1.0]], np.float32)
    np.testing.assert_array_equal(rank(values, np.ones((1, 4), bool))[0], np.array([0.5, 0.5, 0.125, 0.875], np.float32))


@pytest.mark.parametrize("symbols", [1, 2, 255, 256, 257, 258, 500, 511, 512, 513, 700])
def test_ranks_agree_with_scipy(symbols: int) -> None:
    rng = np.random.default_rng(4)
    values = np.round(rng.normal(size=(120, symbols)), 1).astype(np.float32) * np.float32(0.37)
    values[rng.random(values.shape) < 0.05] = NAN
    values[7] = NAN
    eligible = rng.random(values.shape) < 0.9
    ranks = rank(values, eligible)
    for t in range(120):
        counted = eligible[t] & ~np.isnan(values[t])
        expected = (rankdata(values[t, counted]) - 0.5) / max(1, counted.sum())
        np.testing.assert_array_equal(ranks[t, counted], expected.astype(np.float32))
        assert np.isnan(ranks[t, ~counted]).all()


def test_infinite_and_unrepresentable_values_leave_as_nan() -> None:
    huge = Feature("huge", "ratio", 1, lambda h: np.array([[math.inf], [-math.inf], [1e39], [3e38]] * 2 + [[0.0]] * 2))
    values = huge.compute(ten_bars())[:, 0]
    np.testing.assert_array_equal(np.isnan(values), [True, True, True, False] * 2 + [False] * 2)


def test_a_name_without_a_bar_has_no_feature_but_the_calendar() -> None:
    sleeve = SLEEVES["equities_xs"]
    bars = synthetic_bars(8, sessions=300, symbols=6, missing=0.03)
    panel = sleeve.panel(bars)
    gone = np.isnan(bars.close)
    assert gone[260:].any()
    for position, name in enumerate(panel.names):
        assert np.isnan(panel.values[gone, position]).all() == ("day_of_week" not in name)


def test_every_feature_of_the_requirement_is_there_in_order() -> None:
    windows = "momentum_5 momentum_20 momentum_60 momentum_126 momentum_12_1"
    calendar = "day_of_week_sin day_of_week_cos"
    levels = "zscore_20 zscore_60 volatility_20 volatility_60"
    others = "beta_60 residual_volatility_60 log_traded_usd_20 band_position_20"
    rest = "overnight_return overnight_mean_20 overnight_volatility_20 drawdown_60 drawdown_126"
    base = " ".join((windows, calendar, levels, others, rest)).split()
    ranks = [f"rank_{name}" for name in base if "day_of_week" not in name]
    sleeve = SLEEVES["equities_xs"]
    assert list(sleeve.names) == base + ranks
    assert sleeve.lookback_sessions == 252
    assert sleeve.horizon_sessions == 5
    assert sleeve.inputs == ("daily_bars",)


def test_bars_may_begin_on_any_date() -> None:
    panel = SLEEVES["equities_xs"].panel(synthetic_bars(1, sessions=1, symbols=2, start=date(2021, 3, 5)))
    assert panel.values.shape == (1, 2, 38)
