"""Heads: what the outputs of a model mean, and the one number of them that ranks.

Outputs are as the model gives them, float (n, width); probabilities are made of them here and nowhere else, so that the
trainer and a device cannot differ. `HEADS` is the register.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from signals.errors import InvariantBroken
from signals.market.bars import Floats

STRICT = ConfigDict(strict=True, extra="forbid", defer_build=True)
MAX_WIDTH = 64
MAX_LENGTH = 1_024
MEDIAN = 0.5

Outputs = NDArray[np.float32] | Floats
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Level = Annotated[float, Field(gt=0.0, lt=1.0)]


@dataclass(frozen=True, config=STRICT)
class ScoreHead:
    """One number, which is the score."""

    kind: Literal["score"] = "score"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order."""
        return ("score",)

    @property
    def width(self) -> int:
        """Number of outputs."""
        return len(self.names)

    def reduce(self, outputs: Outputs) -> Floats:
        """Return the score itself; float64 (n,)."""
        return _checked(outputs, self.width)[:, 0].copy()


@dataclass(frozen=True, config=STRICT)
class ClassesHead:
    """One raw score (log odds) a class; `probabilities` are their softmax.

    Attributes
    ----------
    names : tuple of str
        Of the classes, from the worst to the best ("down", "flat", "up").
    values : tuple of float, optional
        What a class is worth, in the same order: -1 for the worst to 1 for the best, evenly, unless given. The score is
        the expected value, which of three classes is P(up) - P(down); with the classes' mean returns it is the expected
        return.
    """

    names: tuple[Name, ...] = Field(min_length=2, max_length=MAX_WIDTH)
    values: tuple[Finite, ...] | None = None
    kind: Literal["classes"] = "classes"

    @model_validator(mode="after")
    def _one_value_a_class(self) -> ClassesHead:
        if len(set(self.names)) != len(self.names):
            raise ValueError("a class is named twice")
        if self.values is not None and (len(self.values) != len(self.names) or len(set(self.values)) < 2):
            raise ValueError(f"{len(self.values)} values of {len(self.names)} classes, or all the same")
        return self

    @property
    def width(self) -> int:
        """Number of outputs."""
        return len(self.names)

    def probabilities(self, outputs: Outputs) -> Floats:
        """Probability of each class; float64 (n, width), each row summing to 1."""
        raw = _checked(outputs, self.width)
        odds: Floats = np.exp(raw - raw.max(axis=1, keepdims=True))
        odds /= odds.sum(axis=1, keepdims=True)
        return odds

    def reduce(self, outputs: Outputs) -> Floats:
        """Return the expected value of the classes; float64 (n,).

        Examples
        --------
        >>> ClassesHead(("down", "flat", "up")).reduce(np.log([[0.2, 0.3, 0.5]])).round(9).tolist()
        [0.3]
        """
        worth = np.linspace(-1.0, 1.0, self.width) if self.values is None else np.array(self.values)
        expected: Floats = self.probabilities(outputs) @ worth
        return expected


@dataclass(frozen=True, config=STRICT)
class QuantilesHead:
    """One quantile a level, levels ascending."""

    levels: tuple[Level, ...] = Field(min_length=1, max_length=MAX_WIDTH)
    kind: Literal["quantiles"] = "quantiles"

    @model_validator(mode="after")
    def _ascending(self) -> QuantilesHead:
        if any(later <= earlier for earlier, later in pairwise(self.levels)):
            raise ValueError("the levels of the quantiles do not ascend")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order: `q5`, `q50`, `q97.5`."""
        return tuple(f"q{100 * level:.10g}" for level in self.levels)

    @property
    def width(self) -> int:
        """Number of outputs."""
        return len(self.levels)

    def reduce(self, outputs: Outputs) -> Floats:
        """Return the median, linear between the levels around it and the nearest level where there are none; float64 (n,).

        Examples
        --------
        >>> QuantilesHead((0.4, 0.8)).reduce(np.array([[1.0, 2.0]])).tolist()
        [1.25]
        """
        raw = _checked(outputs, self.width)
        levels = np.array(self.levels)
        above = int(np.searchsorted(levels, MEDIAN))
        if above == self.width or levels[above] == MEDIAN or above == 0:
            return raw[:, min(above, self.width - 1)].copy()
        share = (MEDIAN - levels[above - 1]) / (levels[above] - levels[above - 1])
        median: Floats = raw[:, above - 1] + share * (raw[:, above] - raw[:, above - 1])
        return median


@dataclass(frozen=True, config=STRICT)
class MeanScaleHead:
    """A mean and a scale (a standard deviation, or the parameter of another law), the scale positive."""

    kind: Literal["mean_scale"] = "mean_scale"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order."""
        return ("mean", "scale")

    @property
    def width(self) -> int:
        """Number of outputs."""
        return len(self.names)

    def reduce(self, outputs: Outputs) -> Floats:
        """Return the mean; float64 (n,)."""
        return _checked(outputs, self.width)[:, 0].copy()


