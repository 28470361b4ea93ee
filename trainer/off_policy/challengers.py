r"""Challengers of fitted Q: IQL, CQL and a Decision Transformer, small networks on the one training loop.

All learn from two kinds of trajectories: the replay, in which every level follows every level once a session, because
returns do not answer to size, and the supervised baseline, which stays at the whole book. With m(j | i) the share of
level j after level i in both, u an expectile's weight and q' a copy of q that follows slowly:

======  =======================================================================================================
IQL     q(i, j) -> r + g v(x', j);  v(i) -> expectile_u of q'(i, j), j ~ m;  p(j | i) ~ m exp(b (q(i, j) - v(i)))
        (Kostrikov, Nair and Levine 2021, "Offline reinforcement learning with implicit Q-learning")
CQL     q(i, j) -> r + g max_k q'(x', j, k), and a [log sum_j exp q(i, j) - sum_j m(j | i) q(i, j)] is added
        (Kumar, Zhou, Tucker and Levine 2020, "Conservative Q-learning for offline reinforcement learning")
DT      p(action | return to go, states and levels of the last sessions); a level is worth its log chance under a
        high return to go less that under a low one, which leaves out what was merely usual in the trajectories
        (Chen et al. 2021, "Decision transformer: reinforcement learning via sequence modeling")
======  =======================================================================================================

The return to go of the transformer is what the levels earned beyond the mean of all levels over the coming sessions:
where the market is common luck, conditioning on the plain return would teach that luck comes of large books.

A device takes a policy that is linear in the state. So what a network says of every session and level is regressed on the
state at the end, and that linear policy is what is replayed, judged and published.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy.special import logsumexp

from portfolio.policy.sizing import GRID, WHOLE, SizingPolicy
from signals.market.bars import Floats
from signals.models.heads import ClassesHead, VectorHead
from trainer.learners.base import FitDevice, Matrix, Rows
from trainer.learners.networks.families.attention import Transformer
from trainer.learners.networks.families.perceptrons import Mlp
from trainer.learners.networks.layers import Shape
from trainer.learners.networks.loop import Lesson, Losses, Network, Training
from trainer.learners.networks.parameters import AttentionConfig, MlpConfig
from trainer.off_policy.market_env import MarketEnv
from trainer.off_policy.sizing import DISCOUNT, linear_sizing

LEVELS_COUNT, PAIRS = len(GRID), len(GRID) ** 2
SHARES = (np.ones((LEVELS_COUNT, LEVELS_COUNT)) + np.outer(np.eye(LEVELS_COUNT)[WHOLE], np.eye(LEVELS_COUNT)[WHOLE])).astype(np.float32)
SHARES /= SHARES.sum(axis=1, keepdims=True)  # m(j | i): each pair once, and the baseline's own once more
EXPECTILE, TEMPERATURE = 0.9, 10.0
CONSERVATISM = 0.1
SLOWNESS = 0.02
Q_CONFIG = MlpConfig(hidden=(32, 16), epochs=12, batch_rows=128, learning_rate=2e-3, weight_decay=1e-3, dropout=0.0)
LENGTH, AHEAD, PATHS, STAY, ASKED = 5, 20, 6, 0.95, 0.9
DT_CONFIG = AttentionConfig(size=16, heads=2, layers=1, epochs=3, batch_rows=512, learning_rate=2e-3, dropout=0.0)


def expectile_losses(errors: torch.Tensor, level: float) -> torch.Tensor:
    """|level - [error < 0]| error^2, whose mean is least where the errors are from the expectile of `level` (Newey, Powell 1987)."""
    return torch.abs(level - (errors < 0.0).to(errors.dtype)) * errors**2


def conservative_penalty(values: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Log of the sum of exp(values) over the last axis, less their mean by the shares of the actions in the data."""
    return torch.logsumexp(values, dim=-1) - (shares * values).sum(dim=-1)


