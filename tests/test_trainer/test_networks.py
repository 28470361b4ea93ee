"""Networks stop by their own rows, go on where they were interrupted, fit every head, and export what they trained."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="torch is installed by `make test-deep`")

from signals.bundle.child_inference import infer_in_child  # noqa: E402
from signals.errors import FixInput, InvariantBroken, LearnerFailed, TooLittleHistory  # noqa: E402
from signals.market.bars import Floats  # noqa: E402
from signals.models.heads import ClassesHead, Head, MeanScaleHead, QuantilesHead, ScoreHead, StudentTHead  # noqa: E402
from signals.models.inference import GraphMember  # noqa: E402
from trainer.learners.averaged import AveragedModel  # noqa: E402
from trainer.learners.base import FitDevice, Learner, Matrix  # noqa: E402
from trainer.learners.export import export  # noqa: E402
from trainer.learners.networks.loop import Keeping, chosen_device  # noqa: E402
from trainer.learners.networks.model import NetworkLearner, NetworkModel  # noqa: E402
from trainer.learners.networks.rows import NETWORKS  # noqa: E402
from trainer.learners.table import LEARNERS, learner_named  # noqa: E402
from trainer.recipes.base import RecipeConfig, learner_of  # noqa: E402

pytestmark = pytest.mark.deep

NAMES = tuple("abcdefgh")
COUNT = 4000
SESSIONS = np.repeat(np.arange(COUNT // 20), 20)
CLASSES = ClassesHead(("down", "flat", "up"))
QUANTILES = QuantilesHead((0.1, 0.5, 0.9))


def rows(seed: int, count: int = COUNT) -> tuple[Matrix, Floats]:
    """Rows whose target is half of column 0 plus noise; column 3 has dollar-volume magnitudes; 2 % are NaN."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, len(NAMES))).astype(np.float32)
    target = 0.5 * features[:, 0] + rng.normal(size=count)
    features[:, 3] = np.exp(features[:, 3] * 4 + 18)
    features[rng.random(features.shape) < 0.02] = np.nan
    return features, target


def mlp(head: Head = ScoreHead(), checkpoints: Path | None = None, seed: int = 1, **parameters: object) -> Learner:  # noqa: B008
    config = RecipeConfig.model_validate({"mlp": {"epochs": 8, "batch_rows": 256, "learning_rate": 3e-3, **parameters}})
    return learner_named("mlp", config, seed, FitDevice.CPU, head=head, checkpoints=checkpoints)


def fit(learner: Learner, target: Floats | None = None, count: int = COUNT, features: Matrix | None = None) -> NetworkModel:
    drawn, known = rows(0, count)
    target, features = known if target is None else target, drawn if features is None else features
    model = learner.fit(features, target, np.ones(count), NAMES, SESSIONS[:count])
    assert isinstance(model, NetworkModel)
    return model


def epochs(caplog: pytest.LogCaptureFixture) -> int:
    return sum("epoch" in record.getMessage() for record in caplog.records)


def test_standardisation_sees_training_rows_alone() -> None:
    """The stored mean is that of the rows it was fitted on, worked out here by numpy."""
    features, _ = rows(0)
    mean = fit(mlp(epochs=1)).state["standardise.mean"]
    assert mean == pytest.approx(np.nanmean(features.astype(np.float64), axis=0), rel=1e-5)


def test_a_window_is_standardised_feature_by_feature_over_its_sessions_and_a_picture_row_by_row() -> None:
    rng = np.random.default_rng(0)
    windows = (rng.normal(size=(400, 6, 2)) * (1.0, 9.0) + (0.0, 50.0)).astype(np.float32)
    pictures = np.ascontiguousarray(windows.swapaxes(1, 2)[:, None])
    for name, samples in (("dlinear", windows), ("cnn", pictures)):
        learner = learner_named(name, RecipeConfig.model_validate({name: {"epochs": 1}}), 1, FitDevice.CPU)
        model = learner.fit(samples, windows[:, -1, 0].astype(np.float64), np.ones(400), ("a", "b"))
        assert isinstance(model, NetworkModel)
        assert model.state["standardise.scale"].ravel() == pytest.approx(windows.reshape(-1, 2).std(axis=0), rel=1e-4)