@dataclass(frozen=True, config=STRICT)
class StudentTHead:
    """Student's t law: location, scale (positive) and degrees of freedom (above 2, so that it has a variance)."""

    kind: Literal["student_t"] = "student_t"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order."""
        return ("location", "scale", "df")

    @property
    def width(self) -> int:
        """Number of outputs."""
        return len(self.names)

    def reduce(self, outputs: Outputs) -> Floats:
        """Return the location; float64 (n,)."""
        return _checked(outputs, self.width)[:, 0].copy()


@dataclass(frozen=True, config=STRICT)
class VectorHead:
    """A vector of `length` numbers, an embedding: what is near to it is looked up, and it ranks nothing."""

    length: int = Field(ge=1, le=MAX_LENGTH)
    kind: Literal["vector"] = "vector"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order."""
        return tuple(f"v{number}" for number in range(1, self.length + 1))

    @property
    def width(self) -> int:
        """Number of outputs."""
        return self.length

    def reduce(self, outputs: Outputs) -> Floats:
        """Raise `InvariantBroken`: no number of a vector ranks."""
        raise InvariantBroken(f"a vector of {outputs.shape[-1]} numbers ranks nothing")


@dataclass(frozen=True, config=STRICT)
class PatternHead:
    """Classes of a picture, the logarithm of its pole, and its embedding, side by side; a bundle lists its `parts` one by one.

    Attributes
    ----------
    classes : tuple of str
        The first one is nothing; the score is the probability of any other.
    length : int
        Of the embedding.
    """

    classes: tuple[Name, ...] = Field(min_length=2, max_length=MAX_WIDTH)
    length: int = Field(ge=1, le=MAX_LENGTH)
    kind: Literal["pattern"] = "pattern"

    @property
    def parts(self) -> Mapping[str, ClassesHead | ScoreHead | VectorHead]:
        """Heads by name, in the order of the outputs."""
        worth = (0.0, *(1.0 for _ in self.classes[1:]))
        return {"score": ClassesHead(self.classes, worth), "pole": ScoreHead(), "embedding": VectorHead(self.length)}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs, in their order."""
        return (*self.classes, "pole", *VectorHead(self.length).names)

    @property
    def width(self) -> int:
        """Number of outputs."""
        return len(self.classes) + 1 + self.length

    def reduce(self, outputs: Outputs) -> Floats:
        """Return the probability of any class but the first; float64 (n,)."""
        return self.parts["score"].reduce(_checked(outputs, self.width)[:, : len(self.classes)])


Head = Annotated[
    ScoreHead | ClassesHead | QuantilesHead | MeanScaleHead | StudentTHead | VectorHead | PatternHead, Field(discriminator="kind")
]
"""Any head; as a field of a document, `kind` says which."""

HEADS = {head.kind: head for head in (ScoreHead, ClassesHead, QuantilesHead, MeanScaleHead, StudentTHead, VectorHead, PatternHead)}


def parts_of(head: Head, name: str = "score") -> Mapping[str, Head]:
    """Return the heads that a graph gives one by one: those of a picture's, or the head itself under `name`."""
    return head.parts if isinstance(head, PatternHead) else {name: head}


def _checked(outputs: Outputs, width: int) -> Floats:
    if outputs.ndim != 2 or outputs.shape[1] != width:
        raise InvariantBroken(f"outputs of shape {outputs.shape}, not (n, {width})")
    return np.asarray(outputs, dtype=np.float64)
