"""Seed averaging: one learner fitted with several seeds, scored by the mean of its models.

What one seed rather than another does to a model is chance. The mean of several holds less of it, so that a model that
is trained again on a week more ranks names nearly as the one before. A bundle carries each model as an ONNX file of its
own; whoever scores takes their mean (`signals.models.inference.predict`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from signals.market.bars import Floats
from signals.models.heads import Head
from trainer.learners.base import FitDevice, Learner, Matrix, Model, Reduced, Rows, head_of, outputs_of

STRIDE = 100_003  # between the seeds of one average: those of two neighbouring `--seed` never meet


@dataclass(frozen=True)
class Averaged:
    """Learners that differ in their seed."""

    members: tuple[Learner, ...]

    @property
    def device(self) -> FitDevice:
        """Where they fit."""
        return self.members[0].device

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> AveragedModel:
        """Fit each on all rows."""
        return AveragedModel(tuple(member.fit(features, target, weight, names, sessions) for member in self.members))


@dataclass(frozen=True)
class AveragedModel(Reduced):
    """Fitted models whose mean is the score."""

    members: tuple[Model, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names."""
        return self.members[0].names

    @property
    def head(self) -> Head:
        """The members' head, one score where they have none of their own."""
        return head_of(self.members[0])

    def outputs(self, features: Matrix) -> Floats:
        """Mean of the members' outputs, float64, shape (n, width)."""
        mean: Floats = np.mean([outputs_of(one, features) for one in self.members], axis=0)
        return mean

    def to_onnx(self) -> bytes:
        """ONNX graph of all members, whose scores meet in one mean."""
        from trainer.learners.joined_graphs import mean_graph  # brings in what writes graphs, which a device lacks

        return mean_graph([member.to_onnx() for member in self.members])

    def to_text(self) -> str:
        """A JSON list of the members' texts."""
        return json.dumps([member.to_text() for member in self.members])

    def importance(self) -> Floats:
        """Mean of the members' shares."""
        mean: Floats = np.mean([member.importance() for member in self.members], axis=0)
        return mean

    def contributions(self, features: Matrix) -> Floats:
        """Mean of the members' SHAP values, which sum to the mean score."""
        mean: Floats = np.mean([member.contributions(features) for member in self.members], axis=0)
        return mean


def seeds_of(seed: int, count: int) -> tuple[int, ...]:
    """Return the seeds of an average of `count`; the first is `seed` itself."""
    return tuple(seed + number * STRIDE for number in range(count))
