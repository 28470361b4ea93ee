r"""Feature importance on out-of-fold rows: permutation by feature and by cluster, and SHAP.

    loss_j = mean over sessions of IC(scores) - IC(scores with feature j permuted within the session)

Every row is scored by a model that did not see it (purged k-fold, one group tested at a time). A permutation exchanges
the values of a feature among the names of one session, so that sessions keep their own distribution and what is lost is
the cross-section only. Features that say the same replace each other and each seem worthless: clusters of rank
correlation are permuted together (clustered importance).

Source: Lopez de Prado, Machine Learning for Asset Managers, ch. 6, with the IC as the measure. SHAP values are the
learner's own (TreeSHAP for trees, exact for linear ones).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from signals.errors import FixInput
from signals.market.bars import Floats
from trainer.learners.base import Learner, Matrix, Model
from trainer.samples.samples import Samples
from trainer.validation.ic import Mean, overlapping_mean, rank_ic
from trainer.validation.splits.cpcv import splits
from trainer.validation.splits.oof import Step, fit, scored

ALIKE = 0.5  # absolute rank correlation from which on average features share a cluster
CORRELATION_ROWS = 20_000
SHAP_ROWS = 2_000


@dataclass(frozen=True)
class Loss:
    """Loss of IC without some features; a mean that its error does not separate from 0 says nothing."""

    features: tuple[str, ...]
    loss: Mean


@dataclass(frozen=True, eq=False)
class Importance:
    """Losses by feature and by cluster, each in the features' order, and the mean absolute SHAP value per feature.

    `shap` is float64 (F,), in units of the score; None for a learner without exact SHAP values.
    """

    ic: Mean
    by_feature: tuple[Loss, ...]
    by_cluster: tuple[Loss, ...]
    shap: Floats | None


def importance(rows: Samples, learner: Learner, *, groups: int, embargo: int, k: int, seed: int, step: Step) -> Importance:
    """Fit one model per group and permute its out-of-fold rows.

    Parameters
    ----------
    rows : Samples
        Open rows only.
    groups, embargo, k, seed : int
        Groups of sessions, embargo in sessions, the label's sessions, and the permutations' seed.

    Raises
    ------
    TooLittleHistory
        Too few sessions for the groups.
    """
    clusters = feature_clusters(rows.features)
    sets = [*((column,) for column in range(len(rows.names))), *clusters]
    plain, permuted = np.full(len(rows), np.nan), np.full((len(sets), len(rows)), np.nan)
    shap: list[Floats] = []
    divisions = splits(rows.t0, rows.t1, groups=groups, test_groups=1, embargo=embargo)
    for split in divisions:
        model = fit(rows, learner, split.train)
        features, day = rows.inputs(split.test)[:], rows.day[split.test]
        plain[split.test] = scored(model, features)
        for number, columns in enumerate(sets):
            order = permutation_within(day, np.random.default_rng([seed, split.number, number]))
            permuted[number, split.test] = scored(model, with_permuted(features, columns, order))
        shap.append(_absolute_shap(model, features, SHAP_ROWS // groups))
        step(f"importance {split.number + 1} of {groups}")
    labels = rows.by_day(rows.label)
    base = rank_ic(rows.by_day(plain), labels)
    losses = [overlapping_mean(base - rank_ic(rows.by_day(scores), labels), k) for scores in permuted]
    named = [Loss(tuple(rows.names[c] for c in columns), loss) for columns, loss in zip(sets, losses, strict=True)]
    count = len(rows.names)
    has_shap = all(len(part) for part in shap)
    return Importance(overlapping_mean(base, k), tuple(named[:count]), tuple(named[count:]), np.mean(shap, axis=0) if has_shap else None)


def permutation_within(sessions: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Row numbers in which every session's rows, ascending in `sessions`, are shuffled among themselves."""
    return np.lexsort((rng.random(len(sessions)), sessions))


def with_permuted(features: Matrix, columns: tuple[int, ...], order: NDArray[np.int64]) -> Matrix:
    """Copy of `features` whose `columns` come from the rows `order`; together, so that they still agree."""
    changed = features.copy()
    for column in columns:
        changed[..., column] = features[order][..., column]
    return changed


def feature_clusters(features: Matrix) -> list[tuple[int, ...]]:
    """Group columns by average linkage of 1 - |rank correlation|, cut where it falls below `ALIKE`.

    Ranks are taken over at most `CORRELATION_ROWS` evenly spaced rows, NaN in the middle.
    """
    if features.shape[1] == 1:
        return [(0,)]
    sample = features[:: max(1, len(features) // CORRELATION_ROWS)].astype(np.float64)
    ranks = np.column_stack([_centred_ranks(column) for column in sample.T])
    scale = np.sqrt((ranks**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num((ranks.T @ ranks) / np.outer(scale, scale))
    distance = np.clip(1.0 - np.abs((correlation + correlation.T) / 2.0), 0.0, 1.0)
    np.fill_diagonal(distance, 0.0)
    member = fcluster(linkage(squareform(distance, checks=False), "average"), 1.0 - ALIKE, criterion="distance")
    groups = [tuple(np.flatnonzero(member == label).tolist()) for label in np.unique(member)]
    return sorted(groups)


def _centred_ranks(column: Floats) -> Floats:
    known = np.isfinite(column)
    ranks = np.zeros(len(column))
    if known.any():
        ranked = rankdata(column[known])
        ranks[known] = ranked - ranked.mean()
    return ranks


def _absolute_shap(model: Model, features: Matrix, rows: int) -> Floats:
    chosen = features[:: max(1, len(features) // max(1, rows))]
    try:
        values: Floats = np.abs(model.contributions(chosen)[:, :-1]).mean(axis=0)
    except FixInput:
        return np.zeros(0)  # no exact SHAP values: the report says so
    return values