class WithSlowCopy(torch.nn.Module):
    """A perceptron of the state, and a copy of it that follows slowly; samples are a session and the next, (B, 2, F)."""

    def __init__(self, shape: Shape, width: int, config: MlpConfig) -> None:
        super().__init__()
        self.quick, self.slow = (Mlp(shape[1:], width, config) for _ in range(2))
        self.slow.requires_grad_(requires_grad=False)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, 3, width): of the session, quick and slow, and of the next session by the slow copy."""
        if self.training:
            with torch.no_grad():
                for kept, new in zip(self.slow.parameters(), self.quick.parameters(), strict=True):
                    kept.lerp_(new, SLOWNESS)
        now, after = z[:, 0], z[:, 1]
        return torch.stack([self.quick(now), self.slow(now), self.slow(after)], dim=1)


def iql_losses(outputs: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
    """Loss of each session: outputs hold q by pair of levels, and v by level; (B, 3, 30)."""
    shares, count = torch.from_numpy(SHARES), LEVELS_COUNT
    q, value = outputs[..., :PAIRS].unflatten(-1, (count, count)), outputs[..., PAIRS:]
    ahead = rewards.unflatten(-1, (count, count)) + DISCOUNT * value[:, 2, None, :].detach()
    beyond = q[:, 1].detach() - value[:, 0, :, None]
    return (shares * ((q[:, 0] - ahead) ** 2 + expectile_losses(beyond, EXPECTILE))).sum(dim=-1).mean(dim=-1)


def cql_losses(outputs: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
    """Loss of each session: outputs hold q by pair of levels; (B, 3, 25)."""
    shares, count = torch.from_numpy(SHARES), LEVELS_COUNT
    q = outputs.unflatten(-1, (count, count))
    ahead = rewards.unflatten(-1, (count, count)) + DISCOUNT * q[:, 2].detach().amax(dim=-1)[:, None, :]
    loss = (shares * (q[:, 0] - ahead) ** 2).sum(dim=-1) + CONSERVATISM * conservative_penalty(q[:, 0], shares)
    return loss.mean(dim=-1)


def _by_values(name: str, loss: Losses, width: int, usual: Floats, env: MarketEnv, seed: int) -> SizingPolicy:
    """Train on pairs of sessions; a level is worth its q, and what it is worth for being usual in the data."""
    z = env.standardised()[0][:, 1:].astype(np.float32)
    samples = np.stack([z[:-1], z[1:]], axis=1)
    training = Training(name, WithSlowCopy, Q_CONFIG, VectorHead(width), seed, FitDevice.CPU, loss)
    network = _trained(training, samples, _scaled(env).reshape(-1, PAIRS))
    q = _outputs(network, np.stack([z, z], axis=1))[:, 0, :PAIRS]
    return linear_sizing(env, q.reshape(-1, LEVELS_COUNT, LEVELS_COUNT) + usual)


def _by_returns(env: MarketEnv, seed: int) -> SizingPolicy:
    """Train on windows of trajectories, ask for the best tenth of their returns to go."""
    z = env.standardised()[0][:, 1:].astype(np.float32)
    rewards, rng = _scaled(env), np.random.default_rng(seed)
    sessions, starts = np.arange(len(rewards)), np.arange(LENGTH - 1, len(rewards) - AHEAD)
    tokens, actions, returns = [], [], []
    for path in range(PATHS + 1):
        moves = (rng.random(len(rewards)) > STAY) & (path < PATHS)  # the last one is the baseline
        drawn = rng.integers(0, LEVELS_COUNT, len(rewards))
        level = np.where(np.cumsum(moves) > 0, drawn[np.maximum.accumulate(np.where(moves, sessions, 0))], WHOLE)
        before = np.concatenate([[WHOLE], level[:-1]])
        relative = rewards[sessions, before, level] - rewards.mean(axis=(1, 2))
        summed = np.concatenate([[0.0], np.cumsum(relative)])
        to_go = summed[np.minimum(sessions + AHEAD, len(rewards))] - summed[:-1]
        tokens.append(_windows(_tokens(to_go, z[:-1], before), starts))
        actions.append(level[starts])
        returns.append(to_go[starts])
    low, high = np.quantile(np.concatenate(returns), (1.0 - ASKED, ASKED))
    head = ClassesHead(tuple(f"level_{number}" for number in range(LEVELS_COUNT)))
    training = Training("decision_transformer", Transformer, DT_CONFIG, head, seed, FitDevice.CPU, None)
    network = _trained(training, np.concatenate(tokens), np.concatenate(actions))
    rows, values = np.arange(LENGTH - 1, len(z)), np.zeros((len(z) - LENGTH + 1, LEVELS_COUNT, LEVELS_COUNT))
    for i in range(LEVELS_COUNT):
        for asked, sign in ((high, 1.0), (low, -1.0)):
            logits = _outputs(network, _windows(_tokens(np.full(len(z), asked), z, np.full(len(z), i)), rows))
            values[:, i] += sign * (logits - logsumexp(logits, axis=1, keepdims=True))
    return linear_sizing(env, np.concatenate([np.repeat(values[:1], LENGTH - 1, axis=0), values]))


def _trained(training: Training, samples: Matrix, target: Floats) -> Network:
    return training.network(Lesson(samples, target.astype(np.float64), np.ones(len(samples)), None), None)


def _outputs(network: Network, samples: Matrix) -> Floats:
    parts = np.array_split(samples, 1 + len(samples) // 4096)
    with torch.inference_mode():
        return np.concatenate([network(torch.from_numpy(part)).numpy() for part in parts]).astype(np.float64)


def _scaled(env: MarketEnv) -> Floats:
    """Rewards in units of their own deviation, so that no setting depends on how large the book is."""
    rewards = env.rewards()
    spread = float(rewards.std())
    return rewards / spread if spread > 0 else rewards


def _tokens(to_go: Floats, z: Matrix, before: Rows) -> Matrix:
    """A token a session; the products are there because a level's worth is in the state and the return together."""
    return np.column_stack([to_go, z, to_go[:, None] * z, np.eye(LEVELS_COUNT)[before]]).astype(np.float32)


def _windows(tokens: Matrix, last: Rows) -> Matrix:
    return np.ascontiguousarray(tokens[last[:, None] - np.arange(LENGTH)[::-1]])


CHALLENGER_FITS: dict[str, Callable[[MarketEnv, int], SizingPolicy]] = {
    "iql": partial(_by_values, "iql", iql_losses, PAIRS + LEVELS_COUNT, np.log(SHARES) / TEMPERATURE),
    "cql": partial(_by_values, "cql", cql_losses, PAIRS, np.zeros_like(SHARES)),
    "decision_transformer": _by_returns,
}
