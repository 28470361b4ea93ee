r"""Ensembles: voting, stacking and blending of learners, each of which is fitted on the same rows for the same head.

    outputs = [outputs of the members] W + b

Voting has W = 1 / M for each member: raw scores are averaged, which multiplies probabilities. Blending learns one weight a
member, none negative and all together 1; stacking learns W and b freely (a score's weights are not negative). What weights are
learned from are outputs for rows that the member had not seen: of folds of sessions for stacking, of the newest sessions for
blending, in both cases with a gap as long as a label, because rows beside a label share its returns. The members that are kept
are then fitted on all rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter
from scipy.optimize import minimize, nnls
from sklearn.linear_model import LogisticRegression

from signals.market.bars import Floats
from signals.models.heads import ClassesHead, Head
from trainer.learners.base import FitDevice, Inputs, Learner, Matrix, Model, Reduced, Rows, outputs_of, require_classes
from trainer.learners.objectives import coefficients_of, folds_apart, newest_apart
from trainer.learners.parameters import ApartConfig, EnsembleConfig, StackingConfig

HEAD: TypeAdapter[Head] = TypeAdapter(Head)
Read = Callable[[str, str, tuple[str, ...]], Model]
"""From a learner's name, a written text form and feature names to a model."""


@dataclass(frozen=True, eq=False)
class SomeRows:
    """Some rows of samples, gathered when they are asked for."""

    inputs: Inputs
    rows: Rows

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, and the shape of one."""
        return (len(self.rows), *self.inputs.shape[1:])

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.rows)

    def __getitem__(self, rows: slice | Rows, /) -> Matrix:
        """Return the samples numbered `rows`."""
        return self.inputs[self.rows[rows]]


@dataclass(frozen=True, eq=False)
class Exercise:
    """What the members of an ensemble are fitted on."""

    features: Inputs
    target: Floats
    weight: Floats
    names: tuple[str, ...]
    sessions: Rows | None

    def samples(self, rows: Rows) -> Inputs:
        """Samples of some rows: a table at once, windows when they are asked for."""
        return self.features[rows] if len(self.features.shape) == 2 else SomeRows(self.features, rows)

    def fitted(self, learner: Learner, rows: Rows) -> Model:
        """Fit on some rows."""
        sessions = None if self.sessions is None else self.sessions[rows]
        return learner.fit(self.samples(rows), self.target[rows], self.weight[rows], self.names, sessions)  # type: ignore[arg-type]  # each takes the view that it has


@dataclass(frozen=True)
class Ensemble:
    """The learner: members under their names, and how their outputs are mixed."""

    config: EnsembleConfig
    members: tuple[Learner, ...]
    head: Head

    @property
    def device(self) -> FitDevice:
        """Where the first member fits."""
        return self.members[0].device

    def fit(self, features: Inputs, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> EnsembleModel:
        """Learn the weights from rows that the members have not seen, then fit them on all rows."""
        exercise = Exercise(features, target, weight, names, sessions)
        weights, constant = self._mixture(exercise)
        every = np.arange(len(target))
        models = tuple(exercise.fitted(member, every) for member in self.members)
        return EnsembleModel(self.head, self.config.members, models, weights.astype(np.float32), constant.astype(np.float32))

    def _mixture(self, exercise: Exercise) -> tuple[Floats, Floats]:
        """Weights (members x width, width) and constant (width,)."""
        config, count, width = self.config, len(self.members), self.head.width
        if isinstance(config, StackingConfig):
            parts = folds_apart(exercise.sessions, len(exercise.target), config.folds, config.gap_sessions)
            rows, outputs = self._unseen(exercise, parts)
            return _stacked(config, self.head, outputs, exercise.target[rows], exercise.weight[rows])
        shares = np.full(count, 1.0 / count)
        if isinstance(config, ApartConfig):
            rows, outputs = self._unseen(exercise, [newest_apart(exercise.sessions, len(exercise.target), config)])
            shares = _blended(self.head, outputs, exercise.target[rows], exercise.weight[rows])
        return np.kron(shares[:, None], np.eye(width)), np.zeros(width)

    def _unseen(self, exercise: Exercise, parts: Sequence[tuple[Rows, Rows]]) -> tuple[Rows, Floats]:
        """Rows that are scored by models which have not seen them, and their outputs; (n, members, width)."""
        found = [
            np.stack([outputs_of(exercise.fitted(member, fitted), exercise.samples(unseen)) for member in self.members], axis=1)
            for fitted, unseen in parts
        ]
        return np.concatenate([unseen for _, unseen in parts]), np.concatenate(found)


@dataclass(frozen=True, eq=False)
class EnsembleModel(Reduced):
    """Fitted members and their mixture: weights float32 (members x width, width), constant float32 (width,)."""

    head: Head
    kinds: tuple[str, ...]
    members: tuple[Model, ...]
    weights: Matrix
    constant: Matrix

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names."""
        return self.members[0].names

    def outputs(self, features: Matrix) -> Floats:
        """Mixed outputs, float64, shape (n, width)."""
        each = np.concatenate([outputs_of(member, features) for member in self.members], axis=1)
        mixed: Floats = np.einsum("nm,mk->nk", each, self.weights.astype(np.float64)) + self.constant
        return mixed

    def to_onnx(self) -> bytes:
        """Graph of all members, whose outputs meet in one matrix product."""
        from trainer.learners.joined_graphs import mixed_graph  # brings in what writes graphs, which a device lacks

        return mixed_graph([member.to_onnx() for member in self.members], self.weights, self.constant)

    def to_text(self) -> str:
        """Head, mixture and the members' own texts as JSON."""
        members = [{"learner": kind, "text": member.to_text()} for kind, member in zip(self.kinds, self.members, strict=True)]
        mixture = {"weights": self.weights.tolist(), "constant": self.constant.tolist()}
        return json.dumps({"head": HEAD.dump_python(self.head, mode="json"), "members": members, **mixture})

    def shares(self) -> Floats:
        """How much each member has to say: its part of all absolute weights."""
        size = np.abs(self.weights.astype(np.float64)).reshape(len(self.members), -1).sum(axis=1)
        total = float(size.sum())
        return size / total if total > 0.0 else np.full(len(size), 1.0 / len(size))

    def importance(self) -> Floats:
        """The members' shares of each feature, weighed by what they have to say."""
        return self.shares() @ np.stack([member.importance() for member in self.members])

    def contributions(self, features: Matrix) -> Floats:
        """The members' SHAP values, mixed as their scores are; refused where one has none."""
        parts = [float(weight) * member.contributions(features) for weight, member in zip(self.weights[:, 0], self.members, strict=True)]
        total: Floats = np.sum(parts, axis=0)
        total[:, -1] += self.constant[0]
        return total


