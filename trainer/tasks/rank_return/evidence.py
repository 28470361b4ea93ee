"""The parts of `evidence.json` that only a ranking of returns has, and its warnings."""

import numpy as np

from signals.features.history import market_return
from signals.indicators.regimes import Regime, regimes
from signals.market.bars import Bars
from trainer.recipes.base import Recipe, RecipeConfig
from trainer.runs.evidence import ClusterLoss, Embargoes, FeatureLoss, ImportanceFigures, OutOfFoldIc, RegimeFigures
from trainer.validation.ic import overlapping_mean
from trainer.validation.importance import Importance
from trainer.validation.proof import Proof, ProofFigures, leaves_rows

LEAK_IC = 0.05  # daily cross-sections of liquid stocks do not rank better than this out of sample
SURE_T = 2.0
FOLD_DEPENDENCE = 1.4  # sqrt 2: each pair of groups meets twice, once either way round; measured 1.5 on 24 noise panels
MATERIAL_GAP = 0.5  # of the IC that the long embargo may take before it counts as a warning


def warnings(worth: ProofFigures, proof: Proof, config: RecipeConfig, survivorship: str) -> list[str]:
    """Say what a reader must not overlook."""
    found = []
    if abs(worth.ic.mean) > LEAK_IC or abs(worth.ic_walk_forward.mean) > LEAK_IC:
        found.append(
            f"LEAK SUSPECTED: out-of-fold IC {worth.ic.mean:.4f}, walk-forward {worth.ic_walk_forward.mean:.4f}; "
            f"beyond {LEAK_IC} it is a leak until proven otherwise"
        )
    if not worth.ic.t >= SURE_T * FOLD_DEPENDENCE:
        found.append(
            f"the IC's t is {worth.ic.t:.2f}; folds that train on each other give noise a t of standard deviation "
            f"{FOLD_DEPENDENCE}, so this is not distinguishable from no skill"
        )
    if not worth.ic_walk_forward.t >= SURE_T:
        found.append(f"walking forward, without hindsight, the IC's t is {worth.ic_walk_forward.t:.2f}: not distinguishable from no skill")
    if worth.extreme_labels:
        found.append(f"{worth.extreme_labels} labels are beyond 100 % and count in full: a decile figure may be theirs alone")
    if worth.ic_long_embargo is not None and worth.ic_long_embargo.mean < (1.0 - MATERIAL_GAP) * worth.ic.mean:
        found.append(
            f"IC {worth.ic.mean:.4f} falls to {worth.ic_long_embargo.mean:.4f} with an embargo of "
            f"{config.cpcv.long_embargo_sessions} sessions"
        )
    if config.cpcv.long_embargo_sessions and proof.long_embargo is None:
        found.append("history too short for a cross-validation with the long embargo")
    if proof.seal is None:
        found.append("no sealed holdout: this run cannot be promoted")
    if survivorship != "point-in-time":
        found.append(f"universe: {survivorship}; names that died may be missing, which flatters every figure")
    return found


def ic_of(worth: ProofFigures, embargoes: Embargoes) -> OutOfFoldIc:
    """Return the IC as evidence carries it."""
    return OutOfFoldIc(
        mean=worth.ic.mean,
        standard_error=worth.ic.standard_error,
        t_newey_west=worth.ic.t,
        lag=worth.ic_lag,
        sessions=worth.ic.sessions,
        by_path=tuple(worth.ic_by_path),
        by_offset=tuple(worth.ic_by_offset),
        long_embargo=worth.ic_long_embargo,
        embargoes=embargoes,
    )


def embargoes_of(recipe: Recipe, config: RecipeConfig, proof: Proof) -> Embargoes:
    """Sessions of the long embargo, those that the longest look-back needs, and whether the history has room."""
    needed, long = recipe.sleeve.lookback_sessions, config.cpcv.long_embargo_sessions
    is_measured = proof.long_embargo is not None and long >= needed
    return Embargoes(
        needed=needed,
        long=long if proof.long_embargo is not None else 0,
        is_possible=is_measured or leaves_rows(proof.rows, config.cpcv, needed),
    )


def importance_of(found: Importance, names: tuple[str, ...]) -> ImportanceFigures:
    """Return the importance of the features `names` as evidence carries it."""
    return ImportanceFigures(
        ic=found.ic,
        by_feature=tuple(FeatureLoss(**vars(loss.loss), feature=loss.features[0]) for loss in found.by_feature),
        by_cluster=tuple(ClusterLoss(**vars(loss.loss), features=loss.features) for loss in found.by_cluster),
        shap=None if found.shap is None else dict(zip(names, found.shap.tolist(), strict=True)),
    )


def by_regime(bars: Bars, worth: ProofFigures, k: int) -> tuple[RegimeFigures, ...]:
    """Return the figures of every regime that a judged session was of, as evidence carries them."""
    kinds = regimes(market_return(bars.total_return, bars.eligible))
    judged = np.isfinite(worth.ic_series)
    found = []
    for regime in Regime:
        inside = kinds == regime.value
        if not (inside & judged).any():
            continue
        of = [overlapping_mean(np.where(inside, series, np.nan), k) for series in (worth.ic_series, worth.walk_forward_series)]
        found.append(RegimeFigures(regime.value, int((inside & judged).sum()), *of))
    return tuple(found)
