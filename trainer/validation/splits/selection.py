"""Feature sets that are chosen inside each training fold.

    1. of two features with |r| > 0.95 on the training rows the later one is dropped,
    2. a ranker is fitted walking forward over the training sessions; a feature's loss is what the rank correlation of the unseen
       part's scores with the target loses when the feature is permuted there,
    3. kept are the features that stand among the set's best, with a loss above 0, in 60 % of the parts or more; too many are cut
       and too few filled up by the mean loss.

A `FeatureSelection` is what `trainer.learners.ensembles.chosen.Chosen` asks: whatever fits that learner (cross-validation, walk-forward,
the final fit) chooses anew from the rows that it trains on and from no other.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from signals.errors import FixInput
from signals.indicators.catalogue import TRANSFORMER_RAW
from signals.market.bars import Floats
from trainer.learners.base import Inputs, Learner, Matrix, Rows
from trainer.validation.splits.oof import folds

ALIKE = 0.95  # absolute correlation
KEPT_SHARE = 0.6  # of the walk-forward parts
PARTS = 6  # the first of which is never tested
CORRELATED_ROWS, PERMUTED_ROWS, CHUNK_ROWS = 20_000, 2_000, 20_000


@dataclass(frozen=True)
class FeatureSet:
    """How many features a set holds, or which ones where they are named."""

    name: str
    fewest: int
    most: int
    named: tuple[str, ...] = ()


FEATURE_SETS = {
    each.name: each
    for each in (
        FeatureSet("boosting_optimal", 80, 120),
        FeatureSet("neural_optimal", 40, 60),
        FeatureSet("transformer_raw", len(TRANSFORMER_RAW), len(TRANSFORMER_RAW), TRANSFORMER_RAW),
        FeatureSet("ensemble_base", 60, 80),
    )
}


@dataclass(frozen=True, eq=False)
class FeatureChoice:
    """Which columns were chosen, ascending, and why: the share of parts that kept each, its mean loss, and what was a double."""

    columns: Rows
    kept: Floats
    loss: Floats
    doubled: Rows


@dataclass(frozen=True)
class FeatureSelection:
    """Chooses the features of a set from the rows of a fit.

    Attributes
    ----------
    ranker : Learner
        What features are ranked with: fast, and made for the same targets as the learner that is fitted on the choice.
    purge : int
        Sessions (or bars, whatever `sessions` counts) after which a label of the training rows is known.
    seed : int
        Of the permutations.
    """

    ranker: Learner
    wanted: FeatureSet
    purge: int
    seed: int

    def __call__(
        self, features: Inputs, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None
    ) -> tuple[str, ...]:
        """Names of the features to learn from, of rows (n, F) or windows (n, L, F) of which the last step counts."""
        if len(features.shape) == 2:
            last = features[:]
        else:  # windows of a whole history are never one array
            last = np.concatenate([features[slice(at, at + CHUNK_ROWS)][:, -1] for at in range(0, len(features), CHUNK_ROWS)])
        moments = np.arange(len(target)) if sessions is None else sessions
        choice = self.choose(last, target, weight, names, moments)
        return tuple(names[column] for column in choice.columns)

    def choose(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], moments: Rows) -> FeatureChoice:
        """Choose columns of rows float32 (n, F); `moments`, ascending, are their sessions or bars.

        Raises
        ------
        FixInput
            A named feature is not there, or fewer features differ than the set needs.
        """
        width = len(names)
        if self.wanted.named:
            absent = [name for name in self.wanted.named if name not in names]
            if absent:
                raise FixInput(f"no {', '.join(absent)}", where=f"set {self.wanted.name}", fix="Train on the whole catalogue")
            columns = np.sort(np.array([names.index(name) for name in self.wanted.named]))
            return FeatureChoice(columns, np.ones(width), np.full(width, np.nan), np.array([], np.int64))
        doubled = doubles(features)
        left = np.setdiff1d(np.arange(width), doubled)
        if len(left) < self.wanted.fewest:
            raise FixInput(
                f"{len(left)} features differ and {self.wanted.fewest} are needed",
                where=f"set {self.wanted.name}",
                fix="Train on more of the catalogue",
            )
        losses = np.zeros((PARTS - 1, width))
        for part, (train, test) in enumerate(folds(moments, moments + self.purge, PARTS)):
            losses[part, left] = self._losses(features[:, left], target, weight, names, (train, test), moments, part)
        mean = losses.mean(axis=0)
        order = np.argsort(-losses[:, left], axis=1, kind="stable")[:, : self.wanted.most]
        among = np.zeros((PARTS - 1, len(left)), np.bool_)
        np.put_along_axis(among, order, True, axis=1)
        kept = np.zeros(width)
        kept[left] = (among & (losses[:, left] > 0.0)).mean(axis=0)
        ranked = left[np.lexsort((left, -mean[left], kept[left] < KEPT_SHARE))]
        count = int(np.clip(np.count_nonzero(kept[left] >= KEPT_SHARE), self.wanted.fewest, self.wanted.most))
        return FeatureChoice(np.sort(ranked[:count]), kept, mean, doubled)

    def _losses(
        self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], rows: tuple[Rows, Rows], moments: Rows, part: int
    ) -> Floats:
        """Loss of each column on the unseen rows of one part; a feature that the ranker does not use loses nothing."""
        train, test = rows
        test = test[:: -(-len(test) // PERMUTED_ROWS)]
        own = tuple(f"f{column}" for column in range(features.shape[1]))
        model = self.ranker.fit(np.ascontiguousarray(features[train]), target[train], weight[train], own, moments[train])
        unseen, wanted = np.ascontiguousarray(features[test]), rankdata(target[test])
        plain = _correlation(model.predict(unseen), wanted)
        loss, used = np.zeros(features.shape[1]), np.flatnonzero(model.importance() > 0.0)
        rng = np.random.default_rng([self.seed, part])
        for start in range(0, len(used), max(1, CHUNK_ROWS // len(test))):
            some = used[start : start + max(1, CHUNK_ROWS // len(test))]
            stacked = np.tile(unseen, (len(some), 1, 1))
            for copy, column in zip(stacked, some, strict=True):
                copy[:, column] = rng.permutation(unseen[:, column])
            scores = model.predict(stacked.reshape(-1, features.shape[1])).reshape(len(some), -1)
            loss[some] = [plain - _correlation(one, wanted) for one in scores]
        return loss


def doubles(features: Matrix) -> Rows:
    """Columns that repeat an earlier one: |r| > 0.95 , missing values at the mean; ascending."""
    rows = features[:: -(-len(features) // CORRELATED_ROWS)].astype(np.float64)
    known = np.isfinite(rows)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, rows, 0.0).sum(axis=0) / count
    centred = np.where(known, rows - mean, 0.0)
    scale = np.sqrt(np.square(centred).sum(axis=0))
    centred = np.divide(centred, scale, out=np.zeros_like(centred), where=scale > 0.0)
    alike = np.abs(centred.T @ centred) > ALIKE
    gone = scale <= 0.0  # never varies: says nothing
    for column in range(len(gone)):
        if not gone[column]:
            gone[column + 1 :] |= alike[column, column + 1 :]
    return np.flatnonzero(gone)


def _correlation(scores: Floats, ranks: Floats) -> float:
    own = rankdata(scores)
    own, other = own - own.mean(), ranks - ranks.mean()
    size = float(np.sqrt((own @ own) * (other @ other)))
    return float(own @ other) / size if size > 0.0 else 0.0
