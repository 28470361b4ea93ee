"""Decisions as they were logged, each with the probability that the policy then in force gave to it.

A log holds trajectories of at most H steps; a bandit is a log of one step. What no later computation can repair is
refused here: a probability that is absent, zero or above one, a reward that is no number, an arm that does not exist.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from signals.errors import FixInput
from signals.market.bars import Floats
from signals.scoring.shadow_logs import FIX
from signals.text.wording import reason_of

Rows = NDArray[np.int64]
ENDED = -1  # the action of a step after the end of its trajectory
CERTAIN = 1.0 - 1e-12
SUM_TOLERANCE = 1e-9


def exported(path: Path, what: str) -> dict[str, bytes]:
    """Return what devices exported of `what` at a path, a file or a folder of them, by file; raise `FixInput` where there is nothing."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    try:
        found = {str(file): file.read_bytes() for file in files}
    except OSError as error:
        raise FixInput(f"a log of {what} cannot be read: {reason_of(error)}", where=str(path), fix=FIX) from None
    if not found:
        raise FixInput(f"there is no log of {what}", where=str(path), fix=FIX)
    return found


@dataclass(frozen=True, eq=False)
class LoggedDecisions:
    """Trajectories with propensities; the arrays are copied and cannot be written.

    Attributes
    ----------
    sessions : int64 (n,)
        Session of each trajectory. Trajectories of one session share the market, so errors are clustered by it.
    features : float64 (n, H, F)
        What the decision could see.
    actions : int64 (n, H)
        Number of the arm taken; -1 from the end of a trajectory on. One that ends before H has ended for good and earns
        nothing after.
    rewards, propensities : float64 (n, H)
        What the decision earned, and the probability in (0, 1] with which it was taken.
    arms : int
        How many there were to choose from.
    discount : float in (0, 1]

    Raises
    ------
    FixInput
        The first value that breaks a rule above, with its row and step.
    """

    sessions: Rows
    features: Floats
    actions: Rows
    rewards: Floats
    propensities: Floats
    arms: int
    discount: float = 1.0

    def __post_init__(self) -> None:
        """Copy, check, and blank the values after the end of a trajectory."""
        for name in ("sessions", "actions"):
            self._freeze(name, _numbers(name, getattr(self, name), "iu").astype(np.int64))
        for name in ("features", "rewards", "propensities"):
            self._freeze(name, _numbers(name, getattr(self, name), "iuf").astype(np.float64))
        if self.actions.ndim != 2 or not self.actions.size:
            raise FixInput("the log holds no decision", fix="Give actions of shape (trajectories, steps)")
        shape = self.actions.shape
        for name, wanted in (("sessions", shape[:1]), ("rewards", shape), ("propensities", shape)):
            if (found := getattr(self, name).shape) != wanted:
                raise FixInput(f"{name} has the shape {found}", fix=f"Give {wanted}, as the actions have it")
        if self.features.ndim != 3 or self.features.shape[:2] != shape:
            raise FixInput(f"features has the shape {self.features.shape}", fix=f"Give {shape} and the number of features")
        if not 0.0 < self.discount <= 1.0:
            raise FixInput(f"the discount is {self.discount}", fix="Give one in (0, 1]")
        live, outside = self.live, (self.actions < ENDED) | (self.actions >= self.arms)
        _refuse(outside, f"an action is none of the {self.arms} arms", f"Number them 0 to {self.arms - 1}, and {ENDED} after the end")
        gap = np.diff(live.astype(np.int64), axis=1, prepend=1) > 0
        gap[:, 0] = ~live[:, 0]
        _refuse(gap, "a trajectory has a gap or no first step", "Number its steps from the first one, without a gap")
        _refuse(live & ~np.isfinite(self.rewards), "a reward is not a finite number", "Leave the trajectory out, or repair its reward")
        outside = live & ~((self.propensities > 0.0) & (self.propensities <= 1.0))  # NaN is outside too
        _refuse(outside, "a propensity is outside (0, 1]", "Log the probability with which the action was drawn")
        _refuse(live & ~np.isfinite(self.features).all(axis=2), "a feature is not a finite number", "Impute it before it is logged")
        self._freeze("rewards", np.where(live, self.rewards, 0.0))
        self._freeze("propensities", np.where(live, self.propensities, 1.0))
        self._freeze("features", np.where(live[:, :, None], self.features, 0.0))

    @classmethod
    def of_one_step(cls, sessions: Rows, features: Floats, actions: Rows, rewards: Floats, propensities: Floats, arms: int) -> Self:
        """Return the log of a bandit: features (n, F), everything else (n,)."""
        return cls(sessions, features[:, None], actions[:, None], rewards[:, None], propensities[:, None], arms)

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[date, Sequence[float], int, float, float]], arms: int) -> Self:
        """Return the log of a bandit from session, features, action, reward and propensity of each decision."""
        sessions, features, actions, rewards, propensities = (np.array(column) for column in zip(*rows, strict=True))
        return cls.of_one_step(sessions.astype("datetime64[D]").astype(np.int64), features, actions, rewards, propensities, arms)

    @property
    def live(self) -> NDArray[np.bool_]:
        """Which steps were taken, (n, H)."""
        return np.asarray(self.actions != ENDED)

    @property
    def discounts(self) -> Floats:
        """Discount of each step, (H,); the first is 1."""
        return np.asarray(self.discount ** np.arange(self.actions.shape[1], dtype=np.float64))

    def of(self, rows: NDArray[np.bool_]) -> Self:
        """Return the log of some trajectories."""
        arrays = ("sessions", "features", "actions", "rewards", "propensities")
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})

    def taken(self, by_arm: Floats) -> Floats:
        """Pick from (n, H, arms) what belongs to the arms that were taken; 0 after the end."""
        picked = np.take_along_axis(by_arm, np.maximum(self.actions, 0)[:, :, None], axis=2)[:, :, 0]
        return np.where(self.live, picked, 0.0)

    def require_policy(self, policy: Floats) -> None:
        """Raise `FixInput` unless `policy` holds the probabilities of every arm at every step, (n, H, arms)."""
        self.require_by_arm("the policy", policy)
        wrong = ~((policy >= 0.0).all(axis=2) & (np.abs(policy.sum(axis=2) - 1.0) <= SUM_TOLERANCE))
        _refuse(self.live & wrong, "the policy's probabilities are negative or do not sum to 1", "Give a probability for each arm")

    def require_by_arm(self, what: str, by_arm: Floats) -> None:
        """Raise `FixInput` unless `by_arm` is finite at every step, (n, H, arms)."""
        if by_arm.shape != (wanted := (*self.actions.shape, self.arms)):
            raise FixInput(f"{what} has the shape {by_arm.shape}", fix=f"Give {wanted}: one number per step and arm")
        _refuse(self.live & ~np.isfinite(by_arm).all(axis=2), f"{what} is not a finite number", "Compute it again")

    def _freeze(self, name: str, array: NDArray[Any]) -> None:
        array.setflags(write=False)
        object.__setattr__(self, name, array)


def _numbers(name: str, array: object, kinds: str) -> NDArray[Any]:
    """Return a copy of an array of integers ("iu") or of any numbers ("iuf"); text that reads as one is not one."""
    given = np.array(array)
    if given.dtype.kind not in kinds:
        raise FixInput(f"{name} does not hold {'numbers' if 'f' in kinds else 'whole numbers'}", fix="Give an array of them")
    return given


def _refuse(wrong: NDArray[np.bool_], what: str, fix: str) -> None:
    if wrong.any():
        row, step = np.argwhere(wrong)[0].tolist()
        raise FixInput(what, where=f"trajectory {row}, step {step}; {int(wrong.sum())} of the log", fix=fix)
