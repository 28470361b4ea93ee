r"""Fitted Q evaluation: a model of the value of each arm under a policy, from a log of another one.

With h steps to go (Le, Voloshin and Yue 2019, "Batch policy learning under constraints"; Ernst et al. 2005):

    Q_h(x, a) = E[r + g V_{h-1}(x') | x, a],   V_h(x) = sum_a pi(a | x) Q_h(x, a),   V_0 = 0

and q(x_t, a) = Q_{H-t}(x_t, a). Each expectation is a regression on the logged steps that took the arm, whatever their
time: dynamics and policy are taken to depend on the features alone, so what depends on the time has it among them. The
last step of the horizon has no recorded successor and teaches Q_1 alone; a trajectory that ended earlier is worth
nothing after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from signals.errors import FixInput, TooLittleHistory
from signals.market.bars import Floats
from trainer.off_policy.logs import LoggedDecisions, Rows

if TYPE_CHECKING:
    from trainer.learners.base import Learner

Predict = Callable[[Floats], Floats]
Regressor = Callable[[Floats, Floats], Predict]
"""Takes features (m, F) and targets (m,), returns the function from features to what is expected."""


def cell_means(features: Floats, targets: Floats) -> Predict:
    """Tabular regressor: the mean of each state, which the only feature numbers from 0; the mean of all where it is new."""
    cells, usual = _cells(features), float(targets.mean())
    counts = np.bincount(cells)
    known = np.full(len(counts), usual)
    np.divide(np.bincount(cells, weights=targets), counts, out=known, where=counts > 0)

    def predict(rows: Floats) -> Floats:
        asked = _cells(rows)
        return np.where(asked < len(known), known[np.minimum(asked, len(known) - 1)], usual)

    return predict


def learned(learner: Learner) -> Regressor:
    """Regressor that a learner of the table fits, such as `learner_named("ridge", ...)`, on features of 32 bits."""

    def fit(features: Floats, targets: Floats) -> Predict:
        names = tuple(f"feature_{number}" for number in range(features.shape[1]))
        model = learner.fit(features.astype(np.float32), targets, np.ones(len(targets)), names)
        return lambda rows: model.predict(rows.astype(np.float32))

    return fit


@dataclass(frozen=True)
class FittedQ:
    """Fitted values: by steps to go, less one, and by arm; an arm that the policy never takes has none and counts 0."""

    models: tuple[tuple[Predict | None, ...], ...]

    def values(self, features: Floats) -> Floats:
        """Values of the features (n, H, F) of each step of the horizon, (n, H, arms)."""
        steps = [self.with_steps_to_go(len(self.models) - step, features[:, step]) for step in range(len(self.models))]
        return np.stack(steps, axis=1)

    def with_steps_to_go(self, count: int, features: Floats) -> Floats:
        """Values of features (m, F) with `count` steps to go, (m, arms)."""
        return np.stack([np.zeros(len(features)) if predict is None else predict(features) for predict in self.models[count - 1]], axis=1)


def fitted_q(log: LoggedDecisions, policy: Floats, regressor: Regressor) -> FittedQ:
    """Fit the values of a policy (n, H, arms) on a log; raise `FixInput` where it takes an arm that no usable step took."""
    log.require_policy(policy)
    count, horizon = log.actions.shape
    flat = log.features.reshape(count * horizon, -1)
    wanted = [bool(((policy[:, :, arm] > 0.0) & log.live).any()) for arm in range(log.arms)]
    fitted = FittedQ(())
    targets = log.rewards
    for to_go in range(1, horizon + 1):
        usable = log.live.copy()
        if to_go > 1:
            usable[:, -1] = False
            by_arm = fitted.with_steps_to_go(to_go - 1, flat).reshape(count, horizon, log.arms)
            value = np.where(log.live, (policy * by_arm).sum(axis=2), 0.0)
            targets = log.rewards + log.discount * np.concatenate([value[:, 1:], np.zeros((count, 1))], axis=1)
        models: list[Predict | None] = []
        for arm in range(log.arms):
            rows = usable & (log.actions == arm)
            if wanted[arm] and not rows.any():
                raise FixInput(f"the policy takes arm {arm}, which no logged decision took", fix="Log decisions that take it")
            models.append(regressor(log.features[rows], targets[rows]) if wanted[arm] else None)
        fitted = replace(fitted, models=(*fitted.models, tuple(models)))
    return fitted


def cross_fitted(log: LoggedDecisions, policy: Floats, regressor: Regressor, folds: int = 2) -> Floats:
    """Values (n, H, arms) of each trajectory by models that have not seen its session (Chernozhukov et al. 2018).

    The folds are blocks of consecutive sessions, because sessions resemble their neighbours. Raises `TooLittleHistory` where there
    are fewer sessions than folds.
    """
    sessions = np.unique(log.sessions)
    if folds < 2 or len(sessions) < folds:
        fix = "Log more sessions, or ask for 2 folds or more"
        raise TooLittleHistory(f"{len(sessions)} sessions cannot be cut into {folds} folds", fix=fix)
    q = np.empty((*log.actions.shape, log.arms))
    for block in np.array_split(sessions, folds):
        inside = np.isin(log.sessions, block)
        q[inside] = fitted_q(log.of(~inside), policy[~inside], regressor).values(log.features[inside])
    return q


def _cells(features: Floats) -> Rows:
    cells = features[:, 0].astype(np.int64) if features.shape[1] == 1 else np.zeros(0, dtype=np.int64)
    if len(cells) != len(features) or (cells != features[:, 0]).any() or (cells < 0).any():
        raise FixInput("these features do not number states", fix="Give one feature with whole numbers from 0, or another regressor")
    return cells
