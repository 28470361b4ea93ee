"""The learner protocol: fit, predict, and an exact export to ONNX; what a learner can do; classes numbered from 0 for one that needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeGuard, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from signals.errors import FixInput, InvariantBroken, LearnerFailed
from signals.market.bars import Floats
from signals.models.heads import ClassesHead, Head, ScoreHead

if TYPE_CHECKING:
    from trainer.learners.bins import Bins


Matrix = NDArray[np.float32]
Rows = NDArray[np.int64]
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


class Inputs(Protocol):
    """Samples as a model sees them, float32 (n, *shape): an array, or what is gathered when it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of samples, and the shape of one."""
        ...

    def __len__(self) -> int:
        """How many samples there are."""
        ...

    def __getitem__(self, rows: slice | Rows, /) -> Matrix:
        """Return the samples numbered `rows`."""
        ...


class FitDevice(StrEnum):
    """Where to fit: `auto` takes CUDA when the learner and this machine have it."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@runtime_checkable
class Model(Protocol):
    """A fitted learner: a frozen value that pickles, predicts and exports itself."""

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names in the order of the columns it was fitted on."""
        ...

    def predict(self, features: Matrix) -> Floats:
        """Scores, float64, shape (n,), of rows float32 (n, F); NaN features are allowed, NaN scores never come."""
        ...

    def to_onnx(self) -> bytes:
        """ONNX graph: input `features` float32 [n, F], output `score` float32 [n, 1]; the same bytes every time."""
        ...

    def to_text(self) -> str:
        """Native text form, readable by the library that fitted it."""
        ...

    def importance(self) -> Floats:
        """Share of the total gain of each feature, shape (F,), summing to 1; zeros when nothing was learned."""
        ...

    def contributions(self, features: Matrix) -> Floats:
        """SHAP values, float64, shape (n, F + 1): one a feature and the base value last, summing to the score.

        Raises
        ------
        FixInput
            The learner has no exact ones.
        """
        ...


@runtime_checkable
class HasHead(Protocol):
    """A fitted learner of several outputs, which its head reduces to what ranks."""

    @property
    def head(self) -> Head:
        """Meaning of the outputs."""
        ...

    def outputs(self, features: Matrix) -> Floats:
        """Outputs, float64 (n, width)."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A learner before fitting: a frozen value of its parameters and seed."""

    @property
    def device(self) -> FitDevice:
        """Where it fits: CPU or CUDA, never AUTO."""
        ...

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> Model:
        """Fit on rows float32 (n, F) with finite targets and positive weights (n,); the same input, the same model.

        `sessions`, int64 (n,) ascending, says which rows stand in one cross-section: who ranks within it needs it.

        Raises
        ------
        LearnerFailed
            The library behind it could not fit these rows with these parameters.
        """
        ...


@runtime_checkable
class SharesBins(Protocol):
    """A learner that can bin features once for many fits, which a search may do and nothing that is published."""

    @property
    def binning(self) -> tuple[int, int]:
        """What bins depend on next to the features: learners with the same can share them."""
        ...

    def bins(self, features: Matrix, names: tuple[str, ...]) -> Bins:
        """Bins of rows float32 (n, F)."""
        ...

    def fit_binned(self, bins: Bins, chosen: Rows, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None) -> Model:
        """Fit on the rows numbered `chosen` of `bins`, ascending, whose targets, weights and sessions these are."""
        ...


def shares_bins(learner: Learner) -> TypeGuard[SharesBins]:
    """Whether a learner bins once for many fits; one that fits on a GPU bins there, for each of them."""
    return isinstance(learner, SharesBins) and learner.device is FitDevice.CPU


def check_rows(features: Matrix, target: Floats, names: tuple[str, ...]) -> None:
    """Raise `InvariantBroken` unless `features` are float32 with a row per target and a column per name."""
    if features.dtype != np.float32 or features.shape != (len(target), len(names)):
        raise InvariantBroken(f"features are {features.dtype} {features.shape}, not float32 per target and name")


def check_columns(features: Matrix, names: tuple[str, ...]) -> None:
    """Raise `InvariantBroken` unless `features` are float32 with a column per name."""
    if features.dtype != np.float32 or features.shape[1] != len(names):
        raise InvariantBroken(f"features are {features.dtype} {features.shape}, not float32 [n, {len(names)}]")