def read_ensemble(text: str, names: tuple[str, ...], read: Read) -> EnsembleModel:
    """Read what `EnsembleModel.to_text` wrote."""
    document = json.loads(text)
    members: list[Mapping[str, str]] = document["members"]
    return EnsembleModel(
        head=HEAD.validate_json(json.dumps(document["head"])),
        kinds=tuple(one["learner"] for one in members),
        members=tuple(read(one["learner"], one["text"], names) for one in members),
        weights=np.array(document["weights"], dtype=np.float32),
        constant=np.array(document["constant"], dtype=np.float32),
    )


def _stacked(config: StackingConfig, head: Head, outputs: Floats, target: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Logistic regression of classes on centred raw scores; of a score least squares with a small penalty, no weight negative."""
    count, members, width = outputs.shape
    if isinstance(head, ClassesHead):
        require_classes(target, width)
        centring = np.kron(np.eye(members), np.eye(width) - 1.0 / width)  # raw scores mean nothing but their differences
        solver = LogisticRegression(C=1.0 / (config.penalty * count), max_iter=1000)
        solver.fit(outputs.reshape(count, -1) @ centring, target, sample_weight=weight)
        coefficient, intercept = coefficients_of(solver, width)
        return centring @ coefficient, intercept
    share, scores = weight / weight.sum(), outputs[:, :, 0]
    middle, level = share @ scores, float(share @ target)
    root = np.sqrt(share)[:, None]
    scale = np.maximum(np.sqrt(share @ np.square(scores - middle)), np.finfo(np.float64).tiny)
    design = np.concatenate([root * (scores - middle) / scale, np.sqrt(config.penalty) * np.eye(members)])
    found, _ = nnls(design, np.concatenate([root[:, 0] * (target - level), np.zeros(members)]))
    found = found / scale
    return found[:, None], np.array([level - float(middle @ found)])


def _blended(head: Head, outputs: Floats, target: Floats, weight: Floats) -> Floats:
    """Weights of the members with the least loss, none negative and all together 1."""
    members = outputs.shape[1]
    share = weight / weight.sum()
    if isinstance(head, ClassesHead):
        chosen = target.astype(np.int64)

        def loss(mix: Floats) -> float:
            odds = head.probabilities(np.einsum("nmk,m->nk", outputs, mix))
            return -float(share @ np.log(odds[np.arange(len(chosen)), chosen] + np.finfo(np.float64).tiny))
    else:

        def loss(mix: Floats) -> float:
            error = target - outputs[:, :, 0] @ mix
            return float(share @ np.square(error))

    whole = {"type": "eq", "fun": lambda mix: float(mix.sum()) - 1.0}
    found = minimize(loss, np.full(members, 1.0 / members), method="SLSQP", bounds=[(0.0, 1.0)] * members, constraints=[whole]).x
    mixed: Floats = np.maximum(found, 0.0) / np.maximum(found, 0.0).sum()
    return mixed
