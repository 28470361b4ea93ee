"""Runs ONNX models with onnxruntime on one CPU thread: any view of the features, any heads, on both hosts.

One thread and sequential execution make the sum over trees the same on every run; opening the sessions of an
ensemble one after the other keeps its memory near that of a single model (measured in `benchmarks/scoring.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from signals.errors import ScoresInvalid
from signals.market.bars import Floats

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

FEATURES, SCORE = "features", "score"
FATAL_ONLY = 4
BLOCK_VALUES = 2**17
"""Numbers that a network reads at once; layers of attention over patches hold some 25 numbers for each, several at a time."""
ALIGNMENT = 64

Inputs = Mapping[str, NDArray[np.float32]]
Outputs = dict[str, Floats]


@dataclass(frozen=True)
class GraphMember:
    """One model of an ensemble.

    Attributes
    ----------
    model : bytes
        A verified ONNX file.
    heads : mapping of name to width
        Its outputs, each float32 (n, width).
    weight : float
        Its share in the mean of each head that it has, relative to the others'.
    profile : str
        Name of its operator profile, which says what memory it may take (`signals/bundle/profiles.py`).
    """

    model: bytes
    heads: Mapping[str, int] = field(default_factory=lambda: {SCORE: 1})
    weight: float = 1.0
    profile: str = "table-1"


def open_session(model: bytes) -> InferenceSession:
    """Open one ONNX model from its bytes: CPU only, one thread, sequential, no custom operators, ONNX format only."""
    import onnxruntime  # 140 MB that whoever only knows what a member is does not take

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = FATAL_ONLY
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def infer(members: Sequence[GraphMember], inputs: Inputs) -> Outputs:
    """Outputs of every head, each the weighted mean over the members that have it.

    Parameters
    ----------
    members : sequence of GraphMember
        At least one.
    inputs : mapping of name to float32, shape (n, ...)
        What the graphs read by that name; NaN is passed to the model, which was trained with it.

    Returns
    -------
    mapping of name to float64, shape (n, width)

    Raises
    ------
    ScoresInvalid
        A model gave something other than its heads' numbers of each row.
    """
    rows = len(next(iter(inputs.values())))
    totals: Outputs = {}
    weights: dict[str, float] = {}
    for member in members:
        for name, values in _run(member, inputs, rows).items():
            totals[name] = totals.get(name, 0.0) + member.weight * values
            weights[name] = weights.get(name, 0.0) + member.weight
    return {name: total / weights[name] for name, total in totals.items()}


def predict(models: Sequence[bytes], inputs: NDArray[np.float32]) -> Floats:
    """Mean score of models that map `features` float32 (n, ...) to `score` float32 (n,) or (n, 1); float64 (n,)."""
    return infer([GraphMember(model) for model in models], {FEATURES: inputs})[SCORE][:, 0]


def _run(member: GraphMember, inputs: Inputs, rows: int) -> Outputs:
    session = open_session(member.model)
    wanted = [given.name for given in session.get_inputs()]
    found: Outputs = {name: np.empty((rows, width)) for name, width in member.heads.items()}
    for block in _blocks(inputs, rows):
        given = {name: _aligned(inputs[name][block]) for name in wanted}
        outputs = session.run(list(found), given)
        for values, output in zip(found.values(), outputs, strict=True):
            part = values[block]
            if output.size != part.size:
                raise ScoresInvalid(f"{len(part)} rows gave scores of shape {output.shape}", fix="Publish another bundle")
            part[...] = output.reshape(part.shape)
    return found  # the session's arena is freed before the next one is opened


def _aligned(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return `values` where a vector register may load them at once: a sum's last bit depends on where it begins."""
    if values.flags.c_contiguous and values.ctypes.data % ALIGNMENT == 0:
        return values
    room = np.empty(values.nbytes + ALIGNMENT, dtype=np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    copied = room[start : start + values.nbytes].view(np.float32).reshape(values.shape)
    copied[...] = values
    return copied


def _blocks(inputs: Inputs, rows: int) -> Iterator[slice]:
    """All rows of a table at once, which takes little; those of windows and images by blocks."""
    if all(values.ndim <= 2 for values in inputs.values()) or not rows:
        yield slice(0, rows)
        return
    size = max(1, BLOCK_VALUES * rows // sum(values.size for values in inputs.values()))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
