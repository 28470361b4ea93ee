r"""Linear learners: ridge regression, and logistic regression of a session's top against its bottom, or of classes.

    score = z . b + c,   z the standardised features (`standardise`)

A learner that does not beat these has found nothing that needs it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from onnx import helper
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as RidgeRegression

from signals.errors import FixInput, LearnerFailed
from signals.market.bars import Floats
from signals.models.heads import Head
from trainer.learners.base import FitDevice, Matrix, Reduced, Rows, check_columns, check_rows, head_of_width, require_classes
from trainer.learners.objectives import coefficients_of, extremes
from trainer.learners.parameters import LogisticConfig, RidgeConfig
from trainer.learners.standardise import SCALES, standardise_constants, standardise_nodes, standardised
from trainer.learners.trees import written

MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class Ridge:
    """Least squares with a squared penalty; nothing in it is random."""

    config: RidgeConfig
    device: FitDevice = FitDevice.CPU

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> LinearModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)
        chosen = _columns(self.config.features, names)
        mean, scale = SCALES[self.config.scaling](lambda: [features])
        solver = RidgeRegression(alpha=self.config.alpha * float(weight.sum()), solver="cholesky")
        z = standardised(features[:, chosen], mean[chosen], scale[chosen]).astype(np.float64)
        solver.fit(z, target, sample_weight=weight)
        coefficient = np.zeros((len(names), 1))
        coefficient[chosen, 0] = solver.coef_
        return linear_model(names, mean, scale, coefficient, np.atleast_1d(solver.intercept_))


@dataclass(frozen=True)
class Logistic:
    """Log-odds of the top share against the bottom share; the rows between them are not learned from.

    With `classes`, two or more, targets are the numbers of classes, and all rows are learned from.
    """

    config: LogisticConfig
    device: FitDevice = FitDevice.CPU
    classes: int = 0

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> LinearModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)
        rows, label = (np.arange(len(target)), target) if self.classes else extremes(target, self.config.share)
        require_classes(label, self.classes or 2)
        mean, scale = SCALES[self.config.scaling](lambda: [features])
        solver = LogisticRegression(C=self.config.inverse_penalty, max_iter=MAX_ITERATIONS)
        z = standardised(features[rows], mean, scale).astype(np.float64)
        solver.fit(z, label, sample_weight=weight[rows])
        if int(solver.n_iter_[0]) >= MAX_ITERATIONS:
            raise LearnerFailed(f"no convergence in {MAX_ITERATIONS} iterations", fix="Lower inverse_penalty")
        return linear_model(names, mean, scale, *coefficients_of(solver, self.classes))


@dataclass(frozen=True)
class LinearModel(Reduced):
    """Coefficients on standardised features, (F, width), and the standardisation; every number is a float32."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficient: tuple[tuple[float, ...], ...]
    intercept: tuple[float, ...]

    @property
    def head(self) -> Head:
        """One score, or one raw score a class."""
        return head_of_width(len(self.intercept))

    def outputs(self, features: Matrix) -> Floats:
        """Sums of terms, float64, shape (n, width)."""
        check_columns(features, self.names)
        sums = [self._terms(features, column).sum(axis=1) + constant for column, constant in enumerate(self.intercept)]
        return np.stack(sums, axis=1)

    def to_onnx(self) -> bytes:
        """Seven operators: standardise, clip, impute, multiply, add."""
        constants = {
            **standardise_constants(self.mean, self.scale),
            "coefficient": np.array(self.coefficient, dtype=np.float32),
            "intercept": np.array(self.intercept, dtype=np.float32),
        }
        nodes = [
            *standardise_nodes(),
            helper.make_node("MatMul", ["clipped", "coefficient"], ["product"]),
            helper.make_node("Add", ["product", "intercept"], ["score"]),
        ]
        return written(nodes, len(self.names), len(self.intercept), constants)

    def to_text(self) -> str:
        """Every number as JSON; of one output without lists of one number."""
        document = {key: getattr(self, key) for key in ("names", "mean", "scale", "coefficient", "intercept")}
        if len(self.intercept) == 1:
            document |= {"coefficient": [row[0] for row in self.coefficient], "intercept": self.intercept[0]}
        return json.dumps(document, sort_keys=True)

    def importance(self) -> Floats:
        """Share of each feature in the sum of absolute coefficients."""
        values = np.array(self.coefficient)
        size = np.abs(values - values.mean(axis=1, keepdims=True) if len(self.intercept) > 1 else values).sum(axis=1)
        total = float(size.sum())
        return size / total if total > 0.0 else np.zeros(len(self.names))

    def contributions(self, features: Matrix) -> Floats:
        """Coefficient times standardised feature, exact SHAP values about the training mean; the intercept last."""
        check_columns(features, self.names)
        if len(self.intercept) > 1:
            raise FixInput("an expected class has no exact SHAP values", fix="Use permutation importance")
        return np.column_stack([self._terms(features, 0), np.full(len(features), self.intercept[0])])

    def _terms(self, features: Matrix, column: int) -> Floats:
        mean, scale = np.array(self.mean, dtype=np.float32), np.array(self.scale, dtype=np.float32)
        z = np.ascontiguousarray(standardised(features, mean, scale), dtype=np.float64)
        terms: Floats = z * np.array(self.coefficient)[:, column]
        return terms


def read_linear(text: str) -> LinearModel:
    """Read what `LinearModel.to_text` wrote."""
    document = json.loads(text)
    values = np.array(document["coefficient"], dtype=np.float64)
    return LinearModel(
        names=tuple(document["names"]),
        mean=tuple(document["mean"]),
        scale=tuple(document["scale"]),
        coefficient=tuple(map(tuple, values.reshape(len(values), -1).tolist())),
        intercept=tuple(np.atleast_1d(document["intercept"]).tolist()),
    )


def _columns(chosen: tuple[str, ...], names: tuple[str, ...]) -> list[int]:
    """Columns of the features that have a coefficient; all of them where none is named."""
    if unknown := [name for name in chosen if name not in names]:
        raise FixInput(f"no feature {', '.join(unknown)}", where="ridge.features", fix=f"Choose from: {', '.join(names)}")
    return [names.index(name) for name in chosen or names]


def linear_model(names: tuple[str, ...], mean: Matrix, scale: Matrix, coefficient: Floats, intercept: Floats) -> LinearModel:
    """Return the model of coefficients (F, width) and intercepts (width,) on standardised features."""
    return LinearModel(
        names=names,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        coefficient=tuple(map(tuple, coefficient.astype(np.float32).tolist())),
        intercept=tuple(intercept.astype(np.float32).tolist()),
    )
