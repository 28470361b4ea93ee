"""Networks of attention among tokens: of sessions, of patches of them, or of features."""

import math

import torch

from trainer.learners.networks.layers import Dropout, PartedLinear, Shape
from trainer.learners.networks.parameters import AttentionConfig, PatchTstConfig

TAPS = 3  # of a convolution over neighbouring steps


class Encoder(torch.nn.Module):
    """One layer of attention over `steps` tokens and a perceptron of each token, both normalised first and added."""

    def __init__(self, steps: int, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.steps, self.size, self.heads = steps, size, heads
        self.before, self.after = torch.nn.LayerNorm(size), torch.nn.LayerNorm(size)
        self.project, self.join = torch.nn.Linear(size, 3 * size), torch.nn.Linear(size, size)
        self.widen, self.narrow = torch.nn.Linear(size, 2 * size), torch.nn.Linear(2 * size, size)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens (B, steps, size) to as many."""
        share = self.size // self.heads
        parts = self.project(self.before(tokens)).reshape(-1, self.steps, 3, self.heads, share).permute(2, 0, 3, 1, 4)
        weight = torch.softmax(parts[0] @ parts[1].transpose(2, 3) / math.sqrt(share), dim=-1)
        mixed = (weight @ parts[2]).permute(0, 2, 1, 3).reshape(-1, self.steps, self.size)
        tokens = tokens + self.dropout(self.join(mixed))
        widened = torch.nn.functional.gelu(self.widen(self.after(tokens)))
        return tokens + self.dropout(self.narrow(widened))


class Attention(torch.nn.Module):
    """Tokens made of `inside` values each, a learned place for each of `steps`, encoders over them; families read the tokens."""

    def __init__(self, inside: int, steps: int, config: AttentionConfig) -> None:
        super().__init__()
        self.token = torch.nn.Linear(inside, config.size)
        self.place = torch.nn.Parameter(torch.empty(steps, config.size))
        self.encoders = torch.nn.Sequential(*(Encoder(steps, config.size, config.heads, config.dropout) for _ in range(config.layers)))
        self.norm = torch.nn.LayerNorm(config.size)

    def encoded(self, values: torch.Tensor) -> torch.Tensor:
        """Map (B, steps, inside) to tokens (B, steps, size), not normalised yet."""
        tokens: torch.Tensor = self.encoders(self.token(values) + self.place)
        return tokens


class Transformer(Attention):
    """One token a session with a learned place, encoders, and a linear map of the last token.

    Source: Vaswani et al. 2017, "Attention is all you need", with the norms first.
    """

    def __init__(self, shape: Shape, width: int, config: AttentionConfig) -> None:
        length, features = shape
        super().__init__(features, length, config)
        self.last = torch.nn.Linear(config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        outputs: torch.Tensor = self.last(self.norm(self.encoded(z)[:, -1]))
        return outputs


class PatchTst(Attention):
    """Patches that end at the newest session, encoders shared by all features, and a linear map of the newest patch's tokens.

    Source: Nie et al. 2023, "A time series is worth 64 words".
    """

    steps: torch.Tensor

    def __init__(self, shape: Shape, width: int, config: PatchTstConfig) -> None:
        length, features = shape
        patch = min(config.patch, length)
        starts = torch.arange((length - patch) % config.stride, length - patch + 1, config.stride)
        super().__init__(patch, len(starts), config)
        self.features, self.patches, self.patch, self.size = features, len(starts), patch, config.size
        self.register_buffer("steps", (starts[:, None] + torch.arange(patch)).flatten(), persistent=False)
        self.dropout = Dropout(config.dropout)
        self.last = PartedLinear(features, config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        patches = z.transpose(1, 2).index_select(2, self.steps).reshape(-1, self.patches, self.patch)
        tokens = self.norm(self.encoded(patches)[:, -1])
        outputs: torch.Tensor = self.last(self.dropout(tokens.reshape(-1, self.features, self.size)))
        return outputs


class ITransformer(Attention):
    """A window's values make a feature's token; encoders among features, and a linear map of all tokens.

    Source: Liu et al. 2024, "iTransformer: inverted transformers are effective for time series forecasting".
    """

    def __init__(self, shape: Shape, width: int, config: AttentionConfig) -> None:
        length, features = shape
        super().__init__(length, features, config)
        self.dropout = Dropout(config.dropout)
        self.last = PartedLinear(features, config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        outputs: torch.Tensor = self.last(self.dropout(self.norm(self.encoded(z.transpose(1, 2)))))
        return outputs


class ConvAttention(Attention):
    """Two convolutions over a window of order flow, encoders over their tokens, and a linear map of the last token and of their mean.

    Source: Wallbridge 2020, "Transformers for limit order books" (TransLOB), smaller.
    """

    def __init__(self, shape: Shape, width: int, config: AttentionConfig) -> None:
        length, features = shape
        super().__init__(config.size, length, config)
        convolutions = list[torch.nn.Module]()
        for inside in (features, config.size):
            convolutions += [torch.nn.Conv1d(inside, config.size, TAPS, padding="same"), torch.nn.ReLU()]
        self.convolutions = torch.nn.Sequential(*convolutions)
        self.last = torch.nn.Linear(2 * config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        tokens = self.norm(self.encoded(self.convolutions(z.transpose(1, 2)).transpose(1, 2)))
        outputs: torch.Tensor = self.last(torch.cat([tokens[:, -1], tokens.mean(dim=1)], dim=1))
        return outputs


class Gated(torch.nn.Module):
    """A perceptron whose answer passes a gate, is added to what went in, and normalised."""

    def __init__(self, size: int, dropout: float) -> None:
        super().__init__()
        self.widen, self.narrow, self.gate = (torch.nn.Linear(size, size) for _ in range(3))
        self.dropout, self.norm = Dropout(dropout), torch.nn.LayerNorm(size)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Map (..., size) to as much."""
        hidden = self.dropout(self.narrow(torch.nn.functional.elu(self.widen(values))))
        normed: torch.Tensor = self.norm(values + hidden * torch.sigmoid(self.gate(hidden)))
        return normed


class Tft(torch.nn.Module):
    """Variable selection at every step, LSTM, attention of the newest step, and gated residuals between them.

    Source: Lim et al. 2021, "Temporal fusion transformers for interpretable multi-horizon time series forecasting".
    """

    def __init__(self, shape: Shape, width: int, config: AttentionConfig) -> None:
        super().__init__()
        (_, features), self.size, self.heads = shape, config.size, config.heads
        self.embed, self.level = (torch.nn.Parameter(torch.empty(features, config.size)) for _ in range(2))
        self.choose = torch.nn.Linear(features, features)
        self.cells = torch.nn.LSTM(config.size, config.size, batch_first=True)
        self.after_cells, self.after_attention, self.output = (Gated(config.size, config.dropout) for _ in range(3))
        self.query, self.key, self.value = (torch.nn.Linear(config.size, config.size) for _ in range(3))
        self.last = torch.nn.Linear(config.size, width)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Outputs (B, width) of windows (B, L, F)."""
        share = torch.softmax(self.choose(z), dim=-1)
        steps = (share * z) @ self.embed + share @ self.level  # sum over features of share x (value x embedding + level)
        states, _ = self.cells(steps)
        states = self.after_cells(states + steps)
        length, part = z.shape[1], self.size // self.heads
        query = self.query(states[:, -1:]).reshape(-1, 1, self.heads, part).transpose(1, 2)
        key, value = (layer(states).reshape(-1, length, self.heads, part).transpose(1, 2) for layer in (self.key, self.value))
        weight = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(part), dim=-1)
        mixed = (weight @ value).transpose(1, 2).reshape(-1, self.size)
        outputs: torch.Tensor = self.last(self.output(self.after_attention(mixed + states[:, -1])))
        return outputs
