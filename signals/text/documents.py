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
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from signals.text.strict_json import JsonObject
from signals.text.wording import reason_of

T = TypeVar("T")

_KEPT, _ABSENT = "kept", "absent"


class BadDocument(ValueError):
    """A document whose shape is not the one that its reader asks for; the message begins with the place."""


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
    found: T = _read(kind, document, "")
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


def _read(kind: Any, found: object, where: str) -> Any:
    if kind in (Any, object):
        return found
    origin, asked = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _one_of(asked, found, where)
    if origin is tuple:
        return _tuple(asked, found, where)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        rows = _checked(found, Mapping, "an object", where)
        return {str(key): _read(asked[1], entry, _below(where, str(key))) for key, entry in rows.items()}
    if is_dataclass(kind):
        return _dataclass(kind, _checked(found, Mapping, "an object", where), where)
    if hasattr(kind, "model_validate"):
        return _converted(lambda text: kind.model_validate(text, strict=False), found, where)
    return _plain(kind, found, where)


def _plain(kind: Any, found: object, where: str) -> Any:
    if kind is float:
        if found is None:
            return math.nan
        return found if type(found) is int else _checked(found, float, "no number", where, says="is")
    if kind is bool:
        return _checked(found, bool, "neither true nor false", where, says="is")
    if kind is int:
        return found if type(found) is int else _refuse(found, "is no whole number", where)
    text = _checked(found, str, "no text", where, says="is")
    if kind is str:
        return text
    if kind in (date, datetime):
        return _converted(kind.fromisoformat, text, where)
    return _converted(kind, text, where)  # an enumeration or a Decimal


def _one_of(kinds: tuple[Any, ...], found: object, where: str) -> Any:
    if found is None and NoneType in kinds:
        return None
    kinds = tuple(kind for kind in kinds if kind is not NoneType)
    for kind in kinds[:-1]:
        try:
            return _read(kind, found, where)
        except BadDocument:
            continue
    return _read(kinds[-1], found, where)


def _tuple(kinds: tuple[Any, ...], found: object, where: str) -> tuple[Any, ...]:
    rows = _checked(found, list, "a list", where)
    if kinds[-1] is Ellipsis:
        return tuple(_read(kinds[0], row, _below(where, str(place))) for place, row in enumerate(rows))
    if len(rows) != len(kinds):
        _refuse(found, f"has not {len(kinds)} entries", where)
    return tuple(_read(kind, row, _below(where, str(place))) for place, (kind, row) in enumerate(zip(kinds, rows, strict=True)))


def _dataclass(kind: Any, document: Mapping[str, object], where: str) -> Any:
    values: dict[str, object] = {}
    parts = _parts(kind)
    for name, part in parts.items():
        if _KEPT in part.field.metadata:
            values[name] = {key: entry for key, entry in document.items() if key not in parts}
        elif document.get(name) is not None or not part.has_default:
            values[name] = _present(part.kind, name, document, where)
    return _converted(lambda given: kind(**given), values, where)


def _present(kind: Any, name: str, document: Mapping[str, object], where: str) -> Any:
    if name not in document and kind is not float and NoneType not in get_args(kind):
        raise BadDocument(f"{_below(where, name)}: is missing")
    return _read(kind, document.get(name), _below(where, name))


def _checked(found: object, kind: type, what: str, where: str, says: str = "is not") -> Any:
    return found if isinstance(found, kind) else _refuse(found, f"{says} {what}", where)


def _converted(make: Any, found: object, where: str) -> Any:
    try:
        return make(found)
    except BadDocument:
        raise
    except (ValueError, InvalidOperation) as error:
        raise BadDocument(f"{where}: {reason_of(error)}".removeprefix(": ")) from None


def _refuse(found: object, why: str, where: str) -> Any:
    raise BadDocument(f"{where}: {str(found)[:80]!r} {why}".removeprefix(": "))


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
