"""Out-of-sample forecasts of volatility, and their figures: QLIKE against simple baselines, interval coverage, rank correlation.

The recipe's learner is judged by cross-validation, all models by walk-forward; the sealed holdout stays sealed here as in every training.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from signals.features.history import limited
from signals.features.panel import FeaturePanel
from signals.features.price import SESSIONS_PER_YEAR
from signals.market.bars import Bars, Days, Floats
from trainer.labels.risk import drawdown_labels, volatility_labels
from trainer.learners.base import FitDevice, Learner
from trainer.learners.har import ExpectedVariance
from trainer.learners.lgbm import LightGbm
from trainer.learners.table import har
from trainer.recipes.base import learner_of
from trainer.samples.samples import Samples, Seal, before_seal, samples
from trainer.search.trial_log import Series
from trainer.tasks.volatility.config import VolatilityRecipe
from trainer.validation.forecasts import advantage, coverage, mean_loss, pinball, qlike, session_mean
from trainer.validation.ic import Mean, persistent_mean, rank_ic
from trainer.validation.proof import Proof, fits, prove
from trainer.validation.splits.oof import Step, folds, walk_forward

EWMA_DECAY = 0.94
MEDIAN = 0.5
HAR = "har"


@dataclass(frozen=True, eq=False)
class VolatilityProof:
    """Forecasts of one horizon; every panel is a volatility, annualised ratio, float64 (T, N), NaN where there is none.

    Attributes
    ----------
    horizon : int, sessions
    rows : Samples
        All labelled rows; targets are log volatilities.
    own : str
        Name of the recipe's own forecaster: `har`, or another learner's.
    proof : Proof
        Of the recipe's learner, over the open rows.
    realised : float64 (T, N)
    forecasts : mapping of forecaster to float64 (T, N)
        The recipe's own, `har` and `trees` walk forward; `trailing_22`, `trailing_252` and `ewma` need no learning.
    low, high : float64 (T, N)
        The trees' band.
    """

    horizon: int
    rows: Samples
    own: str
    proof: Proof
    realised: Floats
    forecasts: dict[str, Floats]
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class DrawdownProof:
    """Forecasts of one drawdown quantile, fractions, float64 (T, N), NaN where there is none.

    `rows` are all labelled rows; `forecast` is the trees', `constant` the quantile of all drawdowns before the test.
    """

    rows: Samples
    realised: Floats
    forecast: Floats
    constant: Floats


@dataclass(frozen=True, eq=False)
class Forecasting:
    """Context that all forecasts of a training share: bars, features, the first row that is learned from, and how models are fitted.

    `seal` is that of the recipe's own horizon: by labels of their own, those of fewer sessions would be sealed later.
    """

    bars: Bars
    panel: FeaturePanel
    config: VolatilityRecipe
    first: int
    seed: int
    workers: int
    step: Step
    device: FitDevice = FitDevice.CPU
    seal: Seal | None = None


def own_learner(config: VolatilityRecipe, seed: int, device: FitDevice, checkpoints: Path | None = None) -> Learner:
    """Return the recipe's learner, restated to the expected variance."""
    return ExpectedVariance(learner_of(config, seed, device, checkpoints=checkpoints))


def steps(config: VolatilityRecipe) -> int:
    """How many models all proofs but that of the recipe's own horizon fit, those of the quantiles included."""
    others, forward = len(config.label.horizons) - 1, config.cpcv.groups - 1
    beside = 3 + (config.learner != "ridge")
    return others * fits(config.cpcv) + len(config.label.horizons) * beside * forward + forward


def prove_volatility(given: Forecasting, horizon: int, known: tuple[Samples, Proof] | None = None) -> VolatilityProof:
    """Prove the forecasts of one horizon; rows and proof of the recipe's own learner are taken as `known` where they are."""
    config, seed, workers, step, panel = given.config, given.seed, given.workers, given.step, given.panel
    if known is None:
        rows = samples(panel, volatility_labels(given.bars, horizon), first=given.first)
        learner = own_learner(config, seed, given.device)
        known = rows, prove(rows, learner, config.cpcv, workers=workers, step=step, seal=given.seal)
    rows, proof = known
    opened, own = proof.rows, HAR if config.learner == "ridge" else config.learner

    def forward(learner: Learner) -> Floats:
        scores = walk_forward(opened, learner, groups=config.cpcv.groups, workers=workers, step=step)
        return opened.dense(np.exp(scores))

    low, high = (forward(LightGbm(config.quantile(q), seed)) for q in config.label.band)
    forecasts = {
        own: opened.dense(np.exp(proof.walk_forward)),
        **({} if own == HAR else {HAR: forward(har(config.ridge))}),
        "trees": forward(ExpectedVariance(LightGbm(config.quantile(MEDIAN), seed))),
        "trailing_22": np.exp(_column(panel, "log_volatility_22")),
        "trailing_252": np.exp(_column(panel, "log_volatility_252")),
        "ewma": ewma_volatility(given.bars.total_return),
    }
    # The two edges are fitted apart and may cross where the trees are unsure: the band is what is between them.
    return VolatilityProof(
        horizon, rows, own, proof, opened.dense(np.exp(opened.label)), forecasts, np.minimum(low, high), np.maximum(low, high)
    )


def prove_drawdown(given: Forecasting) -> DrawdownProof:
    """Prove the drawdown quantile on the open rows."""
    config, level = given.config, given.config.label.drawdown_level
    rows = samples(given.panel, drawdown_labels(given.bars, config.label.drawdown_sessions), first=given.first)
    opened = before_seal(rows, given.seal, config.cpcv.embargo_sessions)
    learner = LightGbm(config.quantile(level), given.seed)
    scores = walk_forward(opened, learner, groups=config.cpcv.groups, workers=given.workers, step=given.step)
    constant = np.full(len(opened), np.nan)
    for train, test in folds(opened.t0, opened.t1, config.cpcv.groups):
        constant[test] = np.quantile(opened.label[train], level)
    return DrawdownProof(rows, opened.dense(opened.label), opened.dense(scores), opened.dense(constant))


def ewma_volatility(returns: Floats) -> Floats:
    """RiskMetrics' exponentially weighted volatility, annualised: v_t = 0.94 v_{t-1} + 0.06 r_t^2, shape (T, N).

    A name starts with its first squared return, and a missing return changes nothing.
    """
    series = np.full(returns.shape, np.nan)
    state = np.full(returns.shape[1], np.nan)
    for row, squares in enumerate(np.square(limited(returns))):
        known = np.isfinite(squares)
        moved = np.where(np.isfinite(state), EWMA_DECAY * state + (1.0 - EWMA_DECAY) * squares, squares)
        state = np.where(known, moved, state)
        series[row] = np.where(known & (state > 0), np.sqrt(SESSIONS_PER_YEAR * np.maximum(state, 0.0)), np.nan)
    return series


def common(panels: Iterator[Floats]) -> Floats:
    """1.0 where every panel has a number, else NaN, shape (T, N): forecasters are compared on the same cells."""
    known = np.logical_and.reduce([np.isfinite(panel) for panel in panels])
    return np.where(known, 1.0, np.nan)


def _column(panel: FeaturePanel, name: str) -> Floats:
    return panel.values[..., panel.names.index(name)].astype(np.float64)


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
