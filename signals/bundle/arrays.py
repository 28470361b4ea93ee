"""Arrays as bytes: little-endian, one after the other, their names, types and shapes in the signed manifest.

Nothing in such a file says how it is to be read, so there is nothing to unpickle and nothing to believe.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from signals.bundle.seal import Document
from signals.errors import BundleRefused

TYPES: Final[Mapping[str, np.dtype[Any]]] = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4"), "float64": np.dtype("<f8")}
NAME = r"^[a-z][a-z0-9_]{0,39}$"
MAX_DIMENSIONS = 5
MAX_CELLS = 2**27

Arrays = Mapping[str, NDArray[np.floating]]


class ArrayLine(Document):
    """One array of a file: its name, its type and its shape."""

    name: str = Field(pattern=NAME)
    dtype: Literal["float16", "float32", "float64"]
    shape: tuple[Annotated[int, Field(ge=1, le=MAX_CELLS)], ...] = Field(min_length=1, max_length=MAX_DIMENSIONS)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return prod(self.shape) * TYPES[self.dtype].itemsize


def described(arrays: Arrays) -> tuple[ArrayLine, ...]:
    """Return what the manifest says of `arrays`, in their order."""
    return tuple(ArrayLine(name=name, dtype=values.dtype.name, shape=values.shape) for name, values in arrays.items())  # type: ignore[arg-type]


def packed(arrays: Arrays) -> bytes:
    """Return the bytes of `arrays`, in their order."""
    return b"".join(values.astype(TYPES[values.dtype.name]).tobytes() for values in arrays.values())


def unpacked(content: bytes, lines: Sequence[ArrayLine], where: str) -> dict[str, NDArray[np.floating]]:
    """Read the arrays that `lines` describe, without copying.

    Raises
    ------
    BundleRefused
        The bytes are more or fewer than the shapes fill.
    """
    if len(content) != sum(line.nbytes for line in lines):
        raise BundleRefused(f"{len(content)} bytes, not the {sum(line.nbytes for line in lines)} of its arrays", where=where)
    found, start = {}, 0
    for line in lines:
        values = np.frombuffer(content, dtype=TYPES[line.dtype], count=prod(line.shape), offset=start)
        found[line.name] = values.reshape(line.shape)
        start += line.nbytes
    return found
