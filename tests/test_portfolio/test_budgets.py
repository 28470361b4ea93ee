"""Risk parity inside the sides, CVaR budgets, and forecasts in the place of trailing volatilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from portfolio.build import AccountSize, PortfolioConfig, build
from portfolio.config import BookSides, CvarBudget, CvarMethod, Weighting
from portfolio.policy.target import target_book
from portfolio.risk.cvar import historical_cvar, normal_cvar_multiplier, session_cvar
from portfolio.risk.hrp import budgets, hrp_weights, shared_by_risk
from portfolio.risk.kelly import SizingCoefficient
from portfolio.risk.model import FORECAST_LIMIT, RiskModel, annual_volatility, estimate, with_volatility
from signals.errors import InvariantBroken
from tests.test_portfolio.books import SESSION, bars_of, names, random_scores, risk_model

IC = SizingCoefficient(0.03, 4.0, 1e9)
METHODS = list(CvarMethod)


def market(n: int = 120, seed: int = 2, sessions: int = 300) -> np.ndarray:
    rng = np.random.default_rng(seed)
    factor = 0.01 * rng.standard_t(4, (sessions, 1))
    return factor * rng.uniform(0.6, 1.4, n) + rng.uniform(0.008, 0.03, n) * rng.standard_t(4, (sessions, n))


def measured(n: int = 120) -> RiskModel:
    return estimate(bars_of(market(n)), 5, IC)


def test_a_sides_gross_is_shared_by_risk_parity_and_signs_and_gross_stay() -> None:
    """Variances 1 and 4 without correlation share a side 4 : 1 (inverse variance), whatever the convictions were."""
    covariance = np.diag([1.0, 4.0, 1.0, 1.0])
    shared = shared_by_risk(np.array([0.1, 0.4, -0.2, 0.0]), covariance)
    np.testing.assert_allclose(shared, [0.4, 0.1, -0.2, 0.0])


def test_the_whole_book_under_risk_parity_keeps_every_limit_and_is_calmer_before_its_scale() -> None:
    """The names are the same, their sizes follow risk: at gross 1 the forecast volatility is lower."""
    scores, risk = random_scores(120), measured()
    config = PortfolioConfig(names_per_side=20)
    by_score = target_book(scores, risk, config, {}, 1e6)
    by_risk = target_book(scores, risk, config.model_copy(update={"weighting": Weighting.HRP}), {}, 1e6)
    np.testing.assert_array_equal(np.sign(by_score.weights), np.sign(by_risk.weights))
    told = [float(dict(book.decisions)["forecast volatility at gross 1"]) for book in (by_score, by_risk)]
    assert told[1] < told[0]


def test_one_side_under_risk_parity_is_that_of_the_hierarchy() -> None:
    risk = measured(40)
    book = np.where(np.arange(40) < 10, 0.05, 0.0)
    shared = shared_by_risk(book, risk.covariance)
    np.testing.assert_allclose(shared[:10], 0.5 * hrp_weights(risk.covariance[:10, :10]), rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", list(BookSides))
def test_a_cvar_budget_binds_and_is_met_exactly(method: CvarMethod, mode: BookSides) -> None:
    """Under a budget half of what the free book would lose, the expected shortfall of the target is the budget."""
    scores, risk = random_scores(120), measured()
    free = PortfolioConfig(mode=mode, names_per_side=20, fixed_ic=0.5, volatility_target=1.0)
    book = target_book(scores, risk, free, {}, 1e6)
    lost = session_cvar(risk.returns @ book.weights, 0.95, method)  # type: ignore[operator]  # estimate gives returns
    bound = free.model_copy(update={"cvar": CvarBudget(limit=lost / 2, method=method)})
    kept = target_book(scores, risk, bound, {}, 1e6)
    assert session_cvar(risk.returns @ kept.weights, 0.95, method) == pytest.approx(lost / 2)  # type: ignore[operator]
    np.testing.assert_allclose(kept.weights, book.weights / 2, rtol=1e-6)
    assert dict(kept.decisions)["scale"].endswith("by CVaR budget")


def test_a_budget_that_is_not_reached_changes_nothing() -> None:
    scores, risk = random_scores(120), measured()
    free = PortfolioConfig(names_per_side=20)
    loose = free.model_copy(update={"cvar": CvarBudget(limit=0.5)})
    np.testing.assert_array_equal(target_book(scores, risk, free, {}, 1e6).weights, target_book(scores, risk, loose, {}, 1e6).weights)


def test_a_budget_without_returns_is_refused_rather_than_guessed() -> None:
    config = PortfolioConfig(cvar=CvarBudget(limit=0.02))
    with pytest.raises(InvariantBroken, match="returns"):
        build(random_scores(100), risk_model(100), config, {}, SESSION, AccountSize(1e6))


def test_the_three_tails_agree_on_a_normal_book_and_part_on_a_heavy_one() -> None:
    rng = np.random.default_rng(11)
    calm = rng.normal(0, 0.01, 20_000)
    expected = 0.01 * normal_cvar_multiplier(0.95)
    for method in METHODS:
        assert session_cvar(calm, 0.95, method) == pytest.approx(expected, rel=0.04)
    heavy = 0.01 * rng.standard_t(3, 20_000)
    true = historical_cvar(-heavy, 0.99)
    assert session_cvar(heavy, 0.99, CvarMethod.EVT) == pytest.approx(true, rel=0.08)
    assert session_cvar(heavy, 0.99, CvarMethod.NORMAL) < 0.8 * true


def test_a_forecast_restates_variance_residual_and_returns_and_leaves_correlation_and_beta() -> None:
    """Volatility 20 % a year over 5 sessions is 0.2 sqrt(5 / 252) = 0.028172."""
    risk = measured(30)
    own = np.sqrt(np.diag(risk.covariance))
    forecast = with_volatility(risk, {names(30)[3]: 0.2, names(30)[4]: float("nan"), "UNKNOWN": 0.3})
    new = np.sqrt(np.diag(forecast.covariance))
    ratio = new / own
    assert new[3] == pytest.approx(0.2 * np.sqrt(5 / 252))
    assert new[3] == pytest.approx(0.028172, abs=1e-6)
    np.testing.assert_array_equal(np.delete(ratio, 3), 1.0)
    np.testing.assert_allclose(forecast.covariance / np.outer(new, new), risk.covariance / np.outer(own, own), rtol=1e-12)
    np.testing.assert_allclose(forecast.residual_volatility, risk.residual_volatility * ratio)
    np.testing.assert_allclose(forecast.returns, risk.returns * ratio)  # type: ignore[arg-type, operator]
    np.testing.assert_array_equal(forecast.beta, risk.beta)
    assert forecast.forecast_names == 1 and forecast.forecast_ratio == pytest.approx(ratio[3])
    assert risk.forecast_ratio == with_volatility(risk, {}).forecast_ratio == 1.0


@pytest.mark.parametrize(("annual", "factor"), [(1e-6, 1 / FORECAST_LIMIT), (50.0, FORECAST_LIMIT)])
def test_a_wild_forecast_moves_a_volatility_by_no_more_than_its_limit(annual: float, factor: float) -> None:
    risk = measured(30)
    forecast = with_volatility(risk, dict.fromkeys(risk.symbols, annual))
    np.testing.assert_allclose(np.diag(forecast.covariance), np.diag(risk.covariance) * factor**2, rtol=1e-12)


def test_twice_the_forecast_volatility_halves_the_book_that_the_volatility_target_binds() -> None:
    scores, risk = random_scores(120), measured()
    config = PortfolioConfig(names_per_side=20, fixed_ic=0.5, volatility_target=0.03, beta_limit=1, stepped_beta_limit=1)
    own = np.sqrt(np.diag(risk.covariance) * 252 / 5)
    doubled = with_volatility(risk, dict(zip(risk.symbols, (2 * own).tolist(), strict=True)))
    calm, rough = (target_book(scores, model, config, {}, 1e6) for model in (risk, doubled))
    np.testing.assert_allclose(rough.weights, calm.weights / 2, rtol=1e-9)
    assert annual_volatility(rough.weights, rough.candidates.covariance, 5) == pytest.approx(0.03)


def test_returns_of_another_width_are_refused() -> None:
    with pytest.raises(InvariantBroken, match=r"risk\.returns"):
        replace(measured(20), returns=np.zeros((5, 3)))


def test_budgets_of_books_are_shares_of_risk_and_one_that_never_moved_has_none() -> None:
    """Two like books share what a third one alone would have; deviations 1, 1 and 2, so that the wild one gets least."""
    rng = np.random.default_rng(3)
    one = rng.standard_normal(5000)
    found = budgets({"a": one, "b": one + 0.1 * rng.standard_normal(5000), "c": 2.0 * rng.standard_normal(5000), "still": np.zeros(5000)})
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-5)
    assert found["still"] == 0.0 and found["a"] > found["c"] and found["b"] > found["c"]
    assert budgets({"a": np.zeros(9)}) == {"a": 0.0} and budgets({}) == {}
    assert budgets({"a": one}) == {"a": 1.0}
