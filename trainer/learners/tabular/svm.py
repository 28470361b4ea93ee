r"""The support vector machine: one machine a class against the rest, with the kernel exp(-g |z - s|^2).

    score = A d + b,   d_k = sum over i of a_ki exp(-g |z - s_i|^2) + c_k,   z the standardised features

The machines share the union of their support vectors s, so that a graph needs one matrix product for all distances. A and b
make log-odds of the machines' distances; they are learned from rows that the machines were not (every fifth). Without classes
there is one machine, of a session's top against its bottom share.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, fields, replace

import numpy as np
from onnx import helper
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from signals.errors import FixInput
from signals.market.bars import Floats
from signals.models.heads import Head
from trainer.learners.base import FitDevice, Matrix, Reduced, Rows, check_columns, check_rows, head_of_width, require_classes
from trainer.learners.objectives import coefficients_of, extremes
from trainer.learners.parameters import SvmConfig
from trainer.learners.standardise import SCALES, standardise_constants, standardise_nodes, standardised
from trainer.learners.trees import written

LOG = logging.getLogger(__name__)
APART = 5
SENSITIVITY_ROWS, CHUNK_ROWS = 512, 4096
PARTS = 64  # a sum of thousands of terms is rounded less in as many parts


@dataclass(frozen=True)
class Svm:
    """The learner; nothing in it is random. With `classes`, two or more, targets are the numbers of classes."""

    config: SvmConfig
    device: FitDevice = FitDevice.CPU
    classes: int = 0

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> SvmModel:
        """Fit on rows float32 (n, F); targets finite, weights positive, features finite or NaN."""
        check_rows(features, target, names)
        rows, label = (np.arange(len(target)), target) if self.classes else extremes(target, self.config.share)
        every = -(-len(rows) // self.config.max_rows)
        if every > 1:
            LOG.warning("the support vector machine learns from every %dth of %d rows", every, len(rows))
        rows, label = rows[::every], label[::every]
        apart = np.arange(len(rows)) % APART == APART - 1
        for part in (label[apart], label[~apart]):
            require_classes(part, self.classes or 2)
        mean, scale = SCALES[self.config.scaling](lambda: [features])
        z = standardised(features[rows], mean, scale).astype(np.float64)
        g = 1.0 / (self.config.width * len(names))
        of_class = [label == number for number in range(self.classes)] if self.classes else [label > 0]
        machines = [self._machine(z[~apart], one[~apart], weight[rows][~apart], g) for one in of_class]
        support = np.unique(np.concatenate([machine.support_ for machine in machines]))
        dual = np.zeros((len(support), len(machines)))
        for column, machine in enumerate(machines):
            dual[np.searchsorted(support, machine.support_), column] = machine.dual_coef_[0]
        constant = np.array([machine.intercept_[0] for machine in machines])
        vectors = z[~apart][support]
        mix, shift = self._log_odds(_distances(z[apart], vectors, g) @ dual + constant, label[apart], weight[rows][apart])
        numbers = [part.astype(np.float32) for part in (vectors, dual @ mix, constant @ mix + shift)]
        model = SvmModel(names, mean, scale, g, np.zeros(0), *numbers)
        sensitivity = model.sensitivity_to(features[:: -(-len(features) // SENSITIVITY_ROWS)])
        return replace(model, shares=sensitivity)

    def _machine(self, z: Floats, label: np.ndarray, weight: Floats, g: float) -> SVC:
        return SVC(C=self.config.inverse_penalty, kernel="rbf", gamma=g, cache_size=500).fit(z, label, sample_weight=weight)

    def _log_odds(self, margins: Floats, label: Floats, weight: Floats) -> tuple[Floats, Floats]:
        """Map from the machines' distances to log-odds: (machines, outputs) and (outputs,)."""
        solver = LogisticRegression(C=1.0, max_iter=1000).fit(margins, label, sample_weight=weight)
        return coefficients_of(solver, self.classes)


