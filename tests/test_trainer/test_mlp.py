"""The perceptron learns, repeats itself, exports exactly, and never runs on another device than it was told."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="torch is installed by `make test-deep`")

from signals.bundle.graph import check_model  # noqa: E402
from signals.errors import FixInput  # noqa: E402
from trainer.learners.base import FitDevice  # noqa: E402
from trainer.learners.mlp import Mlp, MlpModel, chosen_device  # noqa: E402
from trainer.learners.parameters import MlpConfig  # noqa: E402

pytestmark = [
    pytest.mark.deep,
    # torch's own exporter uses what torch has deprecated
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"),
]

FEATURES = 8


def rows(seed: int, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose target is half of column 0 plus noise; column 3 has dollar-volume magnitudes; 2 % are NaN."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, FEATURES)).astype(np.float32)
    target = 0.5 * features[:, 0] + rng.normal(size=count)
    features[:, 3] = np.exp(features[:, 3] * 4 + 18)
    features[rng.random(features.shape) < 0.02] = np.nan
    return features, target


def fit(seed: int = 1, device: FitDevice = FitDevice.CPU, count: int = 20_000) -> MlpModel:
    features, target = rows(0, count)
    config = MlpConfig(epochs=8, batch_rows=512)
    return Mlp(config, seed, device).fit(features, target, np.ones(len(target)), tuple("abcdefgh"))


@pytest.fixture(scope="module")
def model() -> MlpModel:
    return fit()


@pytest.fixture(scope="module")
def export(model: MlpModel) -> bytes:
    return model.to_onnx()


def test_it_finds_the_signal_on_rows_it_has_not_seen(model: MlpModel) -> None:
    """The target has correlation 0.45 with column 0; a fit worth the name reaches 0.4 on fresh rows."""
    features, target = rows(99)
    assert np.corrcoef(model.predict(features), target)[0, 1] > 0.40


def test_the_signal_s_column_carries_the_importance(model: MlpModel) -> None:
    importance = model.importance()
    assert int(np.argmax(importance)) == 0
    assert importance.sum() == pytest.approx(1.0)


def test_the_same_seed_gives_the_same_export(export: bytes) -> None:
    assert fit().to_onnx() == export


def test_another_seed_gives_another_model() -> None:
    assert fit(seed=2, count=2_000).to_text() != fit(seed=1, count=2_000).to_text()


def test_the_export_agrees_with_the_model_on_nan_and_huge_values(model: MlpModel, export: bytes) -> None:
    features, _ = rows(7)
    session = onnxruntime.InferenceSession(export, providers=["CPUExecutionProvider"])
    exported = session.run(["score"], {"features": features})[0]
    assert exported.shape == (len(features), 1)
    assert np.abs(exported[:, 0] - model.predict(features)).max() <= 2e-5


def test_a_device_accepts_the_export(export: bytes) -> None:
    """Every operator that the dynamo exporter writes is on the device's list."""
    assert check_model(export, "model.onnx").nodes > 5


def test_the_export_names_no_path_of_the_machine_that_trained(export: bytes) -> None:
    assert b"site-packages" not in export


def test_standardisation_sees_training_rows_alone(model: MlpModel) -> None:
    """The stored mean is that of the rows it was fitted on, worked out here by numpy."""
    features, _ = rows(0)
    assert model.state["mean"] == pytest.approx(np.nanmean(features.astype(np.float64), axis=0), rel=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_asking_for_cuda_without_one_is_an_error_not_a_fallback() -> None:
    with pytest.raises(FixInput, match="cuda"):
        chosen_device(FitDevice.CUDA)


@pytest.mark.gpu
def test_cuda_and_cpu_fit_models_that_agree() -> None:
    features, target = rows(99)
    on_gpu, on_cpu = fit(device=FitDevice.CUDA), fit()
    assert chosen_device(FitDevice.AUTO) is FitDevice.CUDA
    assert np.corrcoef(on_gpu.predict(features), on_cpu.predict(features))[0, 1] > 0.97
    assert np.corrcoef(on_gpu.predict(features), target)[0, 1] > 0.40
