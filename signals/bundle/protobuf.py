"""A minimal protobuf reader, enough to inspect an ONNX file without executing it.

Work is linear in the size of the input and nothing is allocated but slices of it, so that a hostile file can neither
hang nor crash the reader. Long runs of one repeated scalar (a tree's thresholds) are skipped by a compiled pattern.
Encoding: https://protobuf.dev/programming-guides/encoding
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from signals.errors import BundleRefused

MAX_VARINT_BYTES = 10


class Wire(IntEnum):
    """How the value of a field is encoded. Groups (3 and 4) are obsolete and refused."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5


@dataclass(frozen=True)
class FieldValue:
    """One field as it is in the message: its number, its encoding, and its integer or its bytes."""

    number: int
    wire: Wire
    integer: int = 0
    content: bytes = b""


Runs = Mapping[int, re.Pattern[bytes]]


def fixed32_run(number: int) -> re.Pattern[bytes]:
    """Pattern of consecutive unpacked fixed32 values of the field `number` (1 to 15)."""
    return re.compile(b"(?:" + re.escape(bytes([number << 3 | Wire.FIXED32])) + rb"[\x00-\xff]{4})++", re.DOTALL)


def varint_run(number: int) -> re.Pattern[bytes]:
    """Pattern of consecutive unpacked varints of the field `number` (1 to 15)."""
    return re.compile(b"(?:" + re.escape(bytes([number << 3])) + rb"[\x80-\xff]{0,9}+[\x00-\x7f])++")


def fields(message: bytes, where: str, runs: Runs | None = None) -> Iterator[FieldValue]:
    """Yield the fields of `message` in order.

    Parameters
    ----------
    where : str
        Name of the message, for the error.
    runs : mapping of first byte to pattern, optional
        Runs of repeated scalars that the caller does not look at; they are skipped whole.

    Raises
    ------
    BundleRefused
        Truncated, a varint of more than ten bytes, field number zero, or an encoding that no field has.
    """
    position, end = 0, len(message)
    while position < end:
        run = runs.get(message[position]) if runs else None
        match = run.match(message, position) if run else None
        if match:
            position = match.end()
            continue
        tag, position = _varint(message, position, where)
        number, code = tag >> 3, tag & 7
        if number == 0 or number > 0x1FFFFFFF:
            raise BundleRefused("not a protobuf message: a field number out of range", where=where)
        if code == Wire.VARINT:
            integer, position = _varint(message, position, where)
            yield FieldValue(number, Wire.VARINT, integer=integer)
            continue
        if code == Wire.BYTES:
            size, position = _varint(message, position, where)
        elif code in (Wire.FIXED32, Wire.FIXED64):
            size = 4 if code == Wire.FIXED32 else 8
        else:
            raise BundleRefused(f"not a protobuf message: wire type {code}", where=where)
        if size > end - position:
            raise BundleRefused("truncated protobuf message", where=where)
        yield FieldValue(number, Wire(code), content=message[position : position + size])
        position += size


def only(number: int, wire: Wire, found: FieldValue, where: str) -> FieldValue:
    """Return `found` if it is encoded as `wire`; a field in another encoding would be read differently elsewhere."""
    if found.wire is not wire:
        raise BundleRefused(f"field {number} is encoded as {found.wire.name}, not {wire.name}", where=where)
    return found


def text(content: bytes, where: str) -> str:
    """UTF-8 text of a string field."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise BundleRefused("a name that is not UTF-8", where=where) from None


def _varint(message: bytes, position: int, where: str) -> tuple[int, int]:
    result = 0
    for index in range(MAX_VARINT_BYTES):
        if position + index >= len(message):
            raise BundleRefused("truncated protobuf message", where=where)
        byte = message[position + index]
        result |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if result >= 1 << 64:
                raise BundleRefused("not a protobuf message: an integer of more than 64 bits", where=where)
            return result, position + index + 1
    raise BundleRefused("not a protobuf message: an integer of more than ten bytes", where=where)
