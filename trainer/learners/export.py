"""Exports a fitted model to ONNX and requires equal scores on every row, NaN rows included."""

from dataclasses import dataclass
from math import prod

import numpy as np

from signals.errors import InvariantBroken
from signals.models.heads import parts_of
from signals.models.inference import FEATURES, SCORE, GraphMember, infer
from trainer.learners.base import HasHead, Inputs, Model, outputs_of

TOLERANCE = 2e-5
CHUNK_ROWS, CHUNK_VALUES = 131_072, 2**23


@dataclass(frozen=True)
class Parity:
    """Result of the export gate: rows compared, rows with a NaN among them, the largest absolute difference of scores."""

    rows: int
    rows_with_nan: int
    max_difference: float
    tolerance: float


@dataclass(frozen=True, eq=False)
class Exported:
    """An ONNX model that reproduces its native one."""

    onnx: bytes
    parity: Parity


def export(model: Model, features: Inputs, *, tolerance: float = TOLERANCE) -> Exported:
    """Convert `model` and compare both on all rows of `features`, the ONNX side with the device's own code.

    The rows are float32 (n, ...). Of a model with a head of several outputs every output is compared.

    Raises
    ------
    InvariantBroken
        Some score differs by more than `tolerance` (or is not a number): such a model is not exported.
    """
    content = model.to_onnx()
    widths = {name: part.width for name, part in parts_of(model.head).items()} if isinstance(model, HasHead) else {SCORE: 1}
    worst, with_nan = 0.0, 0
    size = min(CHUNK_ROWS, max(1, CHUNK_VALUES // prod(features.shape[1:])))
    for start in range(0, len(features), size):
        rows = features[start : start + size]
        native = outputs_of(model, rows)
        given = infer([GraphMember(content, widths)], {FEATURES: rows})
        difference = np.abs(native - np.concatenate([given[name] for name in widths], axis=1))
        with_nan += int(np.isnan(rows.reshape(len(rows), -1)).any(axis=1).sum())
        worst = max(worst, float(difference.max())) if not np.isnan(difference).any() else float("nan")
        if not worst <= tolerance:
            raise InvariantBroken(
                f"the ONNX model's scores differ from the native ones by {worst:.2g}, more than {tolerance:.2g}",
                where=f"rows {start} to {start + len(rows) - 1}",
                fix="Do not publish; report this model",
            )
    return Exported(content, Parity(len(features), with_nan, worst, tolerance))
