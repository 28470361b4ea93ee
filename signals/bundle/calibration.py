"""Maps from a head's outputs to probabilities, applied by trainer and device alike.

Platt (1999): p = sigmoid(slope x score + intercept). Isotonic: linear between knots, constant beyond them. Temperature:
p = softmax(outputs / temperature + shift). No map says 0 or 1: nothing that was counted is certain.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from signals.bundle.seal import Document
from signals.market.bars import Floats
from signals.models.heads import ClassesHead, Head, ScoreHead

EDGE = 1e-6  # nearer to 0 or 1 no map goes
FAR = 700.0  # beyond it exp overflows
MAX_KNOTS = 1_024
LARGEST = 1e9

Bounded = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]


class PlattMap(Document):
    """p = sigmoid(slope x score + intercept)."""

    slope: Bounded
    intercept: Bounded
    kind: Literal["platt"] = "platt"

    def probability(self, scores: Floats) -> Floats:
        """Probabilities of scores of any shape."""
        return by_sigmoid(scores, self.slope, self.intercept)


class IsotonicMap(Document):
    """Non-decreasing steps: between knots linear, beyond them constant."""

    knots: tuple[Bounded, ...] = Field(min_length=1, max_length=MAX_KNOTS)
    levels: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = Field(min_length=1, max_length=MAX_KNOTS)
    kind: Literal["isotonic"] = "isotonic"

    @model_validator(mode="after")
    def _rises(self) -> IsotonicMap:
        if len(self.knots) != len(self.levels):
            raise ValueError(f"{len(self.knots)} knots and {len(self.levels)} levels")
        if any(later <= earlier for earlier, later in pairwise(self.knots)) or list(self.levels) != sorted(self.levels):
            raise ValueError("the knots do not ascend, or the levels fall")
        return self

    def probability(self, scores: Floats) -> Floats:
        """Probabilities of scores of any shape."""
        return by_steps(scores, np.array(self.knots), np.array(self.levels))


class TemperatureMap(Document):
    """p = softmax(outputs / temperature + shift), the shift by class that of another mix of classes."""

    temperature: float = Field(ge=1e-3, le=1e3)
    shift: tuple[Annotated[float, Field(ge=-50.0, le=50.0)], ...] | None = None
    kind: Literal["temperature"] = "temperature"

    def logits(self, outputs: Floats) -> Floats:
        """Outputs, float64 (n, classes), as their softmax is to read them."""
        scaled = outputs / self.temperature
        return scaled if self.shift is None else scaled + np.array(self.shift)


class AppliedCalibration(Document):
    """The map of one head, and of what it says the probability."""

    event: str = Field(min_length=1, max_length=200)
    map: Annotated[PlattMap | IsotonicMap | TemperatureMap, Field(discriminator="kind")]

    def require_fits(self, head: Head) -> None:
        """Raise `ValueError` where the map reads other outputs than those of `head`."""
        if isinstance(self.map, TemperatureMap):
            fits = isinstance(head, ClassesHead) and len(self.map.shift or head.names) == head.width
        else:
            fits = isinstance(head, ScoreHead)
        if not fits:
            raise ValueError(f"a map of kind {self.map.kind} does not fit a head of kind {head.kind}")


def probabilities(head: Head, calibration: AppliedCalibration | None, outputs: Floats) -> Floats | None:
    """Probabilities of outputs float64 (n, width): of the event (n, 1), or of each class (n, width).

    None of a head without probabilities: another kind, or a score without a map.
    """
    known = calibration.map if calibration else None
    if isinstance(head, ClassesHead):
        return inside(head.probabilities(known.logits(outputs) if isinstance(known, TemperatureMap) else outputs))
    return known.probability(outputs) if isinstance(known, PlattMap | IsotonicMap) else None


def ranked(head: Head, calibration: AppliedCalibration | None, outputs: Floats) -> Floats:
    """Return the number that ranks, float64 (n,): of calibrated classes that of their calibrated probabilities."""
    known = calibration.map if calibration else None
    return head.reduce(known.logits(outputs) if isinstance(known, TemperatureMap) else outputs)


def by_sigmoid(scores: Floats, slope: float, intercept: float) -> Floats:
    """Probabilities of scores of any shape by Platt's map."""
    return inside(sigmoid(slope * scores + intercept))


def by_steps(scores: Floats, knots: Floats, levels: Floats) -> Floats:
    """Probabilities of scores of any shape by an isotonic map."""
    return inside(np.interp(scores, knots, levels))


def sigmoid(values: Floats) -> Floats:
    """Return 1 / (1 + exp(-x)) by the C library's exp, which gives the same bits on every machine."""
    flat = np.clip(values, -FAR, FAR).ravel().tolist()
    return np.array([1.0 / (1.0 + math.exp(-value)) for value in flat]).reshape(np.shape(values))


def inside(probabilities: Floats) -> Floats:
    """Return probabilities that say neither 0 nor 1."""
    return np.clip(probabilities, EDGE, 1.0 - EDGE)
