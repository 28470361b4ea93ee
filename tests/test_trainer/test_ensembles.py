"""Ensembles weigh members by rows they have not seen, refuse members that are not alike, and leave as one exact graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from signals.bundle.graph import check_model
from signals.bundle.profiles import ProfileName
from signals.errors import BadConfig, InvariantBroken, TooLittleHistory
from signals.models.heads import ClassesHead, ScoreHead
from signals.models.inference import predict
from signals.views import WindowsView
from trainer.learners.base import FitDevice, Matrix
from trainer.learners.ensembles import learners as ensembles
from trainer.learners.ensembles.chosen import Chosen
from trainer.learners.ensembles.learners import Ensemble, EnsembleModel
from trainer.learners.export import export
from trainer.learners.linear import Ridge
from trainer.learners.objectives import folds_apart
from trainer.learners.parameters import BlendingConfig, RidgeConfig, StackingConfig, VotingConfig
from trainer.learners.table import LEARNERS, capabilities_of, learner_named
from trainer.recipes.base import RecipeConfig
from trainer.tasks.recipes import agreed, recipe_named

NAMES = ("a", "b", "c")
COUNT, LENGTH = 2000, 5
SESSIONS = np.repeat(np.arange(COUNT // 10), 10)
CLASSES = ClassesHead(("down", "flat", "up"))
RIDGE = Ridge(RidgeConfig())
PAIR = ("ridge", "ridge")


def rows(seed: int = 0) -> tuple[Matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(COUNT, 3)).astype(np.float32)
    return features, 0.5 * features[:, 0] + rng.normal(size=COUNT)


@dataclass(frozen=True)
class ByHeart:
    """Remembers the target of every row that it was shown."""

    device: FitDevice = FitDevice.CPU

    def fit(self, features: Matrix, target: Any, weight: Any, names: tuple[str, ...], sessions: Any = None) -> ByHeartModel:
        return ByHeartModel(names, dict(zip(features[:, 1].tolist(), target.tolist(), strict=True)))


@dataclass(frozen=True)
class ByHeartModel:
    names: tuple[str, ...]
    known: dict[float, float] = field(repr=False)

    def predict(self, features: Matrix) -> np.ndarray:
        return np.array([self.known.get(key, 0.0) for key in features[:, 1].tolist()])

    def to_onnx(self) -> bytes:
        raise NotImplementedError

    def to_text(self) -> str:
        return ""

    def importance(self) -> np.ndarray:
        return np.zeros(3)

    def contributions(self, features: Matrix) -> np.ndarray:
        raise NotImplementedError


def fit(ensemble: Ensemble, features: Matrix, target: np.ndarray) -> EnsembleModel:
    return ensemble.fit(features, target, np.ones(len(target)), NAMES, SESSIONS[: len(target)])


@pytest.mark.parametrize("config", [StackingConfig(members=PAIR), BlendingConfig(members=PAIR)], ids=["stacking", "blending"])
def test_a_member_that_learns_its_rows_by_heart_is_worth_nothing_to_rows_it_has_not_seen(config: Any, monkeypatch: Any) -> None:
    """Weighed by its own rows, the planted fault, it takes all the weight, and the ensemble forgets what the honest one knows."""
    features, target = rows()
    unseen, known = rows(9)
    ensemble = Ensemble(config, (RIDGE, ByHeart()), ScoreHead())
    honest = fit(ensemble, features, target)
    assert honest.shares()[1] < 0.02 and np.corrcoef(honest.predict(unseen), known)[0, 1] > 0.4
    every = np.arange(COUNT)
    monkeypatch.setattr(ensembles, "folds_apart", lambda *_: [(every, every)])
    monkeypatch.setattr(ensembles, "newest_apart", lambda *_: (every, every))
    leaking = fit(ensemble, features, target)
    assert leaking.shares()[1] > 0.9 and leaking.predict(unseen).std() < 0.05 * honest.predict(unseen).std()


@pytest.mark.parametrize(("gap", "least", "most"), [(1, 0.2, 1.0), (LENGTH, 0.0, 0.05)], ids=["too short a gap", "a label's gap"])
def test_a_member_that_knows_the_label_next_door_is_found_out_by_the_gap(gap: int, least: float, most: float) -> None:
    """Labels of five sessions overlap. One fold a session: what a neighbour's label says of this one ends with the gap."""
    rng = np.random.default_rng(2)
    noise = rng.normal(size=200 + LENGTH)
    target = np.array([noise[t : t + LENGTH].sum() for t in range(200)])
    features = np.column_stack([0.5 * target + 2.0 * rng.normal(size=200), np.zeros(200), np.arange(200.0)]).astype(np.float32)

    parts = folds_apart(np.arange(200), 200, 100, gap)
    assert all(np.abs(fitted[:, None] - scored).min() > gap for fitted, scored in parts)
    outputs = np.full(200, np.nan)
    for fitted, scored in parts:
        nearest = fitted[np.abs(fitted[:, None] - scored).argmin(axis=0)]
        outputs[scored] = np.where(np.abs(nearest - scored) < LENGTH, target[nearest], 0.0)
    config = StackingConfig(members=PAIR)
    honest = 0.5 * features[:, 0].astype(np.float64)
    weights, _ = ensembles._stacked(config, ScoreHead(), np.stack([honest, outputs], axis=1)[:, :, None], target, np.ones(200))
    share = weights[1, 0] / weights.sum()
    assert least <= share <= most


