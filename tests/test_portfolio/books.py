"""Seeded markets, scores and risk models for the portfolio's tests."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from portfolio.risk.kelly import SizingCoefficient
from portfolio.risk.model import RiskModel
from signals.market.bars import Bars, days_array
from signals.scoring.scores import Scores

ASOF = date(2021, 6, 1)
SESSION = date(2021, 6, 2)


def names(n: int) -> tuple[str, ...]:
    return tuple(f"S{i:04d}" for i in range(n))


def risk_model(
    n: int, seed: int = 0, *, ic: float = 0.02, t: float = 4.0, book_t: float | None = 1e9, beta_spread: float = 0.4
) -> RiskModel:
    """One market factor, uncorrelated residuals, three sectors; figures over five sessions."""
    rng = np.random.default_rng(seed)
    beta = np.clip(rng.normal(1.0, beta_spread, n), 0.2, 2.5)
    residual = rng.uniform(0.02, 0.06, n)
    covariance = np.outer(beta, beta) * 0.02**2 + np.diag(residual**2)
    sectors = tuple(rng.choice(["energy", "health", "tech"], n).tolist())
    return RiskModel(ASOF, names(n), covariance, residual, beta, sectors, SizingCoefficient(ic, t, book_t), 5)


def scores_of(values: np.ndarray, symbols: tuple[str, ...] | None = None) -> Scores:
    return Scores(ASOF, "equities_xs", symbols or names(len(values)), np.asarray(values, dtype=np.float64), "test")


def random_scores(n: int, seed: int = 1) -> Scores:
    return scores_of(np.random.default_rng(seed).normal(size=n))


def bars_of(returns: np.ndarray, eligible: np.ndarray | None = None) -> Bars:
    """Bars whose total returns are exactly `returns` (T, N); a NaN return is a missing bar."""
    sessions, n = returns.shape
    days = days_array([date(2020, 1, 1) + timedelta(days=i) for i in range(sessions)])
    missing = np.isnan(returns)
    price = np.where(missing, np.nan, 100.0)
    return Bars(
        sessions=days,
        symbols=names(n),
        open=price.copy(),
        high=price.copy(),
        low=price.copy(),
        close=price.copy(),
        volume=np.where(missing, np.nan, 1e6),
        total_return=returns.copy(),
        overnight_return=returns.copy(),
        eligible=~missing if eligible is None else eligible,
    )
