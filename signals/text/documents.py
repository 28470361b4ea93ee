"""Frozen dataclasses as JSON documents: written in one way, and read back against the types of their fields.

Rules
-----
1. A number that does not exist is NaN in memory and null in a document; a float that is absent or null reads as NaN.
2. A field with a default, and one that may be None, may be absent or null; any other must be there.
3. A value of another type than its field's is refused (`BadDocument`) with its place; nothing is converted in silence.
4. Unknown keys are ignored, or kept where the class has a field marked `kept()`; a field marked `absent()` is written only
   where it has a value.
5. Dates and times are ISO 8601 text, Decimals and enumerations their text.
"""

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from signals.text.strict_json import JsonObject
from signals.text.wording import reason_of

T = TypeVar("T")
Reader = Callable[[object], Any]

_KEPT, _ABSENT = "kept", "absent"


class BadDocument(ValueError):
    """A document whose shape is not the one that its reader asks for; the message begins with the place."""

    def below(self, name: object) -> "BadDocument":
        """Return the same of a document that holds this one at `name`."""
        where, why = self.args if len(self.args) == 2 else ("", *self.args)
        return BadDocument(f"{name}.{where}" if where else str(name), why)

    def __str__(self) -> str:
        return ": ".join(part for part in self.args if part)


def kept() -> Any:
    """A field, mapping of str to object, that keeps the keys which no other field has."""
    return field(default_factory=dict, metadata={_KEPT: True})


def absent() -> Any:
    """A field, None by default, that is left out of the document where it is None."""
    return field(default=None, metadata={_ABSENT: True})


def to_json(value: object) -> Any:
    """Return a value as JSON: dataclasses and mappings as objects, sequences and arrays as lists, NaN as null.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Point:
    ...     x: float
    ...     day: date
    >>> to_json([Point(float("nan"), date(2026, 11, 20))])
    [{'x': None, 'day': '2026-11-20'}]
    """
    if value is None or type(value) in (str, int, bool):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return _object(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "tolist"):  # an array or a scalar of numpy, which this module must not load
        return to_json(value.tolist())
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def from_json(kind: type[T], document: object) -> T:
    """Return the value of type `kind` that `document` holds.

    Raises
    ------
    BadDocument
        As the rules say.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Point:
    ...     x: float
    ...     day: date | None = None
    >>> from_json(Point, {"x": 1.5, "day": "2026-11-20"})
    Point(x=1.5, day=datetime.date(2026, 11, 20))
    >>> from_json(tuple[Point, ...], [{"x": "1.5"}])
    Traceback (most recent call last):
    signals.text.documents.BadDocument: 0.x: '1.5' is no number
    """
    found: T = _reader(cast(Hashable, kind))(document)
    return found


@dataclass(frozen=True)
class _Part:
    field: Field[Any]
    kind: Any

    @property
    def has_default(self) -> bool:
        return self.field.default is not MISSING or self.field.default_factory is not MISSING


@cache
def _parts(kind: Any) -> dict[str, _Part]:
    kinds = get_type_hints(kind)
    return {one.name: _Part(one, kinds[one.name]) for one in fields(kind) if one.init}


def _object(value: Any) -> JsonObject:
    document: JsonObject = {}
    for name, part in _parts(value.__class__).items():
        found = getattr(value, name)
        if _KEPT in part.field.metadata:
            document |= to_json(found)
        elif found is not None or _ABSENT not in part.field.metadata:
            document[name] = to_json(found)
    return document


@cache
def _reader(kind: Any) -> Reader:
    """Return what reads a value of one kind; it is made once, so that a document of thousands of rows asks no kind twice."""
    if kind in (Any, object):
        return lambda found: found
    origin, asked = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(asked)
    if origin is tuple:
        return _many(asked[0]) if asked[-1] is Ellipsis else _tuple(asked)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(asked[1])
    if is_dataclass(kind):
        return _dataclass(kind)
    if hasattr(kind, "model_validate"):
        return lambda found: _converted(partial(kind.model_validate, strict=False), found)
    return _plain(kind)