def test_folds_leave_the_gap_out_on_both_sides_and_too_few_sessions_are_refused() -> None:
    for fitted, scored in folds_apart(SESSIONS, COUNT, 5, 10):
        distance = np.abs(SESSIONS[fitted][:, None] - np.unique(SESSIONS[scored])).min()
        assert distance > 10 and not set(fitted) & set(scored)
    assert sorted(np.concatenate([scored for _, scored in folds_apart(SESSIONS, COUNT, 7, 3)])) == list(range(COUNT))
    with pytest.raises(TooLittleHistory, match="20 sessions leave none"):
        folds_apart(np.arange(20), 20, 2, 10)
    with pytest.raises(InvariantBroken, match="every row's session"):
        Ensemble(StackingConfig(members=PAIR), (RIDGE, RIDGE), ScoreHead()).fit(*rows(), np.ones(COUNT), NAMES)


def test_voting_is_the_mean_of_its_members() -> None:
    features, target = rows()
    parts = (RIDGE, Ridge(RidgeConfig(alpha=10.0)))
    model = fit(Ensemble(VotingConfig(members=PAIR), parts, ScoreHead()), features, target)
    alone = [part.fit(features, target, np.ones(COUNT), NAMES).predict(features) for part in parts]
    np.testing.assert_allclose(model.predict(features), np.mean(alone, axis=0), atol=1e-7)


def test_blending_leans_on_the_member_that_knows_and_its_weights_are_shares() -> None:
    features, target = rows()
    blind = Ridge(RidgeConfig(alpha=1e9))
    model = fit(Ensemble(BlendingConfig(members=PAIR), (RIDGE, blind), ScoreHead()), features, target)
    assert model.weights.sum() == pytest.approx(1.0) and model.weights.min() >= 0.0 and model.weights[0, 0] > 0.9


@pytest.mark.parametrize(
    ("name", "members", "lacking"),
    [
        ("voting", ["lightgbm", "lstm"], "rows"),
        ("voting", ["lightgbm", "logistic"], "units of their scores"),
        ("blending", ["ridge", "svm"], "units of their scores"),
        ("stacking", ["lightgbm", "voting"], "no learner that an ensemble can hold"),
        ("stacking", ["lightgbm", "nothing"], "no learner that an ensemble can hold"),
    ],
)
def test_members_that_are_not_alike_are_refused(name: str, members: list[str], lacking: str) -> None:
    config = RecipeConfig.model_validate({"learner": name, name: {"members": members}})
    with pytest.raises(BadConfig, match=lacking):
        learner_named(name, config, 1, FitDevice.CPU)
    with pytest.raises(BadConfig, match=lacking):
        agreed(recipe_named("equities_xs"), config)


