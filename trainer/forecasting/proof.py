"""Out-of-sample risk forecasts: HAR by cross-validation, all models by walk-forward.

The sealed holdout stays sealed here as in every training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import comb

import numpy as np

from signals.features.limits import limited
from signals.features.panel import FeaturePanel
from signals.features.price import SESSIONS_PER_YEAR
from signals.market.bars import Bars, Floats
from trainer.labels.panel import Labels
from trainer.labels.risk import drawdown_labels, volatility_labels
from trainer.learners.har import ExpectedVariance
from trainer.learners.lgbm import LightGbm
from trainer.learners.table import har
from trainer.recipes.risk import RiskConfig
from trainer.samples.samples import Samples, samples, seal_holdout
from trainer.validation.proof import Proof, prove
from trainer.validation.splits.oof import Step
from trainer.validation.splits.walk_forward import folds, walk_forward

EWMA_DECAY = 0.94
MEDIAN = 0.5


@dataclass(frozen=True, eq=False)
class VolatilityProof:
    """Forecasts of one horizon; every panel is a volatility, annualised ratio, float64 (T, N), NaN where there is none.

    Attributes
    ----------
    horizon : int, sessions
    rows : Samples
        All labelled rows; targets are log volatilities.
    har : Proof
        Of the HAR learner, over the open rows.
    realised : float64 (T, N)
    forecasts : mapping of forecaster to float64 (T, N)
        `har` and `trees` walk forward; `trailing_22`, `trailing_252` and `ewma` need no learning.
    low, high : float64 (T, N)
        The trees' band.
    """

    horizon: int
    rows: Samples
    har: Proof
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


def fits(config: RiskConfig) -> int:
    """How many steps the proofs take."""
    forward = config.cpcv.groups - 1
    return len(config.horizons) * (comb(config.cpcv.groups, config.cpcv.test_groups) + 4 * forward) + forward


def prove_volatility(
    bars: Bars, panel: FeaturePanel, config: RiskConfig, horizon: int, *, first: int, seed: int, workers: int, step: Step
) -> VolatilityProof:
    """Prove the forecasts of one horizon."""
    rows = labelled(panel, volatility_labels(bars, horizon), first)
    proof = prove(rows, har(config.har), config.cpcv, workers=workers, step=step)
    opened = proof.rows

    def forward(learner: LightGbm | ExpectedVariance) -> Floats:
        scores = walk_forward(opened, learner, groups=config.cpcv.groups, workers=workers, step=step)
        return opened.dense(np.exp(scores))

    low, high = (forward(LightGbm(config.quantile(q), seed)) for q in config.band)
    forecasts = {
        "har": opened.dense(np.exp(proof.walk_forward)),
        "trees": forward(ExpectedVariance(LightGbm(config.quantile(MEDIAN), seed))),
        "trailing_22": np.exp(_column(panel, "log_volatility_22")),
        "trailing_252": np.exp(_column(panel, "log_volatility_252")),
        "ewma": ewma_volatility(bars.total_return),
    }
    # The two edges are fitted apart and may cross where the trees are unsure: the band is what is between them.
    return VolatilityProof(
        horizon, rows, proof, opened.dense(np.exp(opened.label)), forecasts, np.minimum(low, high), np.maximum(low, high)
    )


def prove_drawdown(
    bars: Bars, panel: FeaturePanel, config: RiskConfig, *, first: int, seed: int, workers: int, step: Step
) -> DrawdownProof:
    """Prove the drawdown quantile on the open rows."""
    rows = labelled(panel, drawdown_labels(bars, config.drawdown_sessions), first)
    opened, _ = seal_holdout(rows, config.cpcv.holdout_sessions, config.cpcv.embargo_sessions)
    learner = LightGbm(config.quantile(config.drawdown_level), seed)
    scores = walk_forward(opened, learner, groups=config.cpcv.groups, workers=workers, step=step)
    constant = np.full(len(opened), np.nan)
    for train, test in folds(opened.t0, opened.t1, config.cpcv.groups):
        constant[test] = np.quantile(opened.label[train], config.drawdown_level)
    return DrawdownProof(rows, opened.dense(opened.label), opened.dense(scores), opened.dense(constant))


def labelled(panel: FeaturePanel, labels: Labels, first: int) -> Samples:
    """Rows whose target is the label itself: sizes matter here, not ranks."""
    rows = samples(panel, labels, first=first)
    return replace(rows, target=rows.label)


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
