r"""Standardisation of features by figures of the training rows, for learners that need a common scale.

    z = clip((x - mean) / scale, -5, 5), NaN -> 0

Mean and scale are part of the model, so that nothing about a test row enters them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from trainer.learners.base import Matrix
from trainer.learners.parameters import Scaling

if TYPE_CHECKING:
    import onnx

CLIP = np.float32(5.0)


def moments(parts: Callable[[], Iterable[Matrix]]) -> tuple[Matrix, Matrix]:
    """Mean and standard deviation of each column's numbers, float32 (F,); 0 and 1 of a column without, scale 1 if flat.

    The deviation is that of the numbers: a column that is mostly NaN keeps unit variance where it is known. The rows come
    in `parts`, twice, so that they never stand in memory at once.
    """
    count = np.maximum(sum(np.isfinite(part).sum(axis=0) for part in parts()), 1)
    mean = sum(np.where(np.isfinite(part), part, 0.0).sum(axis=0, dtype=np.float64) for part in parts()) / count
    squares = sum(np.square(np.where(np.isfinite(part), part - mean, 0.0)).sum(axis=0) for part in parts())
    deviation = np.sqrt(squares / count)
    flat = deviation <= np.abs(mean) * np.finfo(np.float32).eps  # what rounding leaves of a constant is no deviation
    return mean.astype(np.float32), np.where(flat, 1.0, deviation).astype(np.float32)


def quartiles(parts: Callable[[], Iterable[Matrix]]) -> tuple[Matrix, Matrix]:
    """Median and distance of the quartiles of each column's numbers, float32 (F,), which a few wild rows do not move.

    Where the quartiles meet, most of a column is one value: its deviation is the scale then.
    """
    mean, deviation = moments(parts)
    rows = np.concatenate([np.where(np.isfinite(part), part, np.nan) for part in parts()])
    known = np.isfinite(rows).any(axis=0)
    median, distance = mean.copy(), deviation.copy()
    low, middle, high = np.nanpercentile(rows[:, known], (25.0, 50.0, 75.0), axis=0)
    median[known] = middle
    distance[known] = np.where(high > low, high - low, deviation[known])
    return median, distance


SCALES: dict[Scaling, Callable[[Callable[[], Iterable[Matrix]]], tuple[Matrix, Matrix]]] = {"moments": moments, "quartiles": quartiles}


def standardised(features: Matrix, mean: Matrix, scale: Matrix) -> Matrix:
    """Standardised, clipped features, NaN as 0; in float32 throughout, step for step what the exported graphs do."""
    z = np.clip((features - mean) / scale, -CLIP, CLIP)
    return np.where(np.isnan(z), np.float32(0.0), z)


def standardise_constants(mean: Sequence[float], scale: Sequence[float]) -> dict[str, ArrayLike]:
    """Return what `standardise_nodes` reads."""
    numbers = {"mean": np.array(mean, dtype=np.float32), "scale": np.array(scale, dtype=np.float32)}
    return {**numbers, "low": -CLIP, "high": CLIP, "zero": np.float32(0.0)}


def standardise_nodes() -> list[onnx.NodeProto]:
    """Return the operators from `features` to `clipped`."""
    from onnx import helper  # a device has no library that writes graphs

    return [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["z"]),
        helper.make_node("IsNaN", ["z"], ["absent"]),
        helper.make_node("Where", ["absent", "zero", "z"], ["imputed"]),
        helper.make_node("Clip", ["imputed", "low", "high"], ["clipped"]),
    ]