def test_quartiles_scale_by_median_and_distance_of_training_rows_alone_and_change_no_hash_of_an_earlier_recipe() -> None:
    features, _ = rows(0)
    state = fit(mlp(epochs=1, scaling="quartiles")).state
    low, middle, high = np.nanpercentile(features, (25, 50, 75), axis=0)
    assert state["standardise.mean"] == pytest.approx(middle, rel=1e-5)
    assert state["standardise.scale"] == pytest.approx(high - low, rel=1e-4)
    assert "scaling" not in RecipeConfig().mlp.model_dump()


def test_samples_are_gathered_batch_by_batch() -> None:
    """A fit never asks for more rows at once than a batch, its sample for standardisation apart."""

    class Gathered:
        def __init__(self, features: Matrix) -> None:
            self.features, self.asked = features, list[int]()

        @property
        def shape(self) -> tuple[int, ...]:
            return self.features.shape

        def __len__(self) -> int:
            return len(self.features)

        def __getitem__(self, chosen: object) -> Matrix:
            found: Matrix = self.features[chosen]  # type: ignore[index]
            self.asked.append(len(found))
            return found

    features, target = rows(0)
    gathered = Gathered(features)
    model = mlp(epochs=2).fit(gathered, target, np.ones(COUNT), NAMES, SESSIONS)  # type: ignore[arg-type]
    assert model.to_text() == fit(mlp(epochs=2)).to_text()
    counted, summed, squared, *batches, sensitive = gathered.asked
    assert counted == summed == squared == COUNT and sensitive <= 2048
    assert max(batches) <= 256 and sum(batches) == 2 * COUNT


def test_it_stops_when_the_newest_sessions_get_no_better_and_then_learns_from_all_rows(caplog: pytest.LogCaptureFixture) -> None:
    """Noise is learned by heart: three epochs follow the best, and the model is that of as many as the best, on all rows."""
    noise = np.random.default_rng(5).normal(size=1000)
    with caplog.at_level(logging.INFO):
        stopped = fit(mlp(epochs=40, patience=3, hidden=(256, 128), dropout=0.0), noise, 1000)
    held = [float(record.getMessage().rsplit(" ", 1)[1]) for record in caplog.records if "held" in record.getMessage()]
    best = next(n for n in range(1, 41) if min(held[: n + 3]) == held[n - 1])
    assert len(held) == best + 3 + best and best < 30
    again = fit(mlp(epochs=best, hidden=(256, 128), dropout=0.0), noise, 1000).state
    assert list(stopped.state) == list(again)
    for name, values in again.items():
        np.testing.assert_allclose(stopped.state[name], values, rtol=1e-5, atol=1e-6)


def test_stopping_by_sessions_needs_enough_of_them() -> None:
    with pytest.raises(TooLittleHistory, match="sessions"):
        fit(mlp(patience=2, gap_sessions=190))


