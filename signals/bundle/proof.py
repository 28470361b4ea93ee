"""Recomputes a bundle's golden scores in a child process with limits on memory and time.

The child limits itself before it loads the runtime. It speaks length-prefixed bytes over its pipes: no pickle.
Request:  uint32 header length, header JSON (rows, columns, sizes of the models), inputs as float32, models.
Response: scores as little-endian float64, exactly one a row.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from signals.errors import BundleRefused
from signals.market.bars import Floats

WALL_SECONDS = 60
CPU_SECONDS = 20
ADDRESS_SPACE_BYTES = 3 * 1024**3
DATA_BYTES = 256 * 1024**2
DATA_BYTES_PER_MODEL_BYTE = 24
"""What the child may hold: the runtime takes 140 MB, and 14 bytes a byte of a tree ensemble were measured."""
FILE_BYTES = 0
FIRST_TO_GO = b"1000"
_LENGTH = struct.Struct("<I")


def reproduce_in_child(models: Sequence[bytes], inputs: NDArray[np.float32]) -> Floats:
    """Score `inputs` (float32, n x F) with `models` in a limited child process; float64 (n,).

    Raises
    ------
    BundleRefused
        The child crashed, was killed by a limit, took too long, or did not answer one number a row.
    """
    header = json.dumps({"rows": inputs.shape[0], "columns": inputs.shape[1], "models": [len(m) for m in models]})
    request = _LENGTH.pack(len(header)) + header.encode() + inputs.astype("<f4").tobytes() + b"".join(models)
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-m", "signals.bundle.proof", str(data_bytes(models))],
            input=request,
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise BundleRefused(f"scoring the golden vectors took more than {WALL_SECONDS} s") from None
    if child.returncode != 0:
        last = child.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit {child.returncode}"]
        raise BundleRefused(f"the model cannot be run: {last[0][:200]}")
    if len(child.stdout) != 8 * inputs.shape[0]:
        raise BundleRefused(f"{inputs.shape[0]} golden vectors gave {len(child.stdout)} bytes of scores")
    return np.frombuffer(child.stdout, dtype="<f8").astype(np.float64)


def data_bytes(models: Sequence[bytes]) -> int:
    """Memory that the child may take for these models: what is asked for beyond it fails inside the child."""
    return DATA_BYTES + DATA_BYTES_PER_MODEL_BYTE * sum(map(len, models))


def limit(data: int = DATA_BYTES) -> None:  # pragma: no cover - binds its whole process; a test reads it in a child
    """Bind this process: its memory, its CPU time, no file written, no core; first to go where memory runs out."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        place = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(place, FIRST_TO_GO)
        os.close(place)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))


def _answer(request: bytes) -> bytes:
    from signals.inference import predict

    (size,) = _LENGTH.unpack_from(request)
    header = json.loads(request[_LENGTH.size : _LENGTH.size + size])
    position = _LENGTH.size + size
    shape = (header["rows"], header["columns"])
    inputs = np.frombuffer(request, dtype="<f4", count=shape[0] * shape[1], offset=position).reshape(shape)
    position += inputs.nbytes
    models = []
    for length in header["models"]:
        models.append(request[position : position + length])
        position += length
    return predict(models, np.ascontiguousarray(inputs, dtype=np.float32)).astype("<f8").tobytes()


if __name__ == "__main__":  # pragma: no cover - runs in the child only
    limit(int(sys.argv[1]))
    sys.stdout.buffer.write(_answer(sys.stdin.buffer.read()))
