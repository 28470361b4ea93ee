r"""Probabilistic and deflated Sharpe ratios, and the minimum track record length.

Everything is per period: a daily Sharpe ratio goes with daily T. g3 is skewness, g4 Pearson's kurtosis (normal 3),
T the number of observations, N the number of trials, failed and discarded ones included.

    PSR(b)   = Phi[(SR - b) sqrt(T - 1) / sqrt(1 - g3 SR + (g4 - 1)/4 SR^2)]
    E[max_N] = (1 - g) Phi^-1(1 - 1/N) + g Phi^-1(1 - 1/(N e)),       g = 0.5772156649
    DSR      = PSR(SR0),  SR0 = sqrt(V[SR_n]) E[max_N]

Sources: Bailey and Lopez de Prado, The Sharpe Ratio Efficient Frontier (2012); The Deflated Sharpe Ratio (2014);
Bailey, Borwein, Lopez de Prado and Zhu, Pseudo-Mathematics and Financial Charlatanism (2014); Lopez de Prado, Lipton
and Zoonekynd, How to Use the Sharpe Ratio (2025).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, pi, sqrt

import numpy as np
from scipy.integrate import quad
from scipy.special import ndtr, ndtri

from signals.errors import InvariantBroken
from signals.market.bars import Floats

EULER_GAMMA = 0.5772156649015329
NORMAL_KURTOSIS = 3.0


@dataclass(frozen=True)
class SharpeMoments:
    """Moments of a return series: per-period Sharpe ratio, skewness, kurtosis, length."""

    sharpe: float
    skewness: float
    kurtosis: float
    observations: int


@dataclass(frozen=True)
class Hurdle:
    """How many trials there were, and the variance of their Sharpe ratios per period."""

    trials: int
    variance: float


def sharpe_moments(returns: Floats) -> SharpeMoments:
    """Moments of a series without NaN; standard deviation with ddof 1, skewness and kurtosis as plain moment ratios.

    Raises
    ------
    InvariantBroken
        Fewer than 2 observations, a NaN, or no variation.
    """
    if len(returns) < 2 or not bool(np.isfinite(returns).all()) or float(np.ptp(returns)) == 0.0:
        raise InvariantBroken("a Sharpe ratio needs two finite, different returns at least")
    centred = returns - returns.mean()
    spread = float(np.sqrt(np.mean(centred**2)))
    return SharpeMoments(
        sharpe=float(returns.mean() / returns.std(ddof=1)),
        skewness=float(np.mean(centred**3)) / spread**3,
        kurtosis=float(np.mean(centred**4)) / spread**4,
        observations=len(returns),
    )


def probabilistic_sharpe_ratio(
    sharpe: float, observations: int, *, skewness: float = 0.0, kurtosis: float = NORMAL_KURTOSIS, benchmark: float = 0.0
) -> float:
    """Probability that the true Sharpe ratio exceeds `benchmark`."""
    variance = _variance_factor(sharpe, skewness, kurtosis)
    return float(ndtr((sharpe - benchmark) * np.sqrt((observations - 1) / variance)))


def expected_max(trials: int) -> float:
    """Expected maximum of `trials` standard normals, in the approximation above; 0 for one trial."""
    if trials < 1:
        raise InvariantBroken(f"{trials} trials have no maximum")
    if trials == 1:
        return 0.0
    return float((1.0 - EULER_GAMMA) * ndtri(1.0 - 1.0 / trials) + EULER_GAMMA * ndtri(1.0 - 1.0 / (trials * np.e)))


def deflation_benchmark(trials: int, variance_of_trials: float, observations: int) -> float:
    """SR0: the Sharpe ratio that the best of `trials` without skill is expected to show.

    The variance of the trials' Sharpe ratios is floored at 1 / (T - 1), what a single skill-less trial has: a hundred
    clones of one strategy would otherwise make the bar weaker.
    """
    return float(np.sqrt(max(variance_of_trials, 1.0 / (observations - 1)))) * expected_max(trials)


def deflated_sharpe_ratio(
    sharpe: float, observations: int, *, trials: int, variance_of_trials: float, skewness: float = 0.0, kurtosis: float = NORMAL_KURTOSIS
) -> float:
    """Return the deflated Sharpe ratio of 2014; with one trial it is PSR(0)."""
    benchmark = deflation_benchmark(trials, variance_of_trials, observations)
    return probabilistic_sharpe_ratio(sharpe, observations, skewness=skewness, kurtosis=kurtosis, benchmark=benchmark)


def deflated_sharpe_ratio_2025(
    sharpe: float, observations: int, *, trials: int, variance_of_trials: float, skewness: float = 0.0, kurtosis: float = NORMAL_KURTOSIS
) -> float:
    """Return the deflated Sharpe ratio of 2025: the null's variance, taken at SR0, of the best of `trials`.

    Phi[(SR - SR0) / sqrt(Var[max_N] (1 - g3 SR0 + (g4 - 1)/4 SR0^2) / T)]
    """
    benchmark = deflation_benchmark(trials, variance_of_trials, observations)
    variance = variance_of_max(trials) * _variance_factor(benchmark, skewness, kurtosis) / observations
    return float(ndtr((sharpe - benchmark) / np.sqrt(variance)))


@cache
def variance_of_max(trials: int) -> float:
    """Variance of the maximum of `trials` independent standard normals, by quadrature; 1 for one, 1 - 1/pi for two."""

    def density(z: float) -> float:
        return exp(-(z**2) / 2.0) / sqrt(2.0 * pi)

    def moment(power: int) -> float:
        value, _ = quad(lambda z: z**power * trials * density(z) * ndtr(z) ** (trials - 1), -12.0, 12.0, epsabs=1e-12, limit=200)
        return float(value)

    return moment(2) - moment(1) ** 2


def minimum_track_record_length(
    sharpe: float, *, skewness: float = 0.0, kurtosis: float = NORMAL_KURTOSIS, benchmark: float = 0.0, alpha: float = 0.05
) -> float:
    """Observations needed for PSR(benchmark) to reach 1 - alpha; infinite unless the ratio exceeds the benchmark."""
    if sharpe <= benchmark:
        return float("inf")
    quantile = float(ndtri(1.0 - alpha))
    return 1.0 + _variance_factor(sharpe, skewness, kurtosis) * (quantile / (sharpe - benchmark)) ** 2


def sessions_needed(moments: SharpeMoments, hurdles: Sequence[Hurdle], confidence: float) -> float:
    """Observations after which the same moments have this DSR over every hurdle; infinite where none are enough.

    As SR0 is the larger of sqrt(V) E[max_N] and E[max_N] / sqrt(T - 1), there are two lengths, and the longer counts:
    the minimum track record length over the first, and 1 + ((z s + E[max_N]) / SR)^2 with s^2 the variance factor of
    PSR.
    """
    shape = {"skewness": moments.skewness, "kurtosis": moments.kurtosis}
    quantile, spread = float(ndtri(confidence)), np.sqrt(_variance_factor(moments.sharpe, **shape))
    if moments.sharpe <= 0.0:
        return float("inf")
    lengths = []
    for hurdle in hurdles:
        luck = expected_max(hurdle.trials)
        fixed = float(np.sqrt(hurdle.variance)) * luck
        lengths.append(1.0 + float((quantile * spread + luck) / moments.sharpe) ** 2)
        lengths.append(minimum_track_record_length(moments.sharpe, benchmark=fixed, alpha=1.0 - confidence, **shape))
    return max(lengths)


def strictest(moments: SharpeMoments, hurdles: Sequence[Hurdle]) -> float:
    """Return the smallest deflated Sharpe ratio of 2014 over the hurdles."""
    return min(
        deflated_sharpe_ratio(
            moments.sharpe,
            moments.observations,
            trials=hurdle.trials,
            variance_of_trials=hurdle.variance,
            skewness=moments.skewness,
            kurtosis=moments.kurtosis,
        )
        for hurdle in hurdles
    )


def minimum_backtest_length(trials: int, sharpe_in_sample: float) -> float:
    """Years below which the best of `trials` without skill is expected to show this annual Sharpe ratio."""
    return (expected_max(trials) / sharpe_in_sample) ** 2


def minimum_backtest_length_bound(trials: int, sharpe_in_sample: float) -> float:
    """Upper bound of `minimum_backtest_length`: 2 ln N / SR^2 years."""
    return float(2.0 * np.log(trials) / sharpe_in_sample**2)


def _variance_factor(sharpe: float, skewness: float, kurtosis: float) -> float:
    factor = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if factor <= 0.0:
        raise InvariantBroken(f"skewness {skewness:.3g} and kurtosis {kurtosis:.3g} belong to no distribution")
    return factor
