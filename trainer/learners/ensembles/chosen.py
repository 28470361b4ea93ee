"""A learner of some of the features: which ones is chosen inside the rows that it is fitted on, and written into the graph.

A device computes the sleeve's whole table whatever a model reads of it, so the choice is the graph's first operator.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from signals.errors import InvariantBroken
from signals.market.bars import Floats
from signals.models.heads import Head
from trainer.learners.base import Around, Inputs, Matrix, Model, Rows, head_of, outputs_of

Choose = Callable[[Inputs, Floats, Floats, tuple[str, ...], "Rows | None"], tuple[str, ...]]
"""From samples, targets, weights, feature names and sessions of a fit to the names of the features to learn from."""


@dataclass(frozen=True, eq=False)
class SomeColumns:
    """Some columns of samples, the last axis, gathered when they are asked for."""

    inputs: Inputs
    columns: Rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, and the shape of one."""
        return (*self.inputs.shape[:-1], len(self.columns))

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.inputs)

    def __getitem__(self, rows: slice | Rows, /) -> Matrix:
        """Return the samples numbered `rows`."""
        return np.ascontiguousarray(self.inputs[rows][..., self.columns])


@dataclass(frozen=True)
class Chosen(Around):
    """The learner: `choose` sees the rows of the fit and no others."""

    choose: Choose

    def fit(self, features: Inputs, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> ChosenModel:
        """Choose features, and fit on them."""
        kept = self.choose(features, target, weight, names, sessions)
        if not kept or not set(kept) <= set(names):
            raise InvariantBroken(f"{len(kept)} features were chosen, of which {sorted(set(kept) - set(names))} are none")
        columns = np.array([names.index(name) for name in kept], dtype=np.int64)
        model = self.learner.fit(_seen(features, columns), target, weight, kept, sessions)
        return ChosenModel(model, names, tuple(columns.tolist()))


@dataclass(frozen=True)
class ChosenModel:
    """A fitted model of the features numbered `columns`."""

    model: Model
    names: tuple[str, ...]
    columns: tuple[int, ...]

    @property
    def head(self) -> Head:
        """The model's own, one score where it has none."""
        return head_of(self.model)

    def predict(self, features: Matrix) -> Floats:
        """Scores, float64, shape (n,)."""
        return self.model.predict(self._seen(features))

    def outputs(self, features: Matrix) -> Floats:
        """Outputs, float64, shape (n, width)."""
        return outputs_of(self.model, self._seen(features))

    def to_onnx(self) -> bytes:
        """The model's graph behind a gathering of its columns."""
        from trainer.learners.joined_graphs import with_columns  # brings in what writes graphs, which a device lacks

        return with_columns(self.model.to_onnx(), self.columns, len(self.names))

    def to_text(self) -> str:
        """The chosen names and the model's own text as JSON."""
        return json.dumps({"chosen": [self.names[column] for column in self.columns], "text": self.model.to_text()})

    def importance(self) -> Floats:
        """Shares of the chosen features, 0 of the others."""
        shares = np.zeros(len(self.names))
        shares[list(self.columns)] = self.model.importance()
        return shares

    def contributions(self, features: Matrix) -> Floats:
        """SHAP values of the chosen features, 0 of the others, and the base value."""
        parts = self.model.contributions(self._seen(features))
        whole = np.zeros((len(parts), len(self.names) + 1))
        whole[:, [*self.columns, -1]] = parts
        return whole

    def _seen(self, features: Matrix) -> Matrix:
        if features.shape[-1] != len(self.names):
            raise InvariantBroken(f"samples of {features.shape[-1]} features, not {len(self.names)}")
        return _seen(features, np.array(self.columns, dtype=np.int64))


def _seen(features: Inputs, columns: Rows) -> Matrix:
    whole = SomeColumns(features, columns)
    seen: Matrix = whole[:] if len(features.shape) == 2 else whole  # type: ignore[assignment]  # networks take what is gathered
    return seen