@pytest.mark.parametrize("patience", [0, 2])
def test_an_interrupted_fit_goes_on_where_it_was_and_ends_in_the_same_bytes(
    patience: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    known = fit(mlp(patience=patience)).to_text()
    write, written = Keeping.write, list[str]()

    def interrupted(keeping: Keeping, stage: str, state: dict[str, object]) -> None:
        write(keeping, stage, state)
        written.append(stage)
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Keeping, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(mlp(patience=patience, checkpoints=tmp_path))
    monkeypatch.setattr(Keeping, "write", write)
    with caplog.at_level(logging.INFO):
        assert fit(mlp(patience=patience, checkpoints=tmp_path)).to_text() == known
    assert "epoch 4 of 8" in caplog.records[0].getMessage()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert fit(mlp(patience=patience, checkpoints=tmp_path)).to_text() == known
        assert epochs(caplog) == 0, "a finished fit is not fitted again"
        assert fit(mlp(patience=patience, checkpoints=tmp_path, seed=2)).to_text() != known
        assert epochs(caplog) > 0, "another seed is another fit"


def test_a_fit_does_not_go_on_from_the_epochs_of_other_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One feature of one row in the middle was revised since: targets, weights and the rest of the samples are the same."""
    fit(mlp(checkpoints=tmp_path, epochs=2))
    revised = rows(0)[0].copy()
    revised[len(revised) // 2 + 1, 1] += 5.0
    with caplog.at_level(logging.INFO):
        again = fit(mlp(checkpoints=tmp_path, epochs=2), features=revised)
    assert epochs(caplog) == 2 and again.to_text() == fit(mlp(epochs=2), features=revised).to_text()


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    fit(mlp(checkpoints=tmp_path, epochs=1))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FixInput, match="checkpoint cannot be read") as caught:
        fit(mlp(checkpoints=tmp_path, epochs=1))
    assert str(path) in str(caught.value)


def test_a_loss_that_is_no_number_ends_the_fit() -> None:
    with pytest.raises(LearnerFailed, match="loss of the network mlp is"):
        fit(mlp(), np.full(COUNT, 1e30))


def test_samples_of_another_shape_than_the_names_or_the_fit_are_refused() -> None:
    features, target = rows(0)
    with pytest.raises(InvariantBroken, match="8 features"):
        mlp().fit(features[:, :5], target, np.ones(COUNT), NAMES)
    with pytest.raises(InvariantBroken, match="samples of shape"):
        fit(mlp(epochs=1)).predict(features[:, :5])


@pytest.mark.parametrize("head", [ScoreHead(), CLASSES, QUANTILES, MeanScaleHead(), StudentTHead()], ids=lambda head: head.kind)
def test_every_head_is_fitted_ranks_and_leaves_in_the_graph(head: Head) -> None:
    _, target = rows(0)
    learned = np.digitize(target, (-0.5, 0.5)).astype(np.float64) if head is CLASSES else target
    model = fit(mlp(head), learned)
    features, unseen = rows(99)
    outputs, scores = model.outputs(features), model.predict(features)
    assert outputs.shape == (COUNT, head.width) and np.corrcoef(scores, unseen)[0, 1] > 0.38
    if isinstance(head, QuantilesHead):
        assert (np.diff(outputs, axis=1) >= 0).all()
        assert [float((unseen < column).mean()) for column in outputs.T] == pytest.approx([0.1, 0.5, 0.9], abs=0.07)
    if isinstance(head, MeanScaleHead):
        assert float(np.median(outputs[:, 1])) == pytest.approx(1.0, abs=0.15), "the noise has a deviation of 1"
    if isinstance(head, StudentTHead):
        assert outputs[:, 1].min() > 0.0 and outputs[:, 2].min() > 2.0
        deviation = outputs[:, 1] * np.sqrt(outputs[:, 2] / (outputs[:, 2] - 2.0))
        assert float(np.median(deviation)) == pytest.approx(1.0, abs=0.15), "the noise has a deviation of 1"
    if isinstance(head, ClassesHead):
        share = (np.digitize(unseen, (-0.5, 0.5))[:, None] == np.arange(3)).mean(axis=0)
        assert head.probabilities(outputs).mean(axis=0) == pytest.approx(share, abs=0.05)
    session = onnxruntime.InferenceSession(model.to_onnx(), providers=["CPUExecutionProvider"])
    exported = session.run(["score"], {"features": features})[0]
    assert (np.abs(exported - outputs) / np.maximum(1.0, np.abs(outputs))).max() <= 1e-6
    read = LEARNERS["mlp"].read(model.to_text(), NAMES)
    np.testing.assert_array_equal(read.predict(features), scores)


@pytest.mark.parametrize("name", [name for name, row in NETWORKS.items() if "windows" in row.capabilities.views])
def test_every_body_on_windows_takes_every_head(name: str) -> None:
    """Twelve bodies times five heads are seventeen pieces: one epoch each, outputs as wide and as ordered as the head says."""
    windows = np.random.default_rng(1).normal(size=(64, 6, 3)).astype(np.float32)
    config = RecipeConfig.model_validate({name: {"epochs": 1}})
    for head in (ScoreHead(), CLASSES, QUANTILES, MeanScaleHead(), StudentTHead()):
        target = np.arange(64.0) % 3
        model = learner_named(name, config, 1, FitDevice.CPU, head=head).fit(windows, target, np.ones(64), ("a", "b", "c"))
        assert isinstance(model, NetworkModel)
        outputs = model.outputs(windows)
        assert outputs.shape == (64, head.width) and np.isfinite(outputs).all()
        assert not isinstance(head, QuantilesHead) or (np.diff(outputs, axis=1) >= 0.0).all()
        assert not isinstance(head, StudentTHead) or (outputs[:, 2] > 2.0).all()


@pytest.mark.slow  # by `make families`
def test_attention_over_patches_of_many_features_fits_into_the_memory_of_a_limited_child() -> None:
    """Each of 38 features has 14 patches of 32 numbers: in blocks as large as those of other networks the child ran out of memory."""
    windows = np.random.default_rng(0).normal(size=(400, 60, 38)).astype(np.float32)
    learner = learner_named("patchtst", RecipeConfig.model_validate({"patchtst": {"epochs": 1, "batch_rows": 64}}), 1, FitDevice.CPU)
    model = learner.fit(windows[:128], windows[:128, -1, 0].astype(np.float64), np.ones(128), tuple(f"f{n}" for n in range(38)))
    member = GraphMember(model.to_onnx(), profile="sequence-1")
    there = infer_in_child([member], {"features": windows})["score"]
    assert np.abs(there[:, 0] - model.predict(windows)).max() <= 1e-6


def test_the_mean_of_several_seeds_has_the_head_of_each() -> None:
    """The graph gives the mean of raw scores; probabilities are made of the mean, not averaged."""
    features, target = rows(0)
    config = RecipeConfig.model_validate({"learner": "mlp", "seeds": 2, "mlp": {"epochs": 2, "batch_rows": 256}})
    classes = np.digitize(target, (-0.5, 0.5)).astype(np.float64)
    model = learner_of(config, 1, FitDevice.CPU, head=CLASSES).fit(features, classes, np.ones(COUNT), NAMES, SESSIONS)
    assert isinstance(model, AveragedModel) and export(model, features).parity.max_difference <= 1e-6
    raw = np.mean([member.outputs(features) for member in model.members if isinstance(member, NetworkModel)], axis=0)
    np.testing.assert_array_equal(model.predict(features), CLASSES.reduce(raw))


def test_the_export_names_no_path_of_the_machine_that_trained() -> None:
    assert b"site-packages" not in fit(mlp(epochs=1)).to_onnx()


@pytest.mark.parametrize("name", ["tcn", "lstm", "gru", "mamba", "deepar"])
def test_a_recurrent_or_causal_network_forgets_nothing_of_the_order_of_sessions(name: str) -> None:
    """Fitted on the value of three sessions ago alone, which a mean over the window cannot tell from the others."""
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(3000, 6, 1)).astype(np.float32)
    target = windows[:, -4, 0].astype(np.float64)
    config = RecipeConfig.model_validate({name: {"epochs": 12, "batch_rows": 128, "learning_rate": 1e-2, "dropout": 0.0}})
    model = learner_named(name, config, 1, FitDevice.CPU).fit(windows[:2000], target[:2000], np.ones(2000), ("a",))
    assert np.corrcoef(model.predict(windows[2000:]), target[2000:])[0, 1] > 0.9


def test_mamba_s_doubling_is_its_recurrence_step_by_step() -> None:
    """The state of every step by a plain loop, whose parts are the layer's own."""
    from torch.nn.functional import pad, silu, softplus

    from trainer.learners.networks.families.mamba import Selective
    from trainer.learners.networks.layers import initialise
    from trainer.learners.networks.parameters import MambaConfig

    layer = Selective(MambaConfig(size=4, state=3, dropout=0.0)).double()
    initialise(layer, torch.Generator().manual_seed(1))
    tokens = torch.randn(5, 13, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        taken, gate = layer.widen(layer.norm(tokens)).chunk(2, dim=-1)
        taken = silu(layer.filter(pad(taken.transpose(1, 2), (3, 0))).transpose(1, 2))
        pace, (intake, outlet) = softplus(layer.pace(taken)), layer.mix(taken).chunk(2, dim=-1)
        state, read = torch.zeros(5, 8, 3, dtype=torch.float64), []
        for t in range(13):
            decay = torch.exp(-pace[:, t, :, None] * layer.rates * torch.exp(layer.change))
            state = decay * state + pace[:, t, :, None] * intake[:, t, None] * taken[:, t, :, None]
            read.append((state * outlet[:, t, None]).sum(-1) + layer.skip * taken[:, t])
        known = tokens + layer.narrow(torch.stack(read, dim=1) * silu(gate))
        torch.testing.assert_close(layer(tokens), known, rtol=0.0, atol=1e-12)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_asking_for_cuda_without_one_is_an_error_not_a_fallback() -> None:
    with pytest.raises(FixInput, match="cuda"):
        chosen_device(FitDevice.CUDA)


@pytest.mark.gpu
def test_cuda_and_cpu_fit_models_that_agree() -> None:
    features, target = rows(99)
    config = RecipeConfig.model_validate({"mlp": {"epochs": 8, "batch_rows": 256, "learning_rate": 3e-3}})
    on_gpu = learner_named("mlp", config, 1, FitDevice.AUTO)
    assert isinstance(on_gpu, NetworkLearner) and on_gpu.device is FitDevice.CUDA
    assert np.corrcoef(fit(on_gpu).predict(features), fit(mlp()).predict(features))[0, 1] > 0.97
    assert np.corrcoef(fit(on_gpu).predict(features), target)[0, 1] > 0.38
