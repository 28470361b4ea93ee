"""Runs an ONNX model with onnxruntime on one CPU thread.

One thread and sequential execution make the sum over trees the same on every run; opening the sessions of an
ensemble one after the other keeps its memory near that of a single model (measured in `benchmarks/scoring.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from signals.errors import ScoresInvalid
from signals.market.bars import Floats

INPUT, OUTPUT = "features", "score"
FATAL_ONLY = 4


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """Open one ONNX model from its bytes: CPU only, one thread, sequential, no custom operators, ONNX format only."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = FATAL_ONLY
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def predict(models: Sequence[bytes], inputs: NDArray[np.float32]) -> Floats:
    """Mean of the models' outputs.

    Parameters
    ----------
    models : sequence of bytes
        At least one verified ONNX file mapping `features` float32 (n, F) to `score` float32 (n,) or (n, 1).
    inputs : float32, shape (n, F)
        NaN is passed to the model, which was trained with it.

    Returns
    -------
    float64, shape (n,)

    Raises
    ------
    ScoresInvalid
        A model gave something other than one number a row.
    """
    total = np.zeros(len(inputs), dtype=np.float64)
    for model in models:
        session = open_session(model)
        output = np.asarray(session.run([OUTPUT], {INPUT: inputs})[0], dtype=np.float64)
        if output.size != len(inputs):
            raise ScoresInvalid(f"{len(inputs)} rows gave scores of shape {output.shape}", fix="Publish another bundle")
        total += output.reshape(len(inputs))
        del session  # its arena is freed before the next one is opened
    return total / len(models)
