"""Logs of decisions whose true values are known: the four-row bandit, and a tabular Markov decision process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from signals.events import arms
from signals.market.bars import Floats
from trainer.off_policy.logs import LoggedDecisions

FOUR_ROWS = LoggedDecisions.of_one_step(
    sessions=np.array([1, 2, 3, 4]),
    features=np.array([[0.0], [0.0], [1.0], [1.0]]),
    actions=np.array([0, 1, 0, 1]),
    rewards=np.array([1.0, 0.0, 0.0, 1.0]),
    propensities=np.array([0.5, 0.5, 0.25, 0.75]),
    arms=2,
)
FOUR_POLICY = np.array([[0.8, 0.2], [0.8, 0.2], [0.1, 0.9], [0.1, 0.9]])[:, None]
FOUR_Q = np.array([[0.7, 0.2], [0.7, 0.2], [0.1, 0.6], [0.1, 0.6]])[:, None]


@dataclass(frozen=True, eq=False)
class KnownProcess:
    """Transitions (S, A, S), mean rewards (S, A) with normal noise of 0.5, start (S,); policies are (S, A)."""

    transitions: Floats
    rewards: Floats
    start: Floats
    horizon: int = 20
    discount: float = 0.95

    def best(self) -> Floats:
        """The best action of each state with many steps to go, as a policy."""
        value = np.zeros(len(self.start))
        for _ in range(200):
            by_arm = self.rewards + self.discount * self.transitions @ value
            value = by_arm.max(axis=1)
        return np.eye(self.rewards.shape[1])[by_arm.argmax(axis=1)]

    def value(self, policy: Floats) -> float:
        """Exact value over the horizon, by backward recursion."""
        value = np.zeros(len(self.start))
        for _ in range(self.horizon):
            value = (policy * (self.rewards + self.discount * self.transitions @ value)).sum(axis=1)
        return float(self.start @ value)

    def log(self, policy: Floats, trajectories: int, rng: np.random.Generator) -> LoggedDecisions:
        """Trajectories under `policy`, each a session of its own; the feature is the number of the state."""
        shape = (trajectories, self.horizon)
        states, actions = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.int64)
        now = _drawn(np.broadcast_to(self.start, (trajectories, len(self.start))), rng)
        for step in range(self.horizon):
            states[:, step] = now
            actions[:, step] = _drawn(policy[now], rng)
            now = _drawn(self.transitions[now, actions[:, step]], rng)
        rewards = self.rewards[states, actions] + 0.5 * rng.standard_normal(shape)
        sessions = np.arange(trajectories)
        return LoggedDecisions(
            sessions, states[:, :, None].astype(float), actions, rewards, policy[states, actions], policy.shape[1], self.discount
        )


def known_process(seed: int = 7, states: int = 12, arms: int = 5) -> KnownProcess:
    rng = np.random.default_rng(seed)
    transitions = rng.dirichlet(np.full(states, 0.3), (states, arms))
    return KnownProcess(transitions, rng.normal(0.0, 1.0, (states, arms)), rng.dirichlet(np.ones(states)))


def policies(process: KnownProcess, towards_best: float = 0.15) -> tuple[Floats, Floats]:
    """Return a behaviour that explores every arm, and a policy that leans to the best arm."""
    arms = process.rewards.shape[1]
    uniform = np.full(process.rewards.shape, 1.0 / arms)
    return uniform, (1.0 - towards_best) * uniform + towards_best * process.best()


def by_state(policy: Floats, log: LoggedDecisions) -> Floats:
    """The policy (S, A) at every step of a log, (n, H, A)."""
    return policy[log.features[:, :, 0].astype(np.int64)]


def shadow(seed: int, gain: float, events: int = 6000) -> LoggedDecisions:
    """Events of two kinds whose arm 2 earns `gain` more than the default, drawn with exploration of 0.4."""
    rng = np.random.default_rng(seed)
    chances = arms.exploring(len(arms.ARMS), arms.DEFAULT, 0.4)
    drawn = [arms.draw(chances, uniform) for uniform in rng.random(events)]
    actions, taken = np.array([arm for arm, _ in drawn]), np.array([chance for _, chance in drawn])
    kind = rng.integers(0, 2, events)
    rewards = kind + gain * (actions == 2) + rng.standard_normal(events)
    return LoggedDecisions.of_one_step(np.arange(events) // 10, kind[:, None].astype(float), actions, rewards, taken, len(arms.ARMS))


def _drawn(chances: Floats, rng: np.random.Generator) -> np.ndarray:
    edges = np.cumsum(chances, axis=1)
    return np.minimum((rng.random(len(edges))[:, None] >= edges).sum(axis=1), edges.shape[1] - 1)