def head_of_width(width: int) -> Head:
    """Return the head of a model that knows how many outputs it has and not what they are called."""
    return ScoreHead() if width == 1 else ClassesHead(tuple(f"class_{number}" for number in range(width)))


def require_classes(target: Floats, count: int) -> None:
    """Raise `LearnerFailed` unless each class 0 .. count - 1 occurs: of one that never did nothing can be learned."""
    missing = sorted(set(range(count)) - set(target.astype(np.int64).tolist()))
    if missing:
        raise LearnerFailed(f"no row has the class {missing[0]} of {count}", fix="Learn from more sessions, or choose fewer classes")


def has_gpu_driver() -> bool:
    """Whether NVIDIA's driver is loaded; without it libraries complain on standard error when they are asked for a GPU."""
    return NVIDIA_DRIVER.exists()


def on_cpu_alone(wish: FitDevice, learner: str) -> FitDevice:
    """Return the CPU for a learner that has no other; "cuda" is an error, never a silent fallback."""
    if wish is FitDevice.CUDA:
        raise FixInput(f"{learner} has no CUDA device here", where="--device cuda", fix="Use --device auto or cpu")
    return FitDevice.CPU


@dataclass(frozen=True)
class Capabilities:
    """Capabilities of a learner.

    Attributes
    ----------
    views, heads : frozenset of str
        Kinds (`signals.views.VIEWS`, `signals.models.heads.HEADS`).
    takes_missing : bool
        Whether a missing feature means something to it; one that does not imputes the mean.
    devices : frozenset of FitDevice
        Where it can fit.
    """

    views: frozenset[str] = frozenset({"table"})
    heads: frozenset[str] = frozenset({"score"})
    takes_missing: bool = True
    devices: frozenset[FitDevice] = frozenset({FitDevice.CPU})


class Reduced:
    """The scores of a model of several outputs: what its head makes of them."""

    def predict(self: HasHead, features: Matrix) -> Floats:
        """Scores, float64, shape (n,): the outputs reduced to what ranks."""
        return self.head.reduce(self.outputs(features))


def head_of(model: Model) -> Head:
    """Head of a model, one score where it has none of its own."""
    return model.head if isinstance(model, HasHead) else ScoreHead()


def outputs_of(model: Model, features: Inputs) -> Floats:
    """Outputs of a model, float64 (n, width), whether or not it has a head of its own."""
    samples: Matrix = features  # type: ignore[assignment]  # each takes the view that it has
    return model.outputs(samples) if isinstance(model, HasHead) else model.predict(samples)[:, None]


@dataclass(frozen=True)
class Around:
    """Base of learners that fit another one."""

    learner: Learner

    @property
    def device(self) -> FitDevice:
        """Where it fits."""
        return self.learner.device


@dataclass(frozen=True)
class GivenColumns:
    """What a model gives of each row, float64 (n, m), where one number does not judge it; it is neither exported nor published."""

    read: Callable[[Matrix], Floats]

    def predict(self, features: Matrix) -> Floats:
        """Return the columns."""
        return self.read(features)


@dataclass(frozen=True)
class EachTarget(Around):
    """A learner that fits a model to each column of the targets, float64 (n, m), whose scores are columns."""

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> Model:
        """Fit on rows float32 (n, F)."""
        models = [self.learner.fit(features, column, weight, names, sessions) for column in target.T]
        return cast(Model, GivenColumns(lambda rows: np.column_stack([model.predict(rows) for model in models])))


@dataclass(frozen=True)
class EveryOutput(Around):
    """A learner whose model gives its outputs, not the score that they make."""

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> Model:
        """Fit on rows float32 (n, F)."""
        return cast(Model, GivenColumns(cast(HasHead, self.learner.fit(features, target, weight, names, sessions)).outputs))


@dataclass(frozen=True)
class Numbered(Around):
    """A learner of classes, to which the sides -1, 0 and 1 are their numbers, from the worst to the best."""

    def fit(self, features: Matrix, target: Floats, weight: Floats, names: tuple[str, ...], sessions: Rows | None = None) -> Model:
        """Fit on rows float32 (n, F); targets are sides."""
        return self.learner.fit(features, target + 1.0, weight, names, sessions)
