"""Numbers classes from 0 for learners that require it, where a label says them by sides (-1, 0, 1)."""

from dataclasses import dataclass

from signals.market.bars import Floats
from trainer.learners.base import FitDevice, Learner, Matrix, Model, Rows


@dataclass(frozen=True)
class Numbered:
    """A learner of classes, to which the sides -1, 0 and 1 are their numbers, from the worst to the best."""

    learner: Learner

    @property
    def device(self) -> FitDevice:
        """Where it fits."""
        return self.learner.device

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> Model:
        """Fit on rows float32 (n, F); targets are sides."""
        return self.learner.fit(features, target + 1.0, weight, names, sessions)
