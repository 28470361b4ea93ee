r"""Linear learners: ridge regression, and logistic regression of a session's top against its bottom.

    score = z . b + c,   z the standardised features (`standardise`)

A learner that does not beat these has found nothing that needs it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as RidgeRegression

from signals.errors import LearnerFailed
from signals.market.bars import Floats
from trainer.learners.base import FitDevice, Matrix, Rows, check_columns, check_rows
from trainer.learners.objectives import extremes
from trainer.learners.parameters import LogisticConfig, RidgeConfig
from trainer.learners.standardise import CLIP, moments, standardised
from trainer.learners.trees import IR_VERSION, OPSET

MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class Ridge:
    """Least squares with a squared penalty; nothing in it is random."""

    config: RidgeConfig
    device: FitDevice = FitDevice.CPU

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> LinearModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)
        mean, scale = moments(lambda: [features])
        solver = RidgeRegression(alpha=self.config.alpha * float(weight.sum()), solver="cholesky")
        solver.fit(standardised(features, mean, scale).astype(np.float64), target, sample_weight=weight)
        return _model(names, mean, scale, solver.coef_, solver.intercept_)


@dataclass(frozen=True)
class Logistic:
    """Log-odds of the top share against the bottom share; the rows between them are not learned from."""

    config: LogisticConfig
    device: FitDevice = FitDevice.CPU

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> LinearModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)
        rows, is_top = extremes(target, self.config.share)
        mean, scale = moments(lambda: [features])
        solver = LogisticRegression(C=self.config.inverse_penalty, max_iter=MAX_ITERATIONS)
        z = standardised(features[rows], mean, scale).astype(np.float64)
        solver.fit(z, is_top, sample_weight=weight[rows])
        if int(solver.n_iter_[0]) >= MAX_ITERATIONS:
            raise LearnerFailed(f"no convergence in {MAX_ITERATIONS} iterations", fix="Lower inverse_penalty")
        return _model(names, mean, scale, solver.coef_[0], solver.intercept_[0])


@dataclass(frozen=True)
class LinearModel:
    """Coefficients on standardised features, and the standardisation; every number is a float32."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    coefficient: tuple[float, ...]
    intercept: float

    def predict(self, features: Matrix) -> Floats:
        """Scores, float64, shape (n,)."""
        check_columns(features, self.names)
        scores: Floats = self._terms(features).sum(axis=1) + self.intercept
        return scores

    def to_onnx(self) -> bytes:
        """Seven operators: standardise, clip, impute, multiply, add."""
        return _graph(self)

    def to_text(self) -> str:
        """Every number as JSON."""
        return json.dumps({key: getattr(self, key) for key in ("names", "mean", "scale", "coefficient", "intercept")}, sort_keys=True)

    def importance(self) -> Floats:
        """Share of each feature in the sum of absolute coefficients."""
        size = np.abs(np.array(self.coefficient))
        total = float(size.sum())
        shares: Floats = size / total if total > 0.0 else np.zeros(len(self.names))
        return shares

    def contributions(self, features: Matrix) -> Floats:
        """Coefficient times standardised feature, exact SHAP values about the training mean; the intercept last."""
        check_columns(features, self.names)
        return np.column_stack([self._terms(features), np.full(len(features), self.intercept)])

    def _terms(self, features: Matrix) -> Floats:
        mean, scale = np.array(self.mean, dtype=np.float32), np.array(self.scale, dtype=np.float32)
        z = np.ascontiguousarray(standardised(features, mean, scale), dtype=np.float64)
        terms: Floats = z * np.array(self.coefficient)
        return terms


def read_linear(text: str) -> LinearModel:
    """Read what `LinearModel.to_text` wrote."""
    document = json.loads(text)
    return LinearModel(
        names=tuple(document["names"]),
        mean=tuple(document["mean"]),
        scale=tuple(document["scale"]),
        coefficient=tuple(document["coefficient"]),
        intercept=float(document["intercept"]),
    )


def _model(names: tuple[str, ...], mean: Matrix, scale: Matrix, coefficient: Floats, intercept: float) -> LinearModel:
    return LinearModel(
        names=names,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        coefficient=tuple(coefficient.astype(np.float32).tolist()),
        intercept=float(np.float32(intercept)),
    )


def _graph(model: LinearModel) -> bytes:
    constants = {
        "mean": np.array(model.mean, dtype=np.float32),
        "scale": np.array(model.scale, dtype=np.float32),
        "low": -CLIP,
        "high": CLIP,
        "zero": np.float32(0.0),
        "coefficient": np.array(model.coefficient, dtype=np.float32)[:, None],
        "intercept": np.array([model.intercept], dtype=np.float32),
    }
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["z"]),
        helper.make_node("IsNaN", ["z"], ["absent"]),
        helper.make_node("Where", ["absent", "zero", "z"], ["imputed"]),
        helper.make_node("Clip", ["imputed", "low", "high"], ["clipped"]),
        helper.make_node("MatMul", ["clipped", "coefficient"], ["product"]),
        helper.make_node("Add", ["product", "intercept"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "score",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(model.names)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        initializer=[numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="trademl")
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content
