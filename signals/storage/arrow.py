"""Reads Parquet and Arrow columns as numpy arrays, without pandas; writes Parquet.

pyarrow imports pandas as soon as its own converters to numpy, or `pyarrow.parquet.read_table`, are called. The scoring
path does without pandas for its memory, so it goes through DLPack.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray


def read_parquet(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Read Parquet bytes in this thread; raises what pyarrow raises (`ArrowException`, `OSError`)."""
    with pq.ParquetFile(pa.BufferReader(content), pre_buffer=False) as file:
        return file.read(columns=None if columns is None else list(columns), use_threads=False)


def parquet_of(table: pa.Table, dictionary: bool | list[str] = True) -> bytes:
    """Return a table as Parquet bytes, the columns of `dictionary`, or all, by their distinct values; the same rows make the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=dictionary)
    return bytes(sink.getvalue())


def floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """float64 column as an array; null becomes NaN."""
    chunk = _one_chunk(column)
    if len(chunk) == 0:
        return np.empty(0)
    raw = np.frombuffer(chunk.buffers()[1], dtype=np.float64)
    values = raw[chunk.offset : chunk.offset + len(chunk)].copy()
    if chunk.null_count:
        values[flags(chunk.is_null())] = np.nan
    return values


def days(column: pa.ChunkedArray) -> NDArray[np.datetime64]:
    """date32 column without nulls as datetime64[D]."""
    return np.from_dlpack(_one_chunk(column).view(pa.int32())).astype("datetime64[D]")


def flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Boolean column without nulls as bool."""
    return np.from_dlpack(pc.cast(_one_chunk(column), pa.uint8())).astype(bool)


def codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    """Text column without nulls as positions in the list of its distinct values."""
    encoded = _one_chunk(column).dictionary_encode()
    return np.from_dlpack(encoded.indices).astype(np.int64), encoded.dictionary.to_pylist()


def _one_chunk(column: pa.ChunkedArray) -> Any:
    if not isinstance(column, pa.ChunkedArray):
        return column
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined
