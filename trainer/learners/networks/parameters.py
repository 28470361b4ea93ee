"""Configuration models of the networks, importable without torch."""

from __future__ import annotations

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from trainer.learners.parameters import ScaledConfig, StoppingConfig


class NetworkConfig(ScaledConfig, StoppingConfig):
    """Training parameters of every network; `patience` counts epochs, and a `cosine` rate falls to 0 over them."""

    epochs: int = Field(default=6, ge=1)
    batch_rows: int = Field(default=1024, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0.0)
    weight_decay: float = Field(default=1e-2, ge=0.0)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    cosine: bool = False

    @model_serializer(mode="wrap")
    def _without_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out how to stop where nothing stops, a rate that stays and no focus: recipes from before them keep their hash."""
        document: dict[str, object] = write(self)
        left_out = {*(() if self.patience else StoppingConfig.model_fields), *(() if self.cosine else ("cosine",))}
        left_out |= set() if document.get("focal") else {"focal"}
        return {key: value for key, value in document.items() if key not in left_out}


class MlpConfig(NetworkConfig):
    """Parameters of the perceptron: neurons of its two hidden layers."""

    hidden: tuple[int, int] = (64, 32)
    batch_rows: int = Field(default=8192, ge=2)
    dropout: float = Field(default=0.2, ge=0.0, lt=1.0)


class RecurrentConfig(NetworkConfig):
    """Parameters of LSTM and GRU: size of their state, and layers on one another."""

    hidden: int = Field(default=32, ge=1, le=512)
    layers: int = Field(default=1, ge=1, le=4)


class TcnConfig(NetworkConfig):
    """Parameters of the temporal convolution: channels, taps of each filter, and blocks, whose dilation doubles."""

    channels: int = Field(default=32, ge=1, le=512)
    kernel: int = Field(default=3, ge=2, le=16)
    blocks: int = Field(default=4, ge=1, le=10)


class AttentionConfig(NetworkConfig):
    """Parameters of encoders: width of a token, heads that share it, and layers."""

    size: int = Field(default=32, ge=2, le=512)
    heads: int = Field(default=4, ge=1, le=16)
    layers: int = Field(default=2, ge=1, le=8)

    @model_validator(mode="after")
    def _heads_share_a_token(self) -> AttentionConfig:
        if self.size % self.heads:
            raise ValueError(f"{self.heads} heads cannot share a token of {self.size}")
        return self


class PatchTstConfig(AttentionConfig):
    """Parameters of PatchTST: sessions of a patch and from one to the next."""

    patch: int = Field(default=8, ge=1)
    stride: int = Field(default=4, ge=1)


class WideConfig(NetworkConfig):
    """Parameters of networks whose layers read every number of a window at once: steps of 1e-3 learn the noise of so many weights."""

    learning_rate: float = Field(default=3e-4, gt=0.0)


class DLinearConfig(WideConfig):
    """Parameters of DLinear: sessions of the moving average that is taken for the trend."""

    average: int = Field(default=15, ge=1)


class NBeatsConfig(WideConfig):
    """Parameters of N-BEATS: neurons, blocks of each kind, degree of the trend, and frequencies of the season."""

    hidden: int = Field(default=128, ge=1, le=1024)
    blocks: int = Field(default=1, ge=1, le=8)
    degree: int = Field(default=3, ge=1, le=8)
    frequencies: int = Field(default=4, ge=1, le=32)


class NHitsConfig(WideConfig):
    """Parameters of N-HiTS: neurons, and sessions that each block reads and explains at once, the coarsest first."""

    hidden: int = Field(default=128, ge=1, le=1024)
    rates: tuple[int, ...] = Field(default=(6, 3, 1), min_length=1, max_length=8)


class ResNetConfig(NetworkConfig):
    """Parameters of the ResNet: channels, taps of a block's filters, and blocks."""

    channels: int = Field(default=32, ge=1, le=256)
    kernels: tuple[int, ...] = Field(default=(7, 5, 3), min_length=1, max_length=6)
    blocks: int = Field(default=3, ge=1, le=9)


class MambaConfig(NetworkConfig):
    """Parameters of Mamba: width of a token, numbers of its state, taps of its filter, and layers.

    A batch takes memory for its states at every step, so it is smaller.
    """

    size: int = Field(default=16, ge=1, le=256)
    state: int = Field(default=8, ge=1, le=64)
    kernel: int = Field(default=4, ge=2, le=16)
    layers: int = Field(default=1, ge=1, le=8)
    batch_rows: int = Field(default=256, ge=2)


class InceptionConfig(NetworkConfig):
    """Parameters of InceptionTime: channels of a branch, taps of its filters, and modules."""

    channels: int = Field(default=16, ge=1, le=256)
    kernels: tuple[int, ...] = Field(default=(3, 7, 15), min_length=1, max_length=6)
    modules: int = Field(default=3, ge=1, le=9)


class CnnConfig(NetworkConfig):
    """Parameters of the image's convolution: channels of its blocks, each of which halves the picture."""

    channels: tuple[int, ...] = Field(default=(16, 32, 64), min_length=1, max_length=6)


class BarCnnConfig(NetworkConfig):
    """Parameters of the convolution over pictures of bars.

    Attributes
    ----------
    channels : tuple of int
        Of its blocks, each of which halves the picture.
    embedding : int
        Numbers that stand for a picture.
    mixing : float
        Largest share of another picture that is mixed in while training.
    jitter : int
        Levels by which a picture is moved at most while training.
    focal : float
        Power of (1 - probability of the class) that the loss of a class is multiplied by (Lin et al. 2017), in place of classes that
        weigh alike; 0 for those.
    """

    channels: tuple[int, ...] = Field(default=(32, 64, 128), min_length=1, max_length=6)
    embedding: int = Field(default=64, ge=2, le=1024)
    mixing: float = Field(default=0.3, ge=0.0, le=0.5)
    jitter: int = Field(default=1, ge=0, le=8)
    focal: float = Field(default=0.0, ge=0.0, le=5.0)
    batch_rows: int = Field(default=128, ge=2)
    epochs: int = Field(default=12, ge=1)
    cosine: bool = True
