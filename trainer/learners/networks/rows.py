"""The table of networks, importable without torch; `network` makes the row of a family, a plug-in's too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from signals.errors import FixInput
from trainer.learners.base import Capabilities, FitDevice, Learner, Model
from trainer.learners.networks import parameters
from trainer.learners.networks.parameters import NetworkConfig
from trainer.learners.row import LearnerRow, Making, Space

if TYPE_CHECKING:
    from trainer.learners.networks.loop import Body

TABLE, WINDOWS, IMAGE = frozenset({"table"}), frozenset({"windows", "several_windows", "session_bars"}), frozenset({"image"})
HEADS = frozenset({"score", "classes", "quantiles", "mean_scale", "student_t"})
DEVICES = (FitDevice.CPU, FitDevice.CUDA)
RATES: Space = {"learning_rate": (3e-4, 1e-3, 3e-3), "dropout": (0.0, 0.2, 0.4), "epochs": (3, 6, 12)}


def network(
    name: str, config: type[NetworkConfig], body: str, views: frozenset[str] = WINDOWS, space: Space = RATES, heads: frozenset[str] = HEADS
) -> LearnerRow:
    """Row of a family of networks.

    Parameters
    ----------
    config : type of NetworkConfig
    body : str
        Where the family's module is, "package.module:Class"; it is imported when a network is made.
    views : frozenset of str
        Kinds of views that it reads.
    space : mapping of parameter to values
    heads : frozenset of str
        Kinds of heads that it gives.
    """

    def make(chosen: Any, making: Making) -> Learner:
        if find_spec("torch") is None:
            raise FixInput(f"the learner {name} needs torch", where=name, fix="Run `make test-deep`, which installs it")
        from trainer.learners.networks.loop import Training, chosen_device
        from trainer.learners.networks.model import NetworkLearner

        device = chosen_device(making.device)
        return NetworkLearner(Training(name, _class_at(body), chosen, making.head, making.seed, device), making.checkpoints)

    def read(text: str, names: tuple[str, ...]) -> Model:
        from trainer.learners.networks.model import read_network

        return read_network(text, names, _class_at(body), config)

    return LearnerRow(name, config, make, read, Capabilities(views, heads, takes_missing=False, devices=frozenset(DEVICES)), space)


def _class_at(place: str) -> Body:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def _built_in(
    name: str, body: str, config: type[NetworkConfig], views: frozenset[str] = WINDOWS, heads: frozenset[str] = HEADS
) -> LearnerRow:
    return network(name, config, f"trainer.learners.networks.families.{body}", views, heads=heads)


NETWORKS: Mapping[str, LearnerRow] = {
    row.name: row
    for row in (
        _built_in("mlp", "perceptrons:Mlp", parameters.MlpConfig, TABLE),
        _built_in("lstm", "recurrent:Lstm", parameters.RecurrentConfig),
        _built_in("gru", "recurrent:Gru", parameters.RecurrentConfig),
        _built_in("tcn", "convolutions:Tcn", parameters.TcnConfig),
        _built_in("transformer", "attention:Transformer", parameters.AttentionConfig),
        _built_in("patchtst", "attention:PatchTst", parameters.PatchTstConfig),
        _built_in("dlinear", "perceptrons:DLinear", parameters.DLinearConfig),
        _built_in("nbeats", "perceptrons:NBeats", parameters.NBeatsConfig),
        _built_in("itransformer", "attention:ITransformer", parameters.AttentionConfig),
        _built_in("tft", "attention:Tft", parameters.AttentionConfig),
        _built_in("resnet", "convolutions:ResNet", parameters.ResNetConfig),
        _built_in("nhits", "perceptrons:NHits", parameters.NHitsConfig),
        _built_in("deepar", "recurrent:DeepAr", parameters.RecurrentConfig),
        _built_in("quantile_rnn", "recurrent:QuantileRnn", parameters.RecurrentConfig),
        _built_in("mamba", "mamba:Mamba", parameters.MambaConfig),
        _built_in("inception", "convolutions:InceptionTime", parameters.InceptionConfig),
        _built_in("conv_attention", "attention:ConvAttention", parameters.AttentionConfig),
        _built_in("cnn", "pictures:Cnn", parameters.CnnConfig, IMAGE),
        _built_in("bar_cnn", "pictures:BarCnn", parameters.BarCnnConfig, IMAGE | {"bar_image"}, HEADS | {"pattern"}),
    )
}
