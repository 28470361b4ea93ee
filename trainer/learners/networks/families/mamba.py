r"""Mamba: a selective state-space network, a linear state whose decay and input depend on the sample.

    h_t = exp(d_t A) h_{t-1} + d_t B_t u_t,   y_t = C_t h_t + D u_t

The recurrence is computed by doubling: after pass k a step holds the sum over the 2^k steps up to it, so that a window of L
takes log2 L passes of plain products, and a graph has no loop.

Source: Gu and Dao 2024, "Mamba: linear-time sequence modeling with selective state spaces".
"""

import torch
from torch.nn.functional import pad, silu, softplus

from trainer.learners.networks.layers import Dropout, Shape
from trainer.learners.networks.parameters import MambaConfig


class Selective(torch.nn.Module):
    """One layer: a short causal filter, the selective state, a gate, added to what went in."""

    rates: torch.Tensor

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        inner = 2 * config.size
        self.norm = torch.nn.LayerNorm(config.size)
        self.widen, self.narrow = torch.nn.Linear(config.size, 2 * inner), torch.nn.Linear(inner, config.size)
        self.filter = torch.nn.Conv1d(inner, inner, config.kernel, groups=inner)
        self.pace, self.mix = torch.nn.Linear(inner, inner), torch.nn.Linear(inner, 2 * config.state)
        self.register_buffer("rates", torch.arange(1.0, config.state + 1.0), persistent=False)
        self.change, self.skip = torch.nn.Parameter(torch.empty(inner, config.state)), torch.nn.Parameter(torch.ones(inner))
        self.dropout, self.ahead = Dropout(config.dropout), config.kernel - 1

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (B, L, size) to as much; a step sees itself and what was before it."""
        taken, gate = self.widen(self.norm(tokens)).chunk(2, dim=-1)
        taken = silu(self.filter(pad(taken.transpose(1, 2), (self.ahead, 0))).transpose(1, 2))
        pace = softplus(self.pace(taken)).unsqueeze(-1)
        intake, outlet = self.mix(taken).unsqueeze(2).chunk(2, dim=-1)
        kept, state = torch.exp(-pace * (self.rates * torch.exp(self.change))), pace * intake * taken.unsqueeze(-1)
        length, shift = tokens.shape[1], 1
        while shift < length:
            before_state, before_kept = (pad(part[:, :-shift], (0, 0, 0, 0, shift, 0)) for part in (state, kept))
            state, kept = state + kept * before_state, kept * before_kept
            shift *= 2
        read = (state * outlet).sum(dim=-1) + self.skip * taken
        return tokens + self.dropout(self.narrow(read * silu(gate)))


class Mamba(torch.nn.Module):
    """A token a session, layers, and a linear map of the newest token."""

    def __init__(self, shape: Shape, width: int, config: MambaConfig) -> None:
        super().__init__()
        self.token = torch.nn.Linear(shape[1], config.size)
        self.layers = torch.nn.Sequential(*(Selective(config) for _ in range(config.layers)))
        self.norm = torch.nn.LayerNorm(config.size)
        self.last = torch.nn.Linear(config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        outputs: torch.Tensor = self.last(self.norm(self.layers(self.token(z))[:, -1]))
        return outputs
