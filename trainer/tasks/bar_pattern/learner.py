"""The learner of pictures: classes weigh alike, unless the loss is focal, and what a first net is sure of teaches a second one."""

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from signals.market.bars import Floats
from signals.models.heads import ClassesHead
from trainer.learners.base import FitDevice, HasHead, Inputs, Learner, Matrix, Model, Rows
from trainer.learners.pictures import class_and_pole
from trainer.tasks.bar_pattern.labels import CLASSES

CHUNK = 512
OF_CLASSES = ClassesHead(CLASSES)


@dataclass(frozen=True)
class PatternLearner:
    """A learner of pictures; `pseudo` is the probability from which a first net's word is learned, 0 for none."""

    learner: Learner
    pseudo: float = 0.0
    is_balanced: bool = True

    @property
    def device(self) -> FitDevice:
        """Where it fits."""
        return self.learner.device

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> Model:
        """Fit on pictures float32 (n, 3, 64, 64); the weights are those of the classes or all alike, whatever was given."""
        weigh = balanced if self.is_balanced else np.ones_like
        model = self.learner.fit(features, target, weigh(target), names, sessions)
        if not self.pseudo:
            return model
        plain = np.flatnonzero(class_and_pole(target)[0] == 0)
        said = OF_CLASSES.probabilities(outputs_of(model, features, plain)[:, : len(CLASSES)])
        named, is_sure = said.argmax(axis=1), said.max(axis=1) >= self.pseudo
        sure = (named > 0) & is_sure
        counts = dict(zip(CLASSES[1:], np.bincount(named[sure], minlength=len(CLASSES))[1:].tolist(), strict=True))
        if sure.any():
            taught = target.copy()
            taught[plain[sure]] = named[sure]
            model = self.learner.fit(features, taught, weigh(taught), names, sessions)
        return cast(Model, replace(cast(Any, model), pseudo=counts))


def balanced(target: Floats) -> Floats:
    """Weights, with mean 1, by which every class that there is weighs the same."""
    number = class_and_pole(target)[0]
    counts = np.bincount(number)
    weight = 1.0 / counts[number]
    return np.asarray(weight / weight.mean(), dtype=np.float64)


def outputs_of(model: Model, inputs: Inputs, rows: Rows) -> Floats:
    """Outputs of the rows numbered `rows`, float64 (n, width), gathered a few at a time."""
    given = cast(HasHead, model)
    parts = [given.outputs(inputs[rows[first : first + CHUNK]]) for first in range(0, len(rows), CHUNK)]
    return np.concatenate(parts or [np.zeros((0, given.head.width))])
