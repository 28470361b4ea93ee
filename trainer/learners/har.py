r"""The HAR learner: a linear cascade of log volatilities, converted to expected variance.

    ln v = c + b . x,   x = log volatilities over 5, 22, 66, 252 sessions and the other features of the sleeve `risk`

(Corsi 2009, "A simple approximate long-memory model of realized volatility".) Fitting logs gives the expected log; the
expected variance is larger. Duan's (1983) smearing estimate corrects for it without assuming a law:

    score = ln v + 1/2 ln( mean of exp(2 e) ),   e the training residuals

so that exp(2 score) is the expected variance, which is what QLIKE and a risk model want.
"""

from dataclasses import dataclass

import numpy as np

from signals.errors import FixInput
from signals.market.bars import Floats
from trainer.learners.base import Around, Matrix, Model, Rows

TOLERANCE = 0.02  # of the log volatility


@dataclass(frozen=True)
class ExpectedVariance(Around):
    """A learner of log volatilities whose scores are restated to the expected variance.

    The learner is fitted twice: on the targets, which gives the residuals, and on the targets raised by the smearing
    term. Of a learner that moves with a constant added to its targets, as least squares and trees do, the second fit is the
    first one, raised, and exports like any other. That is asked of it: with the second fit's scores exp(2 e) has the mean 1.
    """

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> Model:
        """Fit on rows float32 (n, F); targets are log volatilities.

        Raises
        ------
        FixInput
            The learner does not move with its targets: its scores would not be the expected variance.
        """
        first = self.learner.fit(features, target, weight, names, sessions)
        raised = target + smearing(target - first.predict(features), weight)
        found = self.learner.fit(features, raised, weight, names, sessions)
        missed = smearing(target - found.predict(features), weight)
        if not abs(missed) <= TOLERANCE:
            what = f"the learner did not move with its targets: the variance it expects is {np.exp(2.0 * missed):.2f} times too small"
            raise FixInput(what, where="learner", fix="Choose ridge or trees for volatilities")
        return found


def smearing(residuals: Floats, weight: Floats) -> float:
    """1/2 ln of the weighted mean of exp(2 e).

    Examples
    --------
    Residuals of +-ln 2 with equal weights: the mean of 4 and 1/4 is 2.125.

    >>> round(smearing(np.log([2.0, 0.5]), np.ones(2)), 6)
    0.376886
    """
    return 0.5 * float(np.log(np.average(np.exp(2.0 * residuals), weights=weight)))