@dataclass(frozen=True, eq=False)
class SvmModel(Reduced):
    """Support vectors (m, F), their weights in each output (m, width), and the standardisation; every number is a float32."""

    names: tuple[str, ...]
    mean: Matrix
    scale: Matrix
    g: float
    shares: Floats
    vectors: Matrix
    dual: Matrix
    constant: Matrix

    @property
    def head(self) -> Head:
        """One score, or one raw score a class."""
        return head_of_width(len(self.constant))

    def outputs(self, features: Matrix) -> Floats:
        """Log-odds, float64, shape (n, width), a block of rows at a time."""
        check_columns(features, self.names)
        found = np.empty((len(features), len(self.constant)))
        for start in range(0, len(features), CHUNK_ROWS):
            z = standardised(features[start : start + CHUNK_ROWS], self.mean, self.scale).astype(np.float64)
            kernel = _distances(z, self.vectors.astype(np.float64), self.g)
            found[start : start + CHUNK_ROWS] = np.einsum("nm,mk->nk", kernel, self.dual.astype(np.float64)) + self.constant
        return found

    def sensitivity_to(self, features: Matrix) -> Floats:
        """Mean |z x d score / d z| of each feature over rows, normalised to sum to 1; the score that of the best class."""
        z, vectors = standardised(features, self.mean, self.scale).astype(np.float64), self.vectors.astype(np.float64)
        by_vector = _distances(z, vectors, self.g) * (self.dual @ np.linspace(-1.0, 1.0, 2 * len(self.constant))[-len(self.constant) :])
        slope = by_vector @ vectors - by_vector.sum(axis=1, keepdims=True) * z
        size = np.abs(slope * z).mean(axis=0)
        total = float(size.sum())
        shares: Floats = size / total if total > 0.0 else size
        return shares

    def to_onnx(self) -> bytes:
        """Standardise, all squared distances by one matrix product, the kernel, and one more product, summed in parts."""
        size = -(-len(self.vectors) // PARTS)
        vectors = np.pad(self.vectors.astype(np.float64), [(0, PARTS * size - len(self.vectors)), (0, 0)])
        constants = {
            **standardise_constants(self.mean.tolist(), self.scale.tolist()),
            "twice": (2.0 * self.g * vectors.T).astype(np.float32),
            "squares": (-self.g * np.square(vectors).sum(axis=1)).astype(np.float32),
            "minus_g": np.float32(-self.g),
            "axes": np.array([1], dtype=np.int64),
            "parts": np.array([-1, PARTS, size], dtype=np.int64),
            "first": np.array([0], dtype=np.int64),
            "dual": np.pad(self.dual, [(0, PARTS * size - len(self.dual)), (0, 0)]).reshape(PARTS, size, -1),
            "constant": self.constant,
        }
        nodes = [
            *standardise_nodes(),
            helper.make_node("MatMul", ["clipped", "twice"], ["cross"]),
            helper.make_node("Mul", ["clipped", "clipped"], ["squared"]),
            helper.make_node("ReduceSum", ["squared", "axes"], ["length"]),
            helper.make_node("Mul", ["length", "minus_g"], ["own"]),
            helper.make_node("Add", ["cross", "squares"], ["near"]),
            helper.make_node("Add", ["near", "own"], ["exponent"]),
            helper.make_node("Exp", ["exponent"], ["kernel"]),
            helper.make_node("Reshape", ["kernel", "parts"], ["parted"]),
            helper.make_node("Transpose", ["parted"], ["by_part"], perm=[1, 0, 2]),
            helper.make_node("MatMul", ["by_part", "dual"], ["products"]),
            helper.make_node("ReduceSum", ["products", "first"], ["product"], keepdims=0),
            helper.make_node("Add", ["product", "constant"], ["score"]),
        ]
        return written(nodes, len(self.names), len(self.constant), constants)

    def to_text(self) -> str:
        """Every number as JSON."""
        values = {field.name: np.asarray(getattr(self, field.name)).tolist() for field in fields(self)}
        return json.dumps(values, sort_keys=True)

    def importance(self) -> Floats:
        """Share of each feature in the score's slopes."""
        return self.shares

    def contributions(self, features: Matrix) -> Floats:
        """Refuse: a kernel has no exact SHAP values."""
        raise FixInput("a support vector machine has no exact SHAP values", fix="Use permutation importance")


def read_svm(text: str) -> SvmModel:
    """Read what `SvmModel.to_text` wrote."""
    document = json.loads(text)
    arrays = {name: np.array(document[name], dtype=np.float32) for name in ("mean", "scale", "vectors", "dual", "constant")}
    return SvmModel(names=tuple(document["names"]), g=float(document["g"]), shares=np.array(document["shares"]), **arrays)


def _distances(z: Floats, vectors: Floats, g: float) -> Floats:
    """Kernel of rows (n, F) and vectors (m, F); (n, m)."""
    squared = np.square(z).sum(axis=1)[:, None] + np.square(vectors).sum(axis=1) - 2.0 * np.einsum("nf,mf->nm", z, vectors)
    kernel: Floats = np.exp(-g * np.maximum(squared, 0.0))
    return kernel
