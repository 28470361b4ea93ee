"""Static checks of an ONNX graph (operators, sizes, inputs, outputs) before the runtime loads it.

Only what our learners export is allowed, by the profile that the graph claims. Everything else, known to ONNX or not,
is refused: control flow and sub-graphs, functions, external data, sparse tensors, unknown domains, operators and fields.
A field that may stand only once and occurs twice is refused as well, because readers disagree about which one counts.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto

The protobuf reader is as small as that needs. Work is linear in the size of the input and nothing is allocated but
slices of it, so that a hostile file can neither hang nor crash the reader. Long runs of one repeated scalar (a tree's
thresholds) are skipped by a compiled pattern.
Encoding: https://protobuf.dev/programming-guides/encoding
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from signals.bundle.profiles import PROFILES, Profile, ProfileName
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


OPSETS = {"": range(9, 25), "ai.onnx.ml": range(1, 6)}
FLOAT = 1

# Field numbers of the messages that are looked into; every other number is refused.
MODEL = {
    1: "ir_version",
    2: "producer_name",
    3: "producer_version",
    4: "domain",
    5: "model_version",
    6: "doc_string",
    7: "graph",
    8: "opset_import",
    14: "metadata_props",
}
GRAPH = {1: "node", 2: "name", 5: "initializer", 10: "doc_string", 11: "input", 12: "output", 13: "value_info", 16: "metadata_props"}
NODE = {1: "input", 2: "output", 3: "name", 4: "op_type", 5: "attribute", 6: "doc_string", 7: "domain", 9: "metadata_props"}
ATTRIBUTE = {1: "name", 2: "f", 3: "i", 4: "s", 5: "t", 7: "floats", 8: "ints", 9: "strings", 10: "tensors", 13: "doc_string", 20: "type"}
TENSOR = {
    1: "dims",
    2: "data_type",
    4: "float_data",
    5: "int32_data",
    7: "int64_data",
    8: "name",
    9: "raw_data",
    10: "double_data",
    11: "uint64_data",
    12: "doc_string",
}
ONCE = frozenset({"ir_version", "graph", "domain", "op_type", "name", "type", "f", "i", "s", "t", "data_type", "raw_data"})
REASONS = {
    ("model", 20): "training information", ("model", 25): "functions of its own",
    ("graph", 15): "sparse initializers", ("graph", 14): "quantization annotations",
    ("node", 8): "an operator overload", ("attribute", 6): "a sub-graph", ("attribute", 11): "sub-graphs",
    ("attribute", 21): "a reference to a function's attribute", ("tensor", 13): "external data",
    ("tensor", 14): "external data", ("tensor", 6): "text tensors",
}  # fmt: skip

_RUNS = {7 << 3 | 5: fixed32_run(7), 8 << 3: varint_run(8)}


Dimensions = tuple[int | None, ...]
"""Sizes of a tensor's axes, None where the graph leaves one open."""


@dataclass(frozen=True)
class Graph:
    """A validated graph: its nodes, its operator sets, and the declared shapes of its inputs and outputs."""

    nodes: int
    opsets: dict[str, int]
    inputs: dict[str, Dimensions]
    outputs: dict[str, Dimensions]


def check_model(
    content: bytes,
    where: str,
    profile: ProfileName = ProfileName.TABLE_1,
    *,
    inputs: Collection[str] = ("features",),
    outputs: Collection[str] = ("score",),
) -> Graph:
    """Inspect one ONNX file and describe its graph.

    Parameters
    ----------
    content : bytes
        The file's verified bytes.
    where : str
        The file's name, for errors.
    profile : ProfileName
        Whose operators and sizes are allowed.
    inputs, outputs : collection of str
        Names of the inputs that it may read, of which it reads at least one, and of the outputs that it must have.

    Raises
    ------
    BundleRefused
        Too large, not ONNX, or holding anything that is not allowed.
    """
    allowed = PROFILES[profile]
    if len(content) > allowed.max_bytes:
        raise BundleRefused(f"{len(content)} bytes, more than {allowed.max_bytes} of profile {profile}", where=where)
    opsets: dict[str, int] = {}
    graph: bytes | None = None
    for field in _known(content, "model", MODEL, where):
        if field.number == 7:
            graph = only(7, Wire.BYTES, field, where).content
        elif field.number == 8:
            domain, version = _opset(only(8, Wire.BYTES, field, where).content, where)
            if domain in opsets:
                raise BundleRefused(f"operator set {domain or 'ai.onnx'!r} is imported twice", where=where)
            opsets[domain] = version
        elif field.number == 14 and b"ort_config" in field.content:
            raise BundleRefused("a model that configures its own runtime", where=where)
    if graph is None:
        raise BundleRefused("no graph: not an ONNX model", where=where)
    found = _check_graph(graph, opsets, allowed, where)
    if not found.inputs or not set(found.inputs) <= set(inputs) or sorted(found.outputs) != sorted(outputs):
        given, made = list(found.inputs), list(found.outputs)
        raise BundleRefused(f"maps {given} to {made}, not {list(inputs)} to {list(outputs)}", where=where)
    return found


