"""Golden vectors: rows of real inputs and the outputs that the trainer's machine computed for them.

A bundle is accepted only by a machine whose own CPU computes the same outputs from the same bytes. They are stored as
plain arrays (`signals/bundle/arrays.py`); those of format 1 as JSON, NaN as null.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from signals.bundle.arrays import unpacked
from signals.bundle.manifest import FEATURES, MAX_GOLDEN_ROWS, SCORE, BundleManifest, Part
from signals.bundle.seal import parse_json
from signals.errors import BundleRefused
from signals.market.bars import Floats
from signals.text.wording import reason_of

MAX_TOLERANCE_SD = 1e-5
FLOAT32_STEPS = 4


@dataclass(frozen=True, eq=False)
class Golden:
    """Inputs and their expected outputs.

    Attributes
    ----------
    inputs : mapping of name to float32, shape (n, ...)
        NaN where a feature was undefined; infinite never.
    outputs : mapping of head to float64, shape (n, width)
        Finite, and no head's all equal.
    """

    inputs: Mapping[str, NDArray[np.float32]]
    outputs: Mapping[str, Floats]

    def __post_init__(self) -> None:
        shapes = [values.shape for values in self.arrays.values()]
        if not self.inputs or not self.outputs or min(map(len, shapes)) < 2 or len({shape[0] for shape in shapes}) != 1:
            raise BundleRefused(f"golden vectors of shapes {', '.join(map(str, shapes))}")
        if not 2 <= self.rows <= MAX_GOLDEN_ROWS:
            raise BundleRefused(f"{self.rows} golden vectors, not 2 to {MAX_GOLDEN_ROWS}")
        if any(np.isinf(values).any() for values in self.inputs.values()) or not all(np.isfinite(v).all() for v in self.outputs.values()):
            raise BundleRefused("golden vectors that are not finite")
        for name, values in self.outputs.items():
            if not np.ptp(values, axis=0).any():
                raise BundleRefused(f"golden vectors whose {name!r} is always the same prove nothing", fix="Look at the model")
        for array in self.arrays.values():
            array.setflags(write=False)

    @classmethod
    def of_scores(cls, features: NDArray[np.float32], scores: Floats) -> Self:
        """Return those of rows of features, float32 (n, ...), and one score each, float64 (n,)."""
        return cls({FEATURES: features}, {SCORE: np.reshape(scores, (-1, 1))})

    @property
    def rows(self) -> int:
        """Number of vectors."""
        return len(next(iter(self.inputs.values())))

    @property
    def arrays(self) -> dict[str, NDArray[np.floating]]:
        """Inputs and outputs in the order in which they are stored."""
        return {**self.inputs, **self.outputs}

    def check(self, reproduced: Mapping[str, Floats], tolerance_sd: float, where: str) -> None:
        """Raise `BundleRefused` when this machine's outputs differ by more than the tolerance, or are not finite."""
        if {name: values.shape for name, values in reproduced.items()} != {name: values.shape for name, values in self.outputs.items()}:
            found = ", ".join(f"{name} {values.shape}" for name, values in reproduced.items())
            raise BundleRefused(f"{self.rows} golden vectors gave outputs of shapes {found}", where=where)
        for name, expected in self.outputs.items():
            difference = np.abs(reproduced[name] - expected).max(axis=0)
            if not (difference <= tolerance(expected, tolerance_sd)).all():
                raise BundleRefused(
                    f"golden vectors do not reproduce on this machine: {name!r} is off by up to {difference.max():.3g}",
                    where=where,
                    fix="Compare the versions of onnxruntime and train again",
                )


def tolerance(outputs: Floats, tolerance_sd: float) -> Floats:
    """Largest accepted difference of each column: so many standard deviations, but at least the float32 rounding."""
    rounding = FLOAT32_STEPS * np.spacing(np.abs(outputs).max(axis=0).astype(np.float32)).astype(np.float64)
    spread = np.std(outputs, axis=0, ddof=1)
    accepted: Floats = np.maximum(min(tolerance_sd, MAX_TOLERANCE_SD) * spread, rounding)
    return accepted


def read_golden(manifest: BundleManifest, content: bytes, where: str) -> Golden:
    """Read the golden vectors of a bundle; raise `BundleRefused` where the bytes are not theirs."""
    (file,) = manifest.of(Part.GOLDEN)
    if not file.arrays:
        return _of_format_1(manifest, content, where)
    arrays = unpacked(content, file.arrays, where)
    heads = manifest.head_widths()
    inputs = {name: values.astype(np.float32) for name, values in arrays.items() if name not in heads}
    return Golden(inputs, {name: arrays[name].astype(np.float64) for name in heads})


def _of_format_1(manifest: BundleManifest, content: bytes, where: str) -> Golden:
    document = parse_json(content, where)
    try:
        features = np.array(document["inputs"], dtype=np.float64).astype(np.float32)
        golden = Golden.of_scores(features, np.array(document["scores"], dtype=np.float64))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleRefused(f"golden vectors cannot be read: {reason_of(error)}", where=where) from None
    if features.shape[1:] != (len(manifest.features),):
        raise BundleRefused(f"golden vectors of {features.shape[1:]} features, not {len(manifest.features)}", where=where)
    return golden
