"""Foundation models come from a folder by their own libraries, are named by a hash, and forecast without being fitted.

The checkpoints are tiny and random, written by the libraries' own `save_pretrained`: `make test-foundation` installs them.
"""

from __future__ import annotations

import dataclasses
import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("chronos", reason="foundation models are installed by `make test-foundation`")
pytest.importorskip("timesfm", reason="foundation models are installed by `make test-foundation`")

import torch

from signals.errors import BadConfig, FixInput
from signals.models.heads import Head, QuantilesHead, ScoreHead
from trainer.learners.base import FitDevice
from trainer.learners.foundation.zero_shot import ZeroShotModel, digest_of
from trainer.learners.table import LEARNERS, learner_named, with_weights
from trainer.recipes.base import RecipeConfig

pytestmark = [pytest.mark.deep, pytest.mark.filterwarnings("ignore")]

NAMES = ("return_1", "other")
QUANTILES = QuantilesHead((0.1, 0.5, 0.85))
KINDS = ("chronos_bolt", "timesfm")


def chronos(folder: Path) -> None:
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config

    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2, "vocab_size": 2}
    config = T5Config(**sizes, feed_forward_proj="relu")
    config.chronos_config = {
        "context_length": 64,
        "prediction_length": 8,
        "input_patch_size": 8,
        "input_patch_stride": 8,
        "quantiles": [round(0.1 * number, 1) for number in range(1, 10)],
        "use_reg_token": True,
    }
    config.chronos_pipeline_class = "ChronosBoltPipeline"
    config.reg_token_id, config.pad_token_id, config.decoder_start_token_id = 1, 0, 0
    ChronosBoltModelForForecasting(config).save_pretrained(folder)


def timesfm(folder: Path) -> None:
    from timesfm import TimesFM_2p5_200M_torch

    TimesFM_2p5_200M_torch().save_pretrained(folder)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder a kind; TimesFM's size is an attribute of its class, replaced while the module's tests run."""
    from timesfm.timesfm_2p5.timesfm_2p5_torch import TimesFM_2p5_200M_torch_module as Module

    base, small = Module.config, dataclasses.replace
    stack = base.stacked_transformers
    tiny = small(
        base,
        tokenizer=small(base.tokenizer, hidden_dims=16, output_dims=16),
        output_projection_point=small(base.output_projection_point, input_dims=16, hidden_dims=16),
        output_projection_quantiles=small(base.output_projection_quantiles, input_dims=16, hidden_dims=16),
        stacked_transformers=small(stack, num_layers=1, transformer=small(stack.transformer, model_dims=16, hidden_dims=16, num_heads=1)),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Module, "config", tiny)
        folders = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
        torch.manual_seed(0)
        chronos(folders["chronos_bolt"])
        timesfm(folders["timesfm"])
        yield folders


def fit(kind: str, folder: Path, head: Head = ScoreHead(), **more: object) -> ZeroShotModel:  # noqa: B008
    config = RecipeConfig.model_validate({kind: {"weights": str(folder), "horizon": 3, **more}})
    model = learner_named(kind, config, 1, FitDevice.CPU, head=head).fit(windows(), np.zeros(20), np.ones(20), NAMES)
    assert isinstance(model, ZeroShotModel)
    return model


def windows(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    found = (0.01 * rng.normal(size=(20, 40, 2))).astype(np.float32)
    found[3, 5, 0] = np.nan
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_it_forecasts_from_a_folder_without_the_network_and_row_by_row(kind: str, checkpoints: Any, monkeypatch: Any) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    model = fit(kind, checkpoints[kind], QUANTILES)
    outputs = model.outputs(windows())
    assert outputs.shape == (20, 3) and np.isfinite(outputs).all() and (np.diff(outputs, axis=1) >= 0.0).all()
    np.testing.assert_allclose(model.outputs(windows()[7:9]), outputs[7:9], atol=1e-6)
    spoilt = windows()
    spoilt[:, :, 1] = 1e6
    np.testing.assert_array_equal(model.outputs(spoilt), outputs), "other features are not read"
    score = fit(kind, checkpoints[kind])
    np.testing.assert_allclose(score.predict(windows()), outputs[:, 1], atol=1e-12)
    assert score.importance().tolist() == [1.0, 0.0]


@pytest.mark.parametrize("kind", KINDS)
def test_its_text_and_pickle_name_the_weights_and_read_back_as_the_same_model(kind: str, checkpoints: Any) -> None:
    model = fit(kind, checkpoints[kind], QUANTILES)
    read = LEARNERS[kind].read(model.to_text(), NAMES)
    np.testing.assert_array_equal(read.predict(windows()), model.predict(windows()))
    again = pickle.loads(pickle.dumps(model))
    assert again == model and len(pickle.dumps(model)) < 2000


def test_other_weights_than_those_that_were_named_are_refused(checkpoints: Any, tmp_path: Path) -> None:
    folder = checkpoints["chronos_bolt"]
    sections = with_weights(RecipeConfig(), ("lightgbm", "chronos_bolt"), folder)
    assert sections["chronos_bolt"]["sha256"] == digest_of(folder)
    chronos(tmp_path)
    with pytest.raises(FixInput, match="the weights have the hash"):
        fit("chronos_bolt", tmp_path, sha256=digest_of(folder))
    with pytest.raises(FixInput, match="0 foundation models"):
        with_weights(RecipeConfig(), ("lightgbm",), folder)


def test_what_cannot_be_is_refused_in_a_sentence(checkpoints: Any, tmp_path: Path) -> None:
    folder = checkpoints["chronos_bolt"]
    with pytest.raises(FixInput, match="no weights"):
        fit("chronos_bolt", tmp_path)
    with pytest.raises(FixInput, match="no feature 'close'"):
        fit("chronos_bolt", folder, series="close")
    with pytest.raises(FixInput, match=r"quantiles from 0\.1 to 0\.9 alone"):
        fit("chronos_bolt", folder, QuantilesHead((0.05, 0.5)))
    with pytest.raises(FixInput, match="no graph for a device"):
        fit("chronos_bolt", folder).to_onnx()
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    (tmp_path / "config.json").write_text("{}")
    for kind in KINDS:
        with pytest.raises(FixInput, match="cannot be read"):
            fit(kind, tmp_path)
    with pytest.raises(BadConfig, match="no equal rows"):
        learner_named("voting", RecipeConfig.model_validate({"voting": {"members": ["chronos_bolt", "lightgbm"]}}), 1, FitDevice.CPU)