def _check_graph(graph: bytes, opsets: dict[str, int], allowed: Profile, where: str) -> Graph:
    nodes = 0
    inputs, outputs = dict[str, Dimensions](), dict[str, Dimensions]()
    initializers = set[str]()
    for field in _known(graph, "graph", GRAPH, where):
        content = only(field.number, Wire.BYTES, field, where).content
        if field.number == 1:
            nodes += 1
            if nodes > allowed.max_nodes:
                raise BundleRefused(f"more than {allowed.max_nodes} nodes", where=where)
            _check_node(content, opsets, allowed, where)
        elif field.number == 5:
            initializers.add(_check_tensor(content, where))
        elif field.number in (11, 12):
            name, shape = _value(content, where)
            side = inputs if field.number == 11 else outputs
            if name in side:
                raise BundleRefused(f"{name!r} is declared twice", where=where)
            side[name] = shape
    if nodes == 0:
        raise BundleRefused("a graph without nodes", where=where)
    inputs = {name: shape for name, shape in inputs.items() if name not in initializers}
    return Graph(nodes, dict(sorted(opsets.items())), inputs, outputs)


def _check_node(node: bytes, opsets: dict[str, int], allowed: Profile, where: str) -> None:
    operator, domain = "", ""
    for field in _known(node, "node", NODE, where):
        content = only(field.number, Wire.BYTES, field, where).content
        if field.number == 4:
            operator = text(content, where)
        elif field.number == 7:
            domain = _domain(content, where)
        elif field.number == 5:
            _check_attribute(content, where)
    if domain not in allowed.operators or domain not in opsets:
        raise BundleRefused(f"operator domain {domain!r} is not allowed", where=where)
    if operator not in allowed.operators[domain]:
        raise BundleRefused(f"operator {operator!r} of domain {domain or 'ai.onnx'!r} is not allowed", where=where)


def _check_attribute(attribute: bytes, where: str) -> None:
    for field in _known(attribute, "attribute", ATTRIBUTE, where, runs=True):
        if field.number in (5, 10):
            _check_tensor(only(field.number, Wire.BYTES, field, where).content, where)


def _check_tensor(tensor: bytes, where: str) -> str:
    name = ""
    for field in _known(tensor, "tensor", TENSOR, where):
        if field.number == 8:
            name = text(only(8, Wire.BYTES, field, where).content, where)
    return name


def _opset(content: bytes, where: str) -> tuple[str, int]:
    domain, version = "", 0
    for field in _known(content, "opset", {1: "domain", 2: "version"}, where):
        if field.number == 1:
            domain = _domain(only(1, Wire.BYTES, field, where).content, where)
        else:
            version = only(2, Wire.VARINT, field, where).integer
    if domain not in OPSETS:
        raise BundleRefused(f"operator domain {domain!r} is not allowed", where=where)
    if version not in OPSETS[domain]:
        raise BundleRefused(f"operator set {domain or 'ai.onnx'} {version} is not supported", where=where)
    return domain, version


def _domain(content: bytes, where: str) -> str:
    name = text(content, where)
    return "" if name == "ai.onnx" else name  # two spellings of the default domain


def _value(content: bytes, where: str) -> tuple[str, Dimensions]:
    """Name and shape of a graph input or output, which must be a tensor of float32."""
    name, element, shape = "", 0, Dimensions()
    for field in fields(content, where):
        if field.number == 1:
            name = text(only(1, Wire.BYTES, field, where).content, where)
        elif field.number == 2:
            element, shape = _tensor_type(only(2, Wire.BYTES, field, where).content, where)
    if element != FLOAT:
        raise BundleRefused(f"{name!r} is not a tensor of float32", where=where)
    return name, shape


def _tensor_type(content: bytes, where: str) -> tuple[int, Dimensions]:
    element, shape = 0, list[int | None]()
    for outer in fields(content, where):
        if outer.number != 1:
            continue
        for inner in fields(only(1, Wire.BYTES, outer, where).content, where):
            if inner.number == 1:
                element = only(1, Wire.VARINT, inner, where).integer
            elif inner.number == 2:
                dimensions = fields(only(2, Wire.BYTES, inner, where).content, where)
                shape += [_size(only(1, Wire.BYTES, one, where).content, where) for one in dimensions]
    return element, tuple(shape)


def _size(dimension: bytes, where: str) -> int | None:
    """Size of one axis; None where it has a name or nothing."""
    sizes = [only(1, Wire.VARINT, field, where).integer for field in fields(dimension, where) if field.number == 1]
    return sizes[0] if len(sizes) == 1 else None


def _known(message: bytes, kind: str, names: dict[int, str], where: str, *, runs: bool = False) -> Iterator[FieldValue]:
    """Yield the fields of `message`, refusing those that are not in `names` or occur twice where once is the rule."""
    seen: Counter[int] = Counter()
    for field in fields(message, where, _RUNS if runs else None):
        if field.number not in names:
            reason = REASONS.get((kind, field.number), f"field {field.number} of the {kind}")
            raise BundleRefused(f"an ONNX model with {reason} is not allowed", where=where)
        seen[field.number] += 1
        if seen[field.number] > 1 and names[field.number] in ONCE:
            raise BundleRefused(f"{kind}.{names[field.number]} occurs twice", where=where)
        yield field
