"""Figures of risk forecasts: QLIKE against simple baselines, interval coverage, rank correlation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from signals.market.bars import Days, Floats
from trainer.search.trial_log import Series
from trainer.tasks.volatility.proof import HAR, DrawdownProof, VolatilityProof, common
from trainer.validation.forecasts import advantage, coverage, mean_loss, pinball, qlike, session_mean
from trainer.validation.ic import Mean, persistent_mean, rank_ic

BASELINE, TREES = "ewma", "trees"
BINS = 20
NO_MEAN = Mean()


@dataclass(frozen=True, eq=False)
class VolatilityFigures:
    """Figures of one horizon, all walking forward but `qlike_by_path`.

    Attributes
    ----------
    qlike : mapping of forecaster to Mean
        On the cells that every forecaster has.
    advantage : mapping of baseline to Mean
        QLIKE of the baseline minus the recipe's own: positive when its own is better.
    trees_advantage : Mean
        QLIKE of the recipe's own minus the trees': positive when the trees are better.
    qlike_by_path : tuple of float
        Of the recipe's own, on each path of the cross-validation.
    bias : float
        Realised over forecast variance, both averaged over everything: 1 is unbiased.
    coverage, below, above : Mean
        Share of outcomes inside the trees' band, under it, over it.
    ic : Mean
        Rank correlation of the recipe's own forecast with what came.
    calibration : tuple of (forecast, realised)
        Root mean variances of twenty equal groups by forecast.
    """

    horizon: int
    qlike: dict[str, Mean]
    advantage: dict[str, Mean]
    trees_advantage: Mean
    qlike_by_path: tuple[float, ...]
    bias: float
    coverage: Mean
    below: Mean
    above: Mean
    ic: Mean
    calibration: tuple[tuple[float, float], ...]
    own: str = HAR


@dataclass(frozen=True)
class DrawdownFigures:
    """Coverage of the drawdown quantile, and its pinball loss against the constant one's."""

    coverage: Mean
    pinball: Mean
    constant_pinball: Mean
    advantage: Mean


@dataclass(frozen=True)
class DrawdownEvidence:
    """The part `drawdown` of the evidence: what is forecast, and its figures."""

    sessions: int = 0
    level: float = math.nan
    coverage: Mean = NO_MEAN
    advantage: Mean = NO_MEAN


@dataclass(frozen=True)
class HorizonEvidence:
    """Figures of one horizon for a promotion; a figure that is absent is no evidence."""

    horizon: int = 0
    own: str = ""
    advantage: Mapping[str, Mean] = field(default_factory=dict)
    coverage: Mean = NO_MEAN
    bias: float = math.nan


def volatility_figures(proof: VolatilityProof) -> VolatilityFigures:
    """Compute the figures of one horizon."""
    k, realised = proof.horizon, proof.realised
    shared = common(iter([realised, *proof.forecasts.values()]))
    losses = {name: qlike(realised, forecast) * shared for name, forecast in proof.forecasts.items()}
    own, best = proof.own, proof.forecasts[proof.own]
    return VolatilityFigures(
        horizon=k,
        qlike={name: mean_loss(loss, k) for name, loss in losses.items()},
        advantage={name: advantage(losses[own], loss, k) for name, loss in losses.items() if name not in (own, TREES)},
        trees_advantage=advantage(losses[TREES], losses[own], k),
        qlike_by_path=tuple(float(np.nanmean(qlike(realised, proof.proof.rows.dense(np.exp(path))))) for path in proof.proof.oof.scores),
        bias=float(np.nansum(np.square(realised) * shared) / np.nansum(np.square(best) * shared)),
        coverage=coverage(realised, proof.low, proof.high, k),
        below=coverage(realised, _edge(proof.low, -np.inf), _under(proof.low), k),
        above=coverage(realised, _over(proof.high), _edge(proof.high, np.inf), k),
        ic=persistent_mean(rank_ic(best, realised), 2 * (k - 1)),
        calibration=calibration_curve(best * shared, realised * shared),
        own=own,
    )


def gains(realised: Floats, forecast: Floats, baseline: Floats, sessions: Days) -> Series:
    """QLIKE that the forecast saves against the baseline, by session: what trials and seals are judged by."""
    gain = session_mean(qlike(realised, baseline) - qlike(realised, forecast))
    return Series.known(sessions, gain)


def drawdown_figures(proof: DrawdownProof, k: int, level: float) -> DrawdownFigures:
    """Compute the figures of the drawdown quantile."""
    ours, theirs = (pinball(proof.realised, forecast, level) for forecast in (proof.forecast, proof.constant))
    return DrawdownFigures(
        coverage=coverage(proof.realised, _edge(proof.forecast, -np.inf), proof.forecast, k),
        pinball=mean_loss(ours, k),
        constant_pinball=mean_loss(theirs, k),
        advantage=advantage(ours, theirs, k),
    )


def calibration_curve(forecast: Floats, realised: Floats) -> tuple[tuple[float, float], ...]:
    """Root mean square of forecast and of outcome in `BINS` groups of equal size, from the calmest to the wildest."""
    known = np.isfinite(forecast) & np.isfinite(realised)
    expected, came = forecast[known], realised[known]
    order = np.argsort(expected, kind="stable")
    groups = [group for group in np.array_split(order, BINS) if group.size]
    return tuple((float(np.sqrt(np.square(expected[group]).mean())), float(np.sqrt(np.square(came[group]).mean()))) for group in groups)


def _edge(panel: Floats, value: float) -> Floats:
    return np.where(np.isfinite(panel), value, np.nan)


def _under(panel: Floats) -> Floats:
    return np.where(np.isfinite(panel), np.nextafter(panel, -np.inf), np.nan)


def _over(panel: Floats) -> Floats:
    return np.where(np.isfinite(panel), np.nextafter(panel, np.inf), np.nan)
