"""Out-of-sample forecasts of volatility: the recipe's learner by cross-validation, all models by walk-forward.

The sealed holdout stays sealed here as in every training.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from signals.features.history import limited
from signals.features.panel import FeaturePanel
from signals.features.price import SESSIONS_PER_YEAR
from signals.market.bars import Bars, Floats
from trainer.labels.risk import drawdown_labels, volatility_labels
from trainer.learners.base import FitDevice, Learner
from trainer.learners.har import ExpectedVariance
from trainer.learners.lgbm import LightGbm
from trainer.learners.table import har
from trainer.recipes.base import learner_of
from trainer.samples.samples import Samples, Seal, before_seal, samples
from trainer.tasks.volatility.config import VolatilityRecipe
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