def _plain(kind: Any) -> Reader:
    if kind is float:
        return lambda found: found if type(found) in (float, int) else math.nan if found is None else _refuse(found, "is no number")
    if kind is bool:
        return lambda found: found if isinstance(found, bool) else _refuse(found, "is neither true nor false")
    if kind is int:
        return lambda found: found if type(found) is int else _refuse(found, "is no whole number")
    if kind is str:
        return lambda found: found if isinstance(found, str) else _refuse(found, "is no text")
    make = kind.fromisoformat if kind in (date, datetime) else kind  # else an enumeration or a Decimal
    return lambda found: _converted(make, found) if isinstance(found, str) else _refuse(found, "is no text")


def _one_of(kinds: tuple[Any, ...]) -> Reader:
    may_be_none, readers = NoneType in kinds, [_reader(kind) for kind in kinds if kind is not NoneType]

    def read(found: object) -> Any:
        if found is None and may_be_none:
            return None
        for reader in readers[:-1]:
            try:
                return reader(found)
            except BadDocument:
                continue
        return readers[-1](found)

    return read


def _many(kind: Any) -> Reader:
    reader = _reader(kind)

    def read(found: object) -> tuple[Any, ...]:
        if not isinstance(found, list):
            _refuse(found, "is not a list")
        values: list[Any] = []
        for row in found:
            try:
                values.append(reader(row))
            except BadDocument as error:
                raise error.below(len(values)) from None
        return tuple(values)

    return read


def _tuple(kinds: tuple[Any, ...]) -> Reader:
    readers = [_reader(kind) for kind in kinds]

    def read(found: object) -> tuple[Any, ...]:
        if not isinstance(found, list):
            _refuse(found, "is not a list")
        if len(found) != len(readers):
            _refuse(found, f"has not {len(readers)} entries")
        values: list[Any] = []
        for reader, row in zip(readers, found, strict=True):
            try:
                values.append(reader(row))
            except BadDocument as error:
                raise error.below(len(values)) from None
        return tuple(values)

    return read


def _mapping(kind: Any) -> Reader:
    reader = _reader(kind)

    def read(found: object) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, entry in _object_of(found).items():
            try:
                values[str(key)] = reader(entry)
            except BadDocument as error:
                raise error.below(key) from None
        return values

    return read


def _dataclass(kind: Any) -> Reader:
    parts = _parts(kind)
    keeper = next((name for name, part in parts.items() if _KEPT in part.field.metadata), None)
    asked = [(name, _later(part.kind), part.has_default, _may_be_missing(part.kind)) for name, part in parts.items() if name != keeper]

    def read(found: object) -> Any:
        document, values = _object_of(found), {}
        for name, reader, has_default, may_be_missing in asked:
            entry = document.get(name)
            if entry is None and has_default:
                continue
            if entry is None and not may_be_missing and name not in document:
                raise BadDocument(name, "is missing")
            try:
                values[name] = reader(entry)
            except BadDocument as error:
                raise error.below(name) from None
        if keeper:
            values[keeper] = {key: entry for key, entry in document.items() if key not in parts}
        return _converted(lambda given: kind(**given), values)

    return read


def _may_be_missing(kind: Any) -> bool:
    return kind is float or NoneType in get_args(kind)


def _later(kind: Any) -> Reader:
    """Return a reader that is looked up when it is first used: a class may hold others of its own kind."""
    return lambda found: _reader(kind)(found)


def _object_of(found: object) -> Mapping[str, object]:
    return found if isinstance(found, Mapping) else _refuse(found, "is not an object")


def _converted(make: Callable[[Any], Any], found: object) -> Any:
    try:
        return make(found)
    except BadDocument:
        raise
    except (ValueError, InvalidOperation) as error:
        raise BadDocument(reason_of(error)) from None


def _refuse(found: object, why: str) -> NoReturn:
    raise BadDocument(f"{str(found)[:80]!r} {why}")
