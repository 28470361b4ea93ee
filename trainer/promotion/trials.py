"""Bars on how much was tried: deflated Sharpe ratio, and overfitting of the selection."""

from __future__ import annotations

from dataclasses import replace

from trainer.promotion.case import Case, Row, at_least, at_most, get, number
from trainer.promotion.config import PromotionConfig
from trainer.validation import dsr as deflation
from trainer.validation.power import deflated_rates


def deflated_sharpe(case: Case, net: object = None) -> float | None:
    """DSR of the net walk-forward returns, or of others with moments `net`, over every trial of the evidence.

    None where a part of it is missing.
    """
    net = get(case.measured, "walk_forward", "net") if net is None else net
    trials = case.evidence.get("trials")
    count, variance = number(trials, "n_trials"), number(trials, "variance_of_sharpes")
    moments = [number(net, name) for name in ("sharpe", "sessions", "skewness", "kurtosis")]
    if count is None or variance is None or any(value is None for value in moments):
        return None
    sharpe, sessions, skewness, kurtosis = (float(value) for value in moments if value is not None)
    return deflation.deflated_sharpe_ratio(
        sharpe, int(sessions), skewness=skewness, kurtosis=kurtosis, trials=int(count), variance_of_trials=variance
    )


def dsr(case: Case, bars: PromotionConfig) -> Row:
    """Deflated Sharpe ratio of the book over every trial."""
    count = number(case.evidence.get("trials"), "n_trials")
    tried = f"over {count:.0f} trial{'s' * (count != 1)}" if count is not None else ""
    found, net = deflated_sharpe(case), get(case.measured, "walk_forward", "net")
    row = at_least("DSR", found, bars.min_dsr, f"deflated Sharpe ratio {tried}".strip())
    sharpe, sessions = number(net, "annual_sharpe"), number(net, "sessions")
    if found is None or sharpe is None or sessions is None:
        return row
    return replace(row, power=deflated_rates(sharpe, found, bars.min_dsr, int(sessions)))


def pbo(case: Case, bars: PromotionConfig) -> Row:
    """Probability of backtest overfitting, or what takes its place."""
    found = get(case.evidence, "trials", "pbo")
    value = number(found, "value")
    if value is not None:
        return at_most("PBO", value, bars.max_pbo, "probability of backtest overfitting")
    reason = get(found, "reason") or "PBO does not apply"
    return at_most(
        "P(loss)", number(found, "probability_of_loss"), bars.max_probability_of_loss,
        f"out of sample, in place of PBO ({reason})",
    )  # fmt: skip