def test_an_ensemble_can_what_all_its_members_can() -> None:
    config = RecipeConfig.model_validate({"learner": "voting", "voting": {"members": ["ridge", "xgboost"]}})
    assert capabilities_of("voting", config).heads == {"score"} and capabilities_of("voting", config).views == {"table"}
    with pytest.raises(BadConfig, match="takes no windows"):
        agreed(recipe_named("equities_xs"), config.model_copy(update={"view": WindowsView(20)}))
    mixed = RecipeConfig.model_validate({"learner": "stacking", "stacking": {"members": ["lightgbm", "logistic"]}})
    assert "score" in capabilities_of("stacking", mixed).heads, "stacking learns the units"


@pytest.mark.deep
@pytest.mark.skipif(find_spec("torch") is None, reason="torch is installed by `make test-deep`")
def test_networks_on_windows_are_mixed_with_classes_and_leave_as_one_graph(name: str = "stacking") -> None:
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(600, 6, 3)).astype(np.float32)
    target = np.digitize(windows[:, -2, 0] + 0.5 * rng.normal(size=600), (-0.5, 0.5)).astype(np.float64)
    members = {"dlinear": {"epochs": 20, "batch_rows": 64, "learning_rate": 1e-2}, "mamba": {"epochs": 2}}
    config = RecipeConfig.model_validate({"learner": name, name: {"members": list(members)}, **members})
    sessions = np.repeat(np.arange(120), 5)
    model = learner_named(name, config, 1, FitDevice.CPU, head=CLASSES).fit(windows, target, np.ones(600), NAMES, sessions)
    assert np.corrcoef(model.predict(windows), target)[0, 1] > 0.4
    found = export(model, windows)
    largest = float(np.abs(model.outputs(windows)).max())  # log odds of several units: a float32 has that many steps fewer
    assert found.parity.max_difference <= 2e-6 * max(1.0, largest)
    check_model(found.onnx, "model.onnx", ProfileName.SEQUENCE_1)
    np.testing.assert_array_equal(LEARNERS[name].read(model.to_text(), NAMES).predict(windows), model.predict(windows))


def test_a_choice_of_features_sees_the_rows_of_its_fit_alone_and_is_the_graph_s_first_operator() -> None:
    features, target = rows()
    seen = list[tuple[int, ...]]()

    def strongest(inputs: Any, learned: Any, weight: Any, names: tuple[str, ...], sessions: Any) -> tuple[str, ...]:
        seen.append(inputs.shape)
        order = np.argsort([-abs(np.corrcoef(inputs[:][:, column], learned)[0, 1]) for column in range(len(names))])
        return tuple(names[column] for column in order[:2])

    model = Chosen(RIDGE, strongest).fit(features[:1500], target[:1500], np.ones(1500), NAMES)
    assert seen == [(1500, 3)] and model.columns[0] == 0 and model.importance()[list({0, 1, 2} - set(model.columns))] == 0.0
    found = export(model, features)
    check_model(found.onnx, "model.onnx")
    left = next(iter({0, 1, 2} - set(model.columns)))
    spoilt = features.copy()
    spoilt[:, left] = 1e6
    np.testing.assert_array_equal(predict([found.onnx], spoilt), predict([found.onnx], features))
    np.testing.assert_allclose(model.contributions(features).sum(axis=1), model.predict(features), atol=1e-9)
    with pytest.raises(InvariantBroken, match="0 features were chosen"):
        Chosen(RIDGE, lambda *_: ()).fit(features, target, np.ones(COUNT), NAMES)
