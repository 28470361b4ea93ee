"""Runs a bundle's models in a child process with limits on memory and time.

The child limits itself before it loads the runtime. It speaks length-prefixed bytes over its pipes: no pickle.
Request:  uint32 header length, header JSON, the inputs as little-endian float32, the models. The header names each
          input with its shape, and each model with its size, its weight and its heads with their widths.
Response: the heads' outputs as little-endian float64, exactly rows x width each, in the order in which the header first
          names them.
"""

import contextlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from math import prod

import numpy as np

from signals.bundle.profiles import PROFILES, ProfileName
from signals.errors import BundleRefused
from signals.models.inference import GraphMember, Inputs, Outputs, infer

WALL_SECONDS = 60
CPU_SECONDS = 20
ADDRESS_SPACE_BYTES = 3 * 1024**3
DATA_BYTES = PROFILES[ProfileName.TABLE_1].data_bytes
INPUT_COPIES = 3
"""The request, the arrays in it and the block that a model reads."""
FILE_BYTES = 0
FIRST_TO_GO = b"1000"
_LENGTH = struct.Struct("<I")


def infer_in_child(members: Sequence[GraphMember], inputs: Inputs) -> Outputs:
    """Return what `signals.models.inference.infer` returns, computed in a limited child process.

    Raises
    ------
    BundleRefused
        The child crashed, was killed by a limit, took too long, or did not answer the heads' numbers of each row.
    """
    rows = len(next(iter(inputs.values())))
    widths = {name: width for member in members for name, width in member.heads.items()}
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-m", "signals.bundle.child_inference", str(data_bytes(members, inputs))],
            input=_request(members, inputs),
            capture_output=True,
            timeout=WALL_SECONDS,
            check=False,
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise BundleRefused(f"running the model took more than {WALL_SECONDS} s") from None
    if child.returncode != 0:
        last = child.stderr.decode(errors="replace").strip().splitlines()[-1:] or [f"exit {child.returncode}"]
        raise BundleRefused(f"the model cannot be run: {last[0][:200]}")
    if len(child.stdout) != 8 * rows * sum(widths.values()):
        raise BundleRefused(f"{rows} rows gave {len(child.stdout)} bytes of scores")
    found = np.frombuffer(child.stdout, dtype="<f8").astype(np.float64)
    ends = np.cumsum([rows * width for width in widths.values()])
    return {name: part.reshape(rows, widths[name]) for name, part in zip(widths, np.split(found, ends[:-1]), strict=True)}


def data_bytes(members: Sequence[GraphMember], inputs: Inputs) -> int:
    """Memory that the child may take for these models: what is asked for beyond it fails inside the child."""
    profiles = [PROFILES[ProfileName(member.profile)] for member in members]
    models = sum(one.data_bytes_per_model_byte * len(member.model) for one, member in zip(profiles, members, strict=True))
    return max(one.data_bytes for one in profiles) + models + INPUT_COPIES * sum(values.nbytes for values in inputs.values())


def _request(members: Sequence[GraphMember], inputs: Inputs) -> bytes:
    header = {
        "inputs": [{"name": name, "shape": values.shape} for name, values in inputs.items()],
        "members": [{"size": len(one.model), "weight": one.weight, "heads": dict(one.heads)} for one in members],
    }
    text = json.dumps(header).encode()
    arrays = [values.astype("<f4").tobytes() for values in inputs.values()]
    return b"".join([_LENGTH.pack(len(text)), text, *arrays, *(one.model for one in members)])


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
    (size,) = _LENGTH.unpack_from(request)
    position = _LENGTH.size + size
    header = json.loads(request[_LENGTH.size : position])
    inputs, members = {}, []
    for one in header["inputs"]:
        values = np.frombuffer(request, dtype="<f4", count=prod(one["shape"]), offset=position)
        inputs[one["name"]] = np.asarray(values.reshape(one["shape"]), dtype=np.float32)
        position += values.nbytes
    for one in header["members"]:
        members.append(GraphMember(request[position : position + one["size"]], one["heads"], one["weight"]))
        position += one["size"]
    return b"".join(values.astype("<f8").tobytes() for values in infer(members, inputs).values())


if __name__ == "__main__":  # pragma: no cover - runs in the child only
    limit(int(sys.argv[1]))
    sys.stdout.buffer.write(_answer(sys.stdin.buffer.read()))
