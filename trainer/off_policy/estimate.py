r"""An estimate of a policy's value, with its error clustered by session.

Every estimator is the mean of one number c_i a trajectory (of the self-normalised ones: the linearised one), so that the
error of each, and of the difference of two on the same log, is that of a mean. With s_g the sum of c_i - mean over the
trajectories of session g, G sessions and n trajectories (Liang and Zeger 1986, "Longitudinal data analysis using
generalized linear models"):

    SE^2 = G/(G - 1) sum_g s_g^2 / n^2,    bound = mean - t_{G-1}(level) SE
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from signals.errors import FixInput, InvariantBroken, TooLittleHistory
from signals.market.bars import Floats
from trainer.off_policy.logs import Rows


@dataclass(frozen=True, eq=False)
class OffPolicyEstimate:
    """Contributions (n,), whose mean is the estimate, and the session of each."""

    contributions: Floats
    sessions: Rows

    def __post_init__(self) -> None:
        """Refuse what left the range of floating point."""
        if self.contributions.shape != self.sessions.shape:
            raise InvariantBroken("an estimate needs one session a contribution")
        if not np.isfinite(self.contributions).all():
            raise FixInput("weights or rewards leave the range of numbers", fix="Shorten the horizon, or log larger propensities")

    @property
    def value(self) -> float:
        """The estimate."""
        return float(self.contributions.mean())

    @property
    def standard_error(self) -> float:
        """Error clustered by session.

        Raises
        ------
        TooLittleHistory
            Of a single session nothing is known about another.
        """
        _, group = np.unique(self.sessions, return_inverse=True)
        sums = np.bincount(group, weights=self.contributions - self.value)
        count = len(sums)
        if count < 2:
            raise TooLittleHistory("an error needs decisions of two sessions or more", fix="Log more sessions")
        return float(np.sqrt(count / (count - 1) * (sums @ sums))) / len(self.contributions)

    def lower(self, level: float = 0.95) -> float:
        """One-sided lower bound that holds with the confidence `level`."""
        return self.value - self._quantile(level) * self.standard_error

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided interval of the confidence `level`."""
        half = self._quantile(0.5 + level / 2.0) * self.standard_error
        return self.value - half, self.value + half

    def minus(self, other: OffPolicyEstimate) -> OffPolicyEstimate:
        """Difference of two policies on one log, paired by trajectory: what both share leaves the error."""
        if not np.array_equal(self.sessions, other.sessions):
            raise FixInput("the estimates come from different logs", fix="Estimate both policies on the same trajectories")
        return OffPolicyEstimate(self.contributions - other.contributions, self.sessions)

    def _quantile(self, level: float) -> float:
        if not 0.5 <= level < 1.0:
            raise FixInput(f"the level is {level}", fix="Give one in [0.5, 1)")
        return float(student.ppf(level, max(len(np.unique(self.sessions)) - 1, 1)))
